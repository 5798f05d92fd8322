"""VMs that are machine containers, on the real engine: one lab, one VM's life, as an operator sees it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fairlead import process
from fairlead.lab import background, infrastructure
from fairlead.lab.infrastructure import Infrastructure, VirtualMachine
from fairlead.lab.progress import wait_until
from fairlead.lab.proxmox_api.faults import Fault, Faults, Kind
from fairlead.lab.proxmox_api.store import Store
from fairlead.lab.site import Lab, Site
from fairlead.lab.status import status_of
from fairlead.provision.tfvars import plain_values
from tests.fixtures.lab import PREFIX, remove_abandoned, session_process
from tests.lab.proxmox_api.client import FIRST, NODE, Client, connected

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of this file's own."""
    remove_abandoned()
    made = Lab(f"{PREFIX}{session_process()}-px", tmp_path_factory.mktemp("proxmox-lab"))
    yield made
    made.down()


@pytest.fixture(scope="module")
def site(lab: Lab) -> Site:
    """It, with a Proxmox API and a PostgreSQL."""
    return lab.up(("staging",), proxmox=True)


@pytest.fixture
def api(site: Site) -> Infrastructure:
    """What OpenTofu would be told."""
    assert site.infrastructure is not None
    return site.infrastructure


@pytest.fixture
def staging(api: Infrastructure) -> VirtualMachine:
    """The machine that it is to make."""
    return api.machines["staging"]


@pytest.fixture
def deployer(api: Infrastructure) -> Iterator[Client]:
    """With the token that the lab hands out."""
    with connected(api.endpoint, api.ca_file, api.api_token) as made:
        yield made


def test_a_machines_life(lab: Lab, staging: VirtualMachine, deployer: Client, tmp_path: Path) -> None:
    """Made, logged in to, changed, killed, found after a restart of the API, cloned, destroyed."""
    container = f"fairlead.{lab.name}.vm-101"
    _make(deployer, staging, "shop-staging")

    key = _host_key(deployer)
    (tmp_path / "known_hosts").write_text(f"{staging.address.split('/')[0]} {key}\n")
    assert (
        _log_in(staging.address, staging, tmp_path, "hostname; id --groups --name")
        == "shop-staging\ndeploy sudo docker\n"
    )
    assert _limits(lab, container) == (1024 << 20, 10**9)
    cards = {card["name"]: card for card in deployer.get(f"{FIRST}/agent/network-get-interfaces")["result"]}
    assert cards["eth0"]["ip-addresses"][0] == {"ip-address": staging.address.split("/")[0], "ip-address-type": "ipv4",
                                                "prefix": 24}  # fmt: skip
    assert deployer.get(f"{FIRST}/agent/get-host-name") == {"result": {"host-name": "shop-staging"}}
    assert "No such file" in deployer.ask("GET", f"{FIRST}/agent/file-read", file="/nowhere").message
    found = {part.name: part for part in status_of(lab).infrastructure}
    assert (found["proxmox"].healthy, found["postgresql"].healthy) == (True, True)

    lab.docker.run("kill", container)  # power loss
    assert wait_until(lambda: deployer.get(f"{FIRST}/status/current")["status"] == "stopped", within=120)

    moved = str(staging.address).replace(".211/", ".231/")
    deployer.good("PUT", f"{FIRST}/config", memory=1536, cores=1, ipconfig0=f"ip={moved},gw={staging.gateway}")
    infrastructure.end(lab.directory)  # the API dies too
    assert background.serving(infrastructure.api_place(lab.directory)) is None
    again = lab.up()
    assert (again.machines, list(again.infrastructure.machines if again.infrastructure else ())) == ({}, ["staging"])
    assert deployer.task("POST", f"{FIRST}/status/start")["type"] == "qmstart"
    _until_up(deployer)
    assert _limits(lab, container) == (1536 << 20, 10**9)
    (tmp_path / "known_hosts").write_text(f"{moved.split('/')[0]} {_host_key(deployer)}\n")
    assert _log_in(moved, staging, tmp_path, "sudo touch /kept") == ""

    _ended(deployer, deployer.good("POST", f"{FIRST}/status/shutdown", forceStop=1))
    _ended(deployer, deployer.good("POST", f"{FIRST}/template"))
    _ended(deployer, deployer.good("POST", f"{FIRST}/clone", newid=102, full=1))
    deployer.good("PUT", f"{NODE}/qemu/102/config", ipconfig0=f"ip={moved},gw={staging.gateway}")
    _ended(deployer, deployer.good("POST", f"{NODE}/qemu/102/status/start"))
    copy = f"fairlead.{lab.name}.vm-102"
    assert lab.docker.run("exec", copy, "ls", "/kept").stdout == "/kept\n"  # a template's disk is copied

    _ended(deployer, deployer.good("POST", f"{NODE}/qemu/102/status/stop"))
    for vmid in (101, 102):
        _ended(deployer, deployer.good("DELETE", f"{NODE}/qemu/{vmid}"))
    left = [*lab.existing.of_kind("container"), *lab.existing.of_kind("volume")]
    assert [name for name in left if ".vm-" in name] == []


