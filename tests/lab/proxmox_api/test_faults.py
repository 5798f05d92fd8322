"""Faults on request, each as a client meets it."""

import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from fairlead.lab.progress import wait_until
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.lab.proxmox_api.faults import Fault, Faults, Kind
from fairlead.lab.proxmox_api.store import Store
from tests.lab.proxmox_api.client import FIRST, NODE, TEMPLATE, Client, client


def test_a_task_fails_as_often_as_asked_and_leaves_nothing(proxmox: ProxmoxApi, deployer: Client) -> None:
    """A clone that fails is gone, as on Proxmox."""
    proxmox.faults.add(Fault(Kind.TASK_FAILS, task="qmclone", vmid=101, message="lvcreate failed", times=1))
    assert deployer.clone()["exitstatus"] == "lvcreate failed"
    assert not proxmox.cluster.has_machine(101)
    assert deployer.clone()["exitstatus"] == "OK"
    assert proxmox.faults.set() == []


def test_a_slow_task_holds_the_machine_locked_until_it_ends(proxmox: ProxmoxApi, deployer: Client) -> None:
    """And it ends with the server, undone."""
    proxmox.faults.add(Fault(Kind.TASK_SLOW, task="qmclone", seconds=600))
    upid = deployer.good("POST", f"{TEMPLATE}/clone", newid=101, full=1)
    assert deployer.ended(upid) == ""
    assert deployer.get(f"{FIRST}/status/current")["lock"] == "clone"
    assert deployer.ask("POST", f"{FIRST}/status/start").message == "VM is locked (clone)\n"
    proxmox.cluster.tasks.end()
    assert deployer.ended(upid) == "unexpected status"
    assert not proxmox.cluster.has_machine(101)


def test_a_slow_task_ends_well(proxmox: ProxmoxApi, deployer: Client) -> None:
    """After its time."""
    deployer.clone()
    proxmox.faults.add(Fault(Kind.TASK_SLOW, task="qmstart", vmid=101, seconds=0.05, times=1))
    upid = deployer.good("POST", f"{FIRST}/status/start")
    assert wait_until(lambda: bool(deployer.ended(upid)), within=30)
    assert deployer.ended(upid) == "OK"
    assert deployer.get(f"{FIRST}/status/current")["status"] == "running"


def test_a_silent_agent_a_locked_machine_a_full_storage(proxmox: ProxmoxApi, deployer: Client) -> None:
    """Each until it is cleared."""
    deployer.clone()
    deployer.task("POST", f"{FIRST}/status/start")
    for fault in (Fault(Kind.AGENT_SILENT, vmid=101), Fault(Kind.MACHINE_LOCKED, vmid=101),
                  Fault(Kind.STORAGE_FULL, storage="local-lvm")):  # fmt: skip
        proxmox.faults.add(fault)

    assert deployer.ask("POST", f"{FIRST}/agent/ping").message == "QEMU guest agent is not running\n"
    assert deployer.ask("PUT", f"{FIRST}/config", cores=2).message == "VM is locked (backup)\n"
    assert deployer.get(f"{FIRST}/status/current")["lock"] == "backup"
    assert deployer.get(f"{NODE}/storage/local-lvm/status")["avail"] == 0
    assert "not enough space" in deployer.clone(102)["exitstatus"]
    assert not proxmox.cluster.has_machine(102)

    proxmox.faults.clear()
    deployer.good("POST", f"{FIRST}/agent/ping")
    deployer.good("PUT", f"{FIRST}/config", cores=2)
    assert deployer.clone(102)["exitstatus"] == "OK"


def test_a_disk_does_not_grow_beyond_its_storage(deployer: Client) -> None:
    """The storage of the lab has 500 GiB."""
    deployer.clone()
    assert "not enough space" in deployer.task("PUT", f"{FIRST}/resize", disk="scsi0", size="900G")["exitstatus"]


def test_an_api_that_fails_and_one_that_hangs(proxmox: ProxmoxApi, deployer: Client) -> None:
    """By method and path; the rest is served."""
    proxmox.faults.add(Fault(Kind.API_ERROR, method="GET", path="/version", message="proxy timeout"))
    proxmox.faults.add(Fault(Kind.API_HANGS, path="/pools"))
    assert (deployer.ask("GET", "/version").status, deployer.ask("GET", "/version").reason) == (500, "proxy timeout")
    with client(proxmox, timeout=0.3) as impatient, pytest.raises(httpx2.TimeoutException):
        impatient.get("/pools")
    assert deployer.get("/cluster/nextid") == "100"
    proxmox.faults.clear()
    deployer.get("/pools")


def test_what_hangs_goes_on_when_the_fault_is_cleared(proxmox: ProxmoxApi, deployer: Client) -> None:
    """So a test decides how long."""
    proxmox.faults.add(Fault(Kind.API_HANGS, path="/pools"))
    before = len(proxmox.requests)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(deployer.ask, "GET", "/pools")
        with client(proxmox) as other:
            other.get("/version")
        assert [request.path for request in list(proxmox.requests)[before:]] == ["/version"]
        proxmox.faults.clear()
        assert waiting.result().status == 200


def test_a_hanging_request_does_not_hinder_the_end(proxmox: ProxmoxApi, deployer: Client) -> None:
    """The server wakes it."""
    proxmox.faults.add(Fault(Kind.API_HANGS, path="/pools", times=1))
    waiting = threading.Thread(target=_disregarding, args=(deployer,))
    waiting.start()
    assert wait_until(lambda: not proxmox.faults.set(), within=30)
    proxmox._server.end()
    waiting.join()


def _disregarding(deployer: Client) -> None:
    try:
        deployer.ask("GET", "/pools")
    except (httpx2.HTTPError, ValueError):
        return


def test_a_certificate_that_changed_is_not_trusted(proxmox: ProxmoxApi) -> None:
    """With verification on, a client stops before it says its token."""
    proxmox.faults.add(Fault(Kind.CERTIFICATE_CHANGED, times=1))
    before = len(proxmox.requests)
    with client(proxmox) as made, pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        made.get("/version")
    assert len(proxmox.requests) == before
    with client(proxmox) as made:
        made.get("/version")


def test_older_tls_is_refused(proxmox: ProxmoxApi) -> None:
    """TLS 1.3 is the provider's default minimum, and the lab's."""
    context = ssl.create_default_context(cafile=str(proxmox.ca_file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx2.Client(verify=context, trust_env=False) as made, pytest.raises(httpx2.ConnectError):
        made.get(f"{proxmox.url}api2/json/version")


def test_another_process_sets_faults(proxmox: ProxmoxApi, deployer: Client) -> None:
    """`fairlead lab fault` is one: what it sets is in the store."""
    store = Store(proxmox.ca_file.parent / "proxmox.sqlite")
    Faults(store).add(Fault(Kind.API_ERROR, times=2))
    store.close()
    assert [deployer.ask("GET", "/version").status for _ in range(3)] == [500, 500, 200]


def test_requests_are_remembered_without_their_values(proxmox: ProxmoxApi, deployer: Client) -> None:
    """Some of them are passwords."""
    deployer.clone()
    deployer.good("PUT", f"{FIRST}/config", cipassword="geheim123")
    last = proxmox.requests[-1]
    assert (last.method, last.path, last.parameters, last.status) == ("PUT", f"{FIRST}/config", ("cipassword",), 200)
    assert "geheim123" not in repr(proxmox.requests)
