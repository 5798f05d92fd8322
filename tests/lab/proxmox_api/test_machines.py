"""A VM's life on the instant back end: clone, configure, grow, power, agent, convert, destroy."""

import pytest

from fairlead.lab.proxmox_api.api import ProxmoxApi
from tests.lab.proxmox_api.client import FIRST, NODE, TEMPLATE, Client

CARD = "model=virtio,bridge=vmbr0,firewall=0"


def test_a_clone_has_an_identity_of_its_own(deployer: Client) -> None:
    """Name, volumes, network address; neither template nor tags."""
    assert deployer.clone(name="shop")["exitstatus"] == "OK"

    template, clone = (deployer.get(f"{path}/config") for path in (TEMPLATE, FIRST))
    assert clone["name"] == "shop"
    assert "template" not in clone
    assert clone["scsi0"] == "local-lvm:vm-101-disk-0,size=4G"
    assert clone["ide2"] == "local-lvm:vm-101-cloudinit,media=cdrom,size=4M"
    assert clone["net0"] != template["net0"]
    assert clone["net0"].startswith("virtio=BC:24:11:")
    assert {clone[key] != template[key] for key in ("smbios1", "vmgenid", "digest")} == {True}


def test_a_number_that_is_taken_is_refused(deployer: Client) -> None:
    """The provider knows it by the words `already exists`."""
    deployer.clone()
    again = deployer.ask("POST", f"{TEMPLATE}/clone", newid=101)
    assert (again.status, again.message) == (
        500, "unable to create VM 101: VM 101 already exists on node 'pve1'\n",
    )  # fmt: skip
    assert deployer.ask("GET", "/cluster/nextid", vmid=101).errors == {"vmid": "VM 101 already exists"}
    assert deployer.get("/cluster/nextid") == "100"


def test_the_configuration_is_answered_as_proxmox_writes_it(deployer: Client) -> None:
    """Every word here is what the provider sent in the spike, and what keeps its second plan empty."""
    deployer.clone()
    deployer.good("PUT", f"{FIRST}/config", net0=CARD, ide2="file=local-lvm:cloudinit,", cores=2, onboot=1,
                  tags="staging;App", memory=2048, cipassword="geheim123", delete="net1,net2,net31")  # fmt: skip
    first = deployer.get(f"{FIRST}/config")
    deployer.good("PUT", f"{FIRST}/config", net0=CARD, scsi0="file=local-lvm:vm-101-disk-0,aio=io_uring,size=99G")
    second = deployer.get(f"{FIRST}/config")

    assert (first["cores"], first["onboot"], first["memory"], first["tags"]) == (2, 1, "2048", "app;staging")
    assert first["ide2"] == "local-lvm:vm-101-cloudinit,media=cdrom,size=4M"
    assert first["cipassword"] == "**********"
    assert first["net0"].endswith(",bridge=vmbr0,firewall=0")
    assert second["net0"] == first["net0"]  # the address stays
    assert second["scsi0"] == "local-lvm:vm-101-disk-0,aio=io_uring,size=4G"  # and so does the size


def test_a_change_that_somebody_else_overtook_is_refused(deployer: Client) -> None:
    """By the digest."""
    deployer.clone()
    digest = deployer.get(f"{FIRST}/config")["digest"]
    deployer.good("PUT", f"{FIRST}/config", cores=2, digest=digest)
    late = deployer.ask("PUT", f"{FIRST}/config", cores=4, digest=digest)
    assert (late.status, "detected modified configuration" in late.message) == (500, True)


def test_what_a_running_machine_gets_waits_for_its_next_start(deployer: Client) -> None:
    """Its name and tags do not."""
    deployer.clone()
    deployer.task("POST", f"{FIRST}/status/start")
    deployer.good("PUT", f"{FIRST}/config", memory=4096, tags="x")

    assert deployer.get(f"{FIRST}/config")["memory"] == "4096"
    assert deployer.get(f"{FIRST}/config", current=1)["memory"] == "1024"
    assert deployer.get(f"{FIRST}/status/current")["maxmem"] == 1 << 30
    waiting = [row for row in deployer.get(f"{FIRST}/pending") if "pending" in row]
    assert waiting == [{"key": "memory", "value": "1024", "pending": "4096"}]

    deployer.task("POST", f"{FIRST}/status/reboot")
    assert deployer.get(f"{FIRST}/status/current")["maxmem"] == 4 << 30
    assert [row for row in deployer.get(f"{FIRST}/pending") if "pending" in row] == []