def test_postgresql_takes_opentofus_state(api: Infrastructure) -> None:
    """A schema can be made; without the password there is no way in."""
    with psycopg.connect(api.connection, autocommit=True) as database:
        database.execute("CREATE SCHEMA shop")
        database.execute("DROP SCHEMA shop")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(api.connection.replace("@", "x@", 1)).close()


def test_an_address_outside_the_lab_is_a_task_that_fails(deployer: Client) -> None:
    """The engine's words; and there is no DHCP."""
    deployer.good("POST", "/nodes/pve1/qemu/9000/clone", newid=103, full=1)
    assert wait_until(lambda: "lock" not in deployer.get(f"{NODE}/qemu/103/status/current"), within=120)
    ends = []
    for address in ("dhcp", "192.0.2.9/24"):
        deployer.good("PUT", f"{NODE}/qemu/103/config", ipconfig0=f"ip={address}")
        ends.append(_end_of(deployer, deployer.good("POST", f"{NODE}/qemu/103/status/start")))
    _ended(deployer, deployer.good("DELETE", f"{NODE}/qemu/103"))
    assert "no DHCP" in ends[0]
    assert "subnet" in ends[1]


def test_a_fault_is_set_from_outside(lab: Lab, deployer: Client) -> None:
    """As `fairlead lab fault` does."""
    store = Store(infrastructure.api_place(lab.directory) / "proxmox.sqlite")
    Faults(store).add(Fault(Kind.API_ERROR, path="/version", times=1))
    store.close()
    assert [deployer.ask("GET", "/version").status for _ in range(2)] == [500, 200]


def test_init_writes_tfvars_that_fit(lab: Lab, staging: VirtualMachine, tmp_path: Path) -> None:
    """And OpenTofu as what makes the machines."""
    argv = [sys.executable, "-m", "fairlead", "init", "--lab", lab.name, str(tmp_path / "shop")]
    process.run(argv, environment={"FAIRLEAD_STATE_DIR": str(lab.root)}, timeout=120)
    found = plain_values((tmp_path / "shop/deployment/opentofu/environments/staging.tfvars").read_text())
    known = {"vm_id": 101, "template_id": 9000, "node_name": "pve1", "address": staging.address,
             "gateway": staging.gateway, "ssh_keys": [staging.public_key]}  # fmt: skip
    assert {name: found[name] for name in known} == known
    assert "provision: {with: opentofu}" in (tmp_path / "shop/fairlead.yaml").read_text()


def test_secrets_lie_where_fairlead_looks_for_them(site: Site, api: Infrastructure) -> None:
    """Readable by nobody else; none of them in the document."""
    place = site.secrets / "infrastructure"
    assert (place / "proxmox_api_token").read_text() == api.api_token
    assert (place / "PG_CONN_STR").read_text() == api.connection
    assert {path.stat().st_mode & 0o077 for path in (place, *place.iterdir())} == {0}
    assert api.api_token not in str(site.as_document())
    assert (site.secrets / "control" / "ssh_key_staging").exists()
    assert infrastructure.api_place(site.directory).stat().st_mode & 0o077 == 0


def _make(deployer: Client, machine: VirtualMachine, name: str) -> None:
    """As the provider does."""
    _ended(deployer, deployer.good("POST", "/nodes/pve1/qemu/9000/clone", newid=101, full=1, name=name))
    key = machine.public_key.replace("+", "%2B").replace(" ", "%20").replace("/", "%2F")
    deployer.good("PUT", f"{FIRST}/config", ciuser="deploy", sshkeys=key, memory=1024, cores=1,
                  ipconfig0=f"ip={machine.address},gw={machine.gateway}")  # fmt: skip
    _ended(deployer, deployer.good("POST", f"{FIRST}/status/start"))
    _until_up(deployer)


def _until_up(deployer: Client) -> None:
    """Until cloud-init is done, as the agent says."""
    path = "/run/cloud-init/result.json"
    assert wait_until(lambda: deployer.ask("GET", f"{FIRST}/agent/file-read", file=path).status == 200, within=120)


def _host_key(deployer: Client) -> str:
    content = deployer.get(f"{FIRST}/agent/file-read", file="/etc/ssh/ssh_host_ed25519_key.pub")["content"]
    return " ".join(str(content).split()[:2])


def _log_in(address: str, machine: VirtualMachine, directory: Path, command: str) -> str:
    argv = ["ssh", "-i", str(machine.ssh_key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={directory / 'known_hosts'}",
            f"deploy@{address.split('/', maxsplit=1)[0]}", command]  # fmt: skip
    return process.run(argv, timeout=60).stdout


def _limits(lab: Lab, container: str) -> tuple[int, int]:
    """Bytes of memory, and processors in billionths."""
    found: Any = lab.docker.inspect("container", container)
    return found["HostConfig"]["Memory"], found["HostConfig"]["NanoCpus"]


def _end_of(deployer: Client, upid: str) -> str:
    assert wait_until(lambda: bool(deployer.ended(upid)), within=120)
    return deployer.ended(upid)


def _ended(deployer: Client, upid: str) -> None:
    assert _end_of(deployer, upid) == "OK"
