"""Who may do what: tokens, roles, paths, privilege separation."""

import pytest

from fairlead.lab.proxmox_api.access import NEEDED, Access, Principal
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.lab.proxmox_api.refusal import Refusal
from tests.lab.proxmox_api.client import FIRST, NODE, TEMPLATE, Client, client

USER = "ann@pve"


def token(proxmox: ProxmoxApi, *grants: tuple[str, str, str], separated: bool = True) -> str:
    """A token `ann@pve!ci` after these grants (path, principal, privileges with blanks between)."""
    access = proxmox.cluster.access
    made = access.add_token(USER, "ci", "secret", separated=separated)
    for number, (path, principal, privileges) in enumerate(grants):
        access.add_role(f"r{number}", privileges.split())
        access.grant(path, principal, f"r{number}")
    return made


def held(proxmox: ProxmoxApi, path: str) -> list[str]:
    """What the token `ann@pve!ci` may do there."""
    return sorted(proxmox.cluster.access.privileges(Principal(USER, f"{USER}!ci"), path))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "No ticket"),
        ("PVEAPIToken=nonsense", "No ticket"),
        ("PVEAPIToken=ann@pve!ci=x", "no such token 'ci' for user 'ann@pve'"),
        ("PVEAPIToken=fairlead@pve!lab=wrong", "invalid token value!"),
    ],
)
def test_who_is_nobody(proxmox: ProxmoxApi, root: Client, header: str, reason: str) -> None:
    """401, the reason in the status line."""
    said = root.http.get("/version", headers={"Authorization": header})
    assert (said.status_code, said.reason_phrase, said.json()) == (401, reason, {"data": None})


def test_a_separated_token_has_what_both_have(proxmox: ProxmoxApi) -> None:
    """And one that is not has all of its user's."""
    grants = (("/vms", USER, "VM.Audit VM.Clone"), ("/vms", f"{USER}!ci", "VM.Audit VM.PowerMgmt"))
    token(proxmox, *grants)
    assert held(proxmox, "/vms/101") == ["VM.Audit"]
    token(proxmox, *grants, separated=False)
    assert held(proxmox, "/vms/101") == ["VM.Audit", "VM.Clone"]


def test_a_role_on_a_deeper_path_replaces_those_above(proxmox: ProxmoxApi) -> None:
    """NoAccess takes all away; without propagation a role ends at its path."""
    token(proxmox, ("/", USER, "VM.Audit Sys.Audit"), ("/vms/101", USER, "VM.PowerMgmt"), separated=False)
    assert held(proxmox, "/vms/101") == ["VM.PowerMgmt"]
    assert held(proxmox, "/vms/102") == ["Sys.Audit", "VM.Audit"]
    proxmox.cluster.access.grant("/vms/102", USER, "NoAccess")
    assert held(proxmox, "/vms/102") == []
    proxmox.cluster.access.grant("/nodes", USER, "r0", propagate=False)
    assert held(proxmox, "/nodes") == ["Sys.Audit", "VM.Audit"]
    assert held(proxmox, "/nodes/pve1") == ["Sys.Audit", "VM.Audit"]  # from `/`
    assert proxmox.cluster.access.revoke("/vms/102", USER, "NoAccess")


def test_a_machine_in_a_pool_has_the_pools_roles_too(proxmox: ProxmoxApi, root: Client) -> None:
    """So a token may be given one pool."""
    root.good("POST", "/pools", poolid="shop")
    root.clone(pool="shop")
    token(proxmox, ("/pool/shop", USER, "VM.Audit"), separated=False)
    assert (held(proxmox, "/vms/101"), held(proxmox, "/vms/9000")) == (["VM.Audit"], [])


def test_without_audit_rights_lists_are_empty_and_not_errors(proxmox: ProxmoxApi) -> None:
    """Which is why doctor compares them with what must be there."""
    with client(proxmox, token(proxmox)) as stranger:
        for path in ("/cluster/resources", f"{NODE}/qemu", "/pools", "/storage", f"{NODE}/storage", f"{NODE}/tasks"):
            assert stranger.get(path) == [], path
        assert stranger.get("/access/permissions") == {}
        refused = stranger.ask("GET", f"{TEMPLATE}/config")
    assert (refused.status, refused.message) == (403, "Permission check failed (/vms/9000, VM.Audit)\n")