@pytest.mark.parametrize(("wanted", "size"), [(8 << 30, "8G"), ("+2G", "6G"), ("4G", "4G")])
def test_a_disk_grows(deployer: Client, wanted: object, size: str) -> None:
    """Absolute, in bytes as the provider says it, or by some more."""
    deployer.clone()
    assert deployer.task("PUT", f"{FIRST}/resize", disk="scsi0", size=wanted)["exitstatus"] == "OK"
    assert deployer.get(f"{FIRST}/config")["scsi0"] == f"local-lvm:vm-101-disk-0,size={size}"
    [volume] = [row for row in deployer.get(f"{NODE}/storage/local-lvm/content", vmid=101) if "disk" in row["volid"]]
    one = deployer.get(f"{NODE}/storage/local-lvm/content/local-lvm%3Avm-101-disk-0")
    assert volume["size"] == one["size"]


def test_a_disk_never_shrinks(deployer: Client) -> None:
    """The task says so."""
    deployer.clone()
    ended = deployer.task("PUT", f"{FIRST}/resize", disk="scsi0", size="1G")
    assert ended["exitstatus"] == "shrinking disks is not supported"
    assert deployer.ask("PUT", f"{FIRST}/resize", disk="scsi5", size="9G").status == 400


def test_power(deployer: Client) -> None:
    """Start, shut down, stop; what cannot be is a task that fails."""
    deployer.clone()
    words = ("start", "start", "shutdown", "shutdown", "start", "reset", "stop", "stop")
    states = [deployer.task("POST", f"{FIRST}/status/{word}")["exitstatus"] for word in words]
    assert states == ["OK", "VM 101 already running", "OK", "VM 101 not running", "OK", "OK", "OK", "OK"]
    assert deployer.get(f"{FIRST}/status/current")["status"] == "stopped"


def test_a_bridge_that_is_not_there_is_found_at_the_start(root: Client) -> None:
    """As on a node."""
    root.clone()
    root.good("PUT", f"{FIRST}/config", net0="virtio,bridge=vmbr9")
    assert root.task("POST", f"{FIRST}/status/start")["exitstatus"] == "bridge 'vmbr9' does not exist"


def test_the_agent_answers_while_the_machine_runs(root: Client) -> None:
    """Before that it says why not."""
    root.clone()
    ping = f"{FIRST}/agent/ping"
    assert root.ask("POST", ping).message == "VM 101 is not running\n"
    root.good("PUT", f"{FIRST}/config", ipconfig0="ip=10.0.0.5/24,gw=10.0.0.1", name="shop", agent="1")
    root.task("POST", f"{FIRST}/status/start")

    root.good("POST", ping)
    loopback, card = root.get(f"{FIRST}/agent/network-get-interfaces")["result"]
    assert loopback["ip-addresses"][0]["ip-address"] == "127.0.0.1"
    assert card["ip-addresses"] == [{"ip-address": "10.0.0.5", "ip-address-type": "ipv4", "prefix": 24}]
    assert root.get(f"{FIRST}/agent/get-osinfo")["result"]["id"] == "debian"
    assert root.get(f"{FIRST}/agent/get-host-name") == {"result": {"host-name": "shop"}}
    key = root.get(f"{FIRST}/agent/file-read", file="/etc/ssh/ssh_host_ed25519_key.pub")["content"]
    assert key.startswith("ssh-ed25519 AAAA")
    part = root.get(f"{FIRST}/agent/file-read", file="/etc/hostname", offset=1, count=2)
    assert part == {"content": "ho", "truncated": 1}
    missing = root.ask("GET", f"{FIRST}/agent/file-read", file="/nowhere")
    assert (missing.status, "No such file or directory" in missing.message) == (500, True)

    root.good("PUT", f"{FIRST}/config", agent="0")
    assert root.ask("POST", ping).message == "No QEMU guest agent configured\n"


def test_a_program_in_the_guest(root: Client) -> None:
    """Started, then asked about."""
    root.clone()
    root.task("POST", f"{FIRST}/status/start")
    states = {}
    for argv in (["cat", "/etc/hostname"], ["cat", "/nowhere"], ["cat"], ["rm"]):
        pid = root.good("POST", f"{FIRST}/agent/exec", command=argv, input__data="in")["pid"]
        state = {"exited": 0}
        while not state["exited"]:
            state = root.get(f"{FIRST}/agent/exec-status", pid=pid)
        states[" ".join(argv)] = (state["exitcode"], state.get("out-data"))
    assert states == {"cat /etc/hostname": (0, "Copy-of-VM-debian-docker\n"), "cat /nowhere": (1, None),
                      "cat": (0, "in"), "rm": (127, None)}  # fmt: skip
    assert root.ask("GET", f"{FIRST}/agent/exec-status", pid=1).status == 500


def test_what_cloud_init_would_read(deployer: Client) -> None:
    """The drive is made of the configuration; a password is not shown."""
    deployer.clone()
    key = "ssh-ed25519 AAAA%2B me%0A".replace(" ", "%20")
    deployer.good("PUT", f"{FIRST}/config", name="shop", ciuser="deploy", sshkeys=key, cipassword="geheim123",
                  ipconfig0="gw=10.0.0.1,ip=10.0.0.5/24", nameserver="1.1.1.1 9.9.9.9")  # fmt: skip
    deployer.good("PUT", f"{FIRST}/cloudinit")
    user, network, meta = (deployer.get(f"{FIRST}/cloudinit/dump", type=kind) for kind in ("user", "network", "meta"))
    assert user.startswith("#cloud-config\n")
    assert '"name": "deploy"' in user
    assert "ssh-ed25519 AAAA+ me" in user
    assert "geheim123" not in user
    assert "10.0.0.5/24" in network
    assert '"local-hostname": "shop"' in meta
    rows = {row["key"]: row for row in deployer.get(f"{FIRST}/cloudinit")}
    assert rows["nameserver"]["value"] == "1.1.1.1 9.9.9.9"
    deployer.good("PUT", f"{FIRST}/config", ipconfig0="gw=10.0.0.1,ip=10.0.0.6/24")
    assert deployer.get(f"{FIRST}/cloudinit/dump", type="meta") != meta  # another instance: set up anew


def test_a_machine_becomes_a_template(root: Client) -> None:
    """It can be cloned from, also linked, and not started."""
    root.clone()
    assert root.task("POST", f"{FIRST}/template")["exitstatus"] == "OK"
    assert root.get(f"{FIRST}/config")["scsi0"] == "local-lvm:base-101-disk-0,size=4G"
    assert root.ask("POST", f"{FIRST}/status/start").message == "you can't start a vm if it's a template\n"
    assert root.ask("POST", f"{FIRST}/template").status == 500
    root.task("POST", f"{FIRST}/clone", newid=102)
    assert root.get(f"{NODE}/qemu/102/config")["scsi0"] == "local-lvm:base-101-disk-0/vm-102-disk-0,size=4G"


def test_destroying(deployer: Client) -> None:
    """Not while it runs, not while it is protected; afterwards it does not exist."""
    deployer.clone()
    deployer.good("PUT", f"{FIRST}/config", protection=1)
    assert "protection mode" in deployer.ask("DELETE", FIRST).message
    deployer.good("PUT", f"{FIRST}/config", protection=0)
    deployer.task("POST", f"{FIRST}/status/start")
    assert deployer.ask("DELETE", FIRST).message == "VM 101 is running - destroy failed\n"
    deployer.task("POST", f"{FIRST}/status/stop")

    assert deployer.task("DELETE", f"{FIRST}/", purge=1, destroy__unreferenced__disks=1)["exitstatus"] == "OK"
    assert "does not exist" in deployer.ask("GET", f"{FIRST}/status/current").message
    assert [row["vmid"] for row in deployer.get("/cluster/resources", type="vm")] == [9000]


def test_pools(root: Client) -> None:
    """Members come and go; only an empty pool is removed."""
    root.good("POST", "/pools", poolid="shop", comment="of the shop")
    root.clone(pool="shop")
    assert [row["vmid"] for row in root.get("/pools/shop")["members"]] == [101]
    assert root.get("/pools", poolid="shop")[0]["comment"] == "of the shop"
    assert root.ask("DELETE", "/pools/shop").status == 500
    root.good("PUT", "/pools/shop", vms="101", delete=1)
    root.good("DELETE", "/pools/shop")
    assert root.get("/pools") == []


def test_tasks_are_listed_with_their_ends(root: Client) -> None:
    """The newest first; filtered by VM, type and end."""
    root.clone()
    root.task("POST", f"{FIRST}/status/shutdown")
    rows = root.get(f"{NODE}/tasks")
    assert [(row["type"], row["exitstatus"]) for row in rows] == [
        ("qmshutdown", "VM 101 not running"),
        ("qmclone", "OK"),
    ]
    assert [row["type"] for row in root.get(f"{NODE}/tasks", errors=1)] == ["qmshutdown"]
    assert [row["type"] for row in root.get(f"{NODE}/tasks", vmid=9000)] == ["qmclone"]
    assert [row["type"] for row in root.get(f"{NODE}/tasks", typefilter="qmclone", limit=1)] == ["qmclone"]
    log = root.get(f"{NODE}/tasks/{rows[0]['upid']}/log")
    assert log == [{"n": 1, "t": "TASK ERROR: VM 101 not running"}]
    assert root.ask("GET", f"{NODE}/tasks/UPID:nothing/status").status == 400


def test_everything_is_still_there_after_a_restart(proxmox: ProxmoxApi, deployer: Client) -> None:
    """State, tokens and the CA are the directory's; a task that was under way has ended."""
    deployer.clone()
    directory, ca = proxmox.ca_file.parent, proxmox.ca_file.read_bytes()
    proxmox.cluster.store.put("task", "UPID:x", {"upid": "UPID:x", "status": "running", "log": []})
    with ProxmoxApi.start(directory) as again:
        assert (again.token, again.ca_file.read_bytes()) == (proxmox.token, ca)
        assert again.cluster.machine(101).name == "Copy-of-VM-debian-docker"
        assert again.cluster.tasks.get("UPID:x")["exitstatus"] == "unexpected status"