@pytest.mark.parametrize("left_out", sorted(NEEDED - {"Datastore.Audit"}))
def test_each_privilege_of_the_deployments_token_is_needed(proxmox: ProxmoxApi, left_out: str) -> None:
    """One less, and some step of a machine's life is refused with its name."""
    mine = token(proxmox, ("/", USER, " ".join(NEEDED - {left_out})), separated=False)
    with client(proxmox, mine) as deployer, pytest.raises(AssertionError, match=left_out.replace(".", r"\.")):
        _life(deployer)


def test_the_deployments_token_is_enough(proxmox: ProxmoxApi, deployer: Client) -> None:
    """For all of it; and not for running programs in a guest."""
    _life(deployer)
    refused = deployer.ask("POST", f"{TEMPLATE}/agent/exec", command=["true"])
    assert refused.message == "Permission check failed (/vms/9000, VM.GuestAgent.Unrestricted)\n"


def _life(deployer: Client) -> None:
    """Everything that the provider and Fairlead do with a machine."""
    deployer.clone()
    for change in ({"cores": 2}, {"memory": 2048}, {"net0": "virtio,bridge=vmbr0"}, {"ide2": "local-lvm:cloudinit"},
                   {"scsi0": "file=local-lvm:vm-101-disk-0"}, {"tags": "x"}, {"scsihw": "virtio-scsi-single"},
                   {"ipconfig0": "ip=10.0.0.5/24"}, {"vga": "std"}):  # fmt: skip
        deployer.good("PUT", f"{FIRST}/config", **change)
    deployer.good("PUT", f"{FIRST}/cloudinit")
    deployer.task("PUT", f"{FIRST}/resize", disk="scsi0", size="5G")
    deployer.task("POST", f"{FIRST}/status/start")
    deployer.get(f"{FIRST}/agent/network-get-interfaces")
    deployer.get(f"{FIRST}/agent/file-read", file="/etc/hostname")
    deployer.get(f"{FIRST}/config")
    deployer.task("POST", f"{FIRST}/status/stop")
    deployer.task("DELETE", FIRST)


def test_permissions_can_be_asked(proxmox: ProxmoxApi, deployer: Client) -> None:
    """One's own; others' only with the right to see them."""
    own = deployer.get("/access/permissions", path="/vms/101")
    assert set(own["/vms/101"]) == NEEDED
    assert deployer.get("/access/roles/Fairlead") == dict.fromkeys(NEEDED, 1)
    assert {"roleid": "NoAccess", "privs": ""} in deployer.get("/access/roles")
    with client(proxmox, token(proxmox)) as stranger:
        assert stranger.ask("GET", "/access/permissions", userid="fairlead@pve!lab").status == 403


def test_only_root_ignores_locks_and_sets_what_is_nobody_elses(root: Client, deployer: Client) -> None:
    """As Proxmox says it."""
    deployer.clone()
    assert deployer.ask("PUT", f"{FIRST}/config", cores=2, skiplock=1).errors == {
        "skiplock": "Only root may use this option."
    }
    assert deployer.ask("PUT", f"{FIRST}/config", args="-s").message == "only root can set 'args' config\n"
    root.good("PUT", f"{FIRST}/config", args="-s")


def test_a_role_of_privileges_that_do_not_exist(proxmox: ProxmoxApi) -> None:
    """Is refused; and a permission that the lab cannot check is refused too, not granted."""
    access: Access = proxmox.cluster.access
    with pytest.raises(Refusal, match=r"VM\.Bogus"):
        access.add_role("r", ["VM.Bogus"])
    with pytest.raises(Refusal, match="does not check"):
        access.check(Principal("root@pam", "root@pam!root"), {"check": ["moon", "full"]}, {})


@pytest.mark.parametrize("left_out", ["SDN.Use", "Datastore.AllocateSpace"])
def test_a_clone_needs_its_bridge_and_its_storage(proxmox: ProxmoxApi, left_out: str) -> None:
    """What the schema leaves to the code."""
    with client(proxmox, token(proxmox, ("/", USER, " ".join(NEEDED - {left_out})), separated=False)) as deployer:
        refused = deployer.ask("POST", f"{TEMPLATE}/clone", newid=101, full=1)
    assert (refused.status, left_out in refused.message) == (403, True)
    assert not proxmox.cluster.has_machine(101)
