"""Fairlead as a client of Proxmox: what it reads, what it refuses, whom it believes."""

from pathlib import Path

import pytest

from fairlead.config.secrets import Secret
from fairlead.errors import (
    AgentSilent,
    ConfigurationError,
    HostKeyChanged,
    MachineNotReady,
    MachineTaken,
    MissingSecret,
    ProxmoxDenied,
    ProxmoxError,
    ProxmoxUnreachable,
    ProxmoxUntrusted,
)
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.lab.proxmox_api.certificates import Authority
from fairlead.lab.proxmox_api.faults import Fault, Kind
from fairlead.provision import vacancy
from fairlead.provision.orphans import Wanted, sweep
from fairlead.provision.proxmox import CLOUD_INIT_LOG, CLOUD_INIT_RESULT, ProxmoxSite, trusts_anybody
from fairlead.provision.ready import Newcomer, wait_for_cloud_init, wait_until_ready, wait_until_unlocked
from tests.fixtures.registry import free_port
from tests.provision.site import NODE, TEMPLATE, Script, site_of, token_with
from tests.provision.test_ready import Clock
from tests.test_host_keys import ONE, OTHER

TAG = "shop-staging"
WANTED = Wanted(vm_id=101, name="shop-staging", tag=TAG, template_id=TEMPLATE)
NEW = Newcomer(NODE, 101, "192.0.2.10", made=True)
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"


@pytest.fixture
def site(proxmox: ProxmoxApi) -> ProxmoxSite:
    """With staging's machine, which runs."""
    script = Script(proxmox)
    script.clone(101, "shop-staging", tags=f"{TAG};web", address="192.0.2.10")
    script.start(101)
    return site_of(proxmox)


def test_machines_are_found_by_tag(site: ProxmoxSite) -> None:
    everything = site.machines()
    assert [(one.vm_id, one.template, one.status) for one in everything] == [
        (101, False, "running"),
        (9000, True, "stopped"),
    ]
    assert [str(one) for one in site.machines(TAG)] == ["shop-staging (pve1/101)"]
    assert site.machines("shop") == []


def test_the_host_key_is_the_machines_own(site: ProxmoxSite, proxmox: ProxmoxApi) -> None:
    assert site.host_keys(NODE, 101) == (proxmox.cluster.machine(101).host_key,)
    proxmox.cluster.put_guest_file(101, HOST_KEY, "ssh-ed25519 AAAA\n10.0.0.9 ssh-ed25519 BBBB")
    with pytest.raises(ProxmoxError, match="pve1/101 gives something else than an SSH public key"):
        site.host_keys(NODE, 101)


def test_the_log_is_cut_and_cleaned(site: ProxmoxSite, proxmox: ProxmoxApi) -> None:
    lines = [f"line {number} \x1b[31mred\x1b[0m {'x' * 500}" for number in range(50)]
    proxmox.cluster.put_guest_file(101, CLOUD_INIT_LOG, "\n".join(lines))
    log = site.cloud_init_log(NODE, 101).splitlines()
    assert len(log) == 20
    assert log[0].startswith("line 30  [31mred [0m xxx")
    assert max(map(len, log)) == 300


def test_a_token_that_sees_nothing_is_told_from_a_site_with_nothing(proxmox: ProxmoxApi) -> None:
    blind = site_of(proxmox, token_with(proxmox, "blind", {"/vms/101": {"VM.Audit"}}))
    assert blind.machines() == []
    with pytest.raises(ProxmoxDenied) as caught:
        sweep(blind, WANTED, in_state=())
    assert "does not show the template 9000" in caught.value.what
    assert "lacks VM.Audit" in caught.value.why
    assert caught.value.remedy == "pveum acl modify /vms/9000 --tokens 'blind@pve!test' --roles PVEAuditor"


def test_a_missing_privilege_is_named(site: ProxmoxSite, proxmox: ProxmoxApi) -> None:
    token = token_with(proxmox, "nosy", {"/vms": {"VM.Audit"}})
    with pytest.raises(ProxmoxDenied) as caught:
        site_of(proxmox, token).host_keys(NODE, 101)
    assert "the token lacks VM.GuestAgent.FileRead" in caught.value.what
    assert "on /vms/101" in caught.value.what
    assert "secret-of-nosy" not in str(caught.value)


def test_a_token_that_nobody_knows_is_refused(proxmox: ProxmoxApi) -> None:
    token = "fairlead@pve!lab=00000000-0000-0000-0000-000000000000"
    with pytest.raises(ProxmoxDenied, match="refuses the token fairlead@pve!lab") as caught:
        site_of(proxmox, token).machines()
    assert "00000000" not in str(caught.value)


@pytest.mark.parametrize(
    "token", ["secret-words", "fairlead@pve=secret-words", "!a=secret-words", "a@b!c= secret-words"]
)
def test_what_is_no_token_is_not_sent_and_not_shown(proxmox: ProxmoxApi, token: str) -> None:
    with pytest.raises(MissingSecret, match="The infrastructure secret proxmox_api_token is no API token") as caught:
        site_of(proxmox, token).machines()
    assert "secret-words" not in str(caught.value)
    assert not proxmox.requests


@pytest.mark.parametrize("endpoint", ["http://pve.example.com:8006/", "pve.example.com:8006", "", "https://a:b@pve/"])
def test_what_is_no_endpoint_is_refused(proxmox: ProxmoxApi, endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match=r"proxmox_endpoint: .* is not the address of a Proxmox API"):
        ProxmoxSite(endpoint, Secret(proxmox.token)).machines()


def test_a_changed_certificate_is_refused_and_no_token_sent(proxmox: ProxmoxApi) -> None:
    site = site_of(proxmox)
    site.machines()
    sent = len(proxmox.requests)
    proxmox.faults.add(Fault(Kind.CERTIFICATE_CHANGED))
    with pytest.raises(ProxmoxUntrusted, match="shows a certificate that is not trusted") as caught:
        site_of(proxmox).machines()
    assert "export SSL_CERT_FILE=" in caught.value.remedy
    assert len(proxmox.requests) == sent


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_another_authoritys_certificate_is_refused(proxmox: ProxmoxApi, tmp_path: Path) -> None:
    other = Authority.at(tmp_path).file
    with pytest.raises(ProxmoxUntrusted):
        ProxmoxSite(proxmox.url, Secret(proxmox.token), other).machines()
    assert ProxmoxSite(proxmox.url, Secret(proxmox.token), other, insecure=True).machines()


def test_nobody_there_and_nobody_answers_can_be_waited_for(proxmox: ProxmoxApi) -> None:
    nowhere = f"https://127.0.0.1:{free_port()}/"
    with pytest.raises(ProxmoxUnreachable, match="does not answer") as caught:
        ProxmoxSite(nowhere, Secret(proxmox.token), proxmox.ca_file).machines()
    assert "Connection refused" in caught.value.why
    proxmox.faults.add(Fault(Kind.API_HANGS, seconds=3.0, times=1))
    slow = ProxmoxSite(proxmox.url, Secret(proxmox.token), proxmox.ca_file, timeout=0.5)
    with pytest.raises(ProxmoxUnreachable, match="does not answer"):
        slow.machines()


def test_an_error_of_proxmox_is_shown_in_its_words(proxmox: ProxmoxApi) -> None:
    proxmox.faults.add(Fault(Kind.API_ERROR, path="/cluster/resources", message="got no quorum"))
    with pytest.raises(ProxmoxError) as caught:
        site_of(proxmox).machines()
    assert "refuses cluster/resources" in caught.value.what
    assert "got no quorum" in caught.value.why


def test_an_orphan_is_ours_a_strangers_machine_stops_the_run(site: ProxmoxSite, proxmox: ProxmoxApi) -> None:
    orphan = sweep(site, WANTED, in_state=())
    assert orphan is not None
    assert (orphan.node, orphan.vm_id, orphan.name) == (NODE, 101, "shop-staging")
    assert sweep(site, WANTED, in_state={101}) is None
    Script(proxmox).machines(101).config.put(name="mail", tags="")
    with pytest.raises(MachineTaken, match=r"^mail \(pve1/101\) has the number 101, and is not the machine"):
        sweep(site, WANTED, in_state=())


def test_a_clone_that_still_goes_on_is_waited_for(proxmox: ProxmoxApi) -> None:
    proxmox.faults.add(Fault(Kind.TASK_SLOW, task="qmclone", seconds=5.0))
    script, site = Script(proxmox), site_of(proxmox)
    task = script.machines(TEMPLATE).clone.post(newid=101, name="shop-staging", full=1)
    orphan = sweep(site, WANTED, in_state=())
    assert orphan is not None
    assert orphan.tags == ()
    assert site.lock_of(NODE, 101) == "clone"
    with pytest.raises(MachineNotReady, match=r"pve1/101 is still locked \(clone\) after 0 s"):
        wait_until_unlocked(site, NODE, 101, Clock().patience(0.0))
    wait_until_unlocked(site, NODE, 101)
    assert script.wait(task) == "OK"


def test_an_address_that_another_machine_is_configured_with_is_taken(site: ProxmoxSite) -> None:
    machines = site.machines()
    with pytest.raises(MachineTaken) as caught:
        vacancy.refuse_taken_address(site, machines, 102, "192.0.2.10")
    assert (caught.value.what, caught.value.why) == (
        "The address 192.0.2.10 is taken",
        "shop-staging (pve1/101) is configured with it",
    )
    vacancy.refuse_taken_address(site, machines, 101, "192.0.2.10")


def test_addresses_of_every_card_are_read() -> None:
    configuration = {
        "ipconfig0": "gw=10.0.0.1,ip=10.0.0.5/24,ip6=auto",
        "ipconfig12": "ip6=fd00::5/64,ip=dhcp",
        "net0": "x",
    }
    assert vacancy.addresses(configuration) == {"10.0.0.5", "fd00::5"}


@pytest.mark.parametrize(
    ("values", "variable", "insecure"),
    [
        ({}, "", False),
        ({}, "true", True),
        ({}, "1", True),
        ({"proxmox_insecure": True}, "", True),
        ({"proxmox_insecure": "true"}, "", True),
        ({"proxmox_insecure": False}, "true", False),
        ({}, "false", False),
    ],
)
def test_the_certificate_is_looked_at_unless_opentofu_is_told_otherwise(
    values: dict[str, object], variable: str, insecure: bool
) -> None:
    secrets = {"TF_VAR_proxmox_insecure": Secret(variable)} if variable else {}
    assert trusts_anybody("staging", values, secrets) is insecure
    if not insecure:
        assert not trusts_anybody("production", values, secrets)
        return
    with pytest.raises(ConfigurationError, match="production: proxmox_insecure is refused for production"):
        trusts_anybody("production", values, secrets)


def test_cloud_init_that_never_ends_shows_its_log(site: ProxmoxSite, proxmox: ProxmoxApi) -> None:
    proxmox.cluster.put_guest_file(101, CLOUD_INIT_RESULT, "")
    proxmox.cluster.put_guest_file(101, CLOUD_INIT_LOG, "first\nE: Unable to locate package dockr\n")
    clock = Clock()
    with pytest.raises(MachineNotReady) as caught:
        wait_until_ready(site, NEW, clock.patience(5.0))
    assert caught.value.what == "The machine 192.0.2.10 (pve1/101) did not end cloud-init within 5 s"
    assert caught.value.why == f"{CLOUD_INIT_LOG} ends with:\nfirst\nE: Unable to locate package dockr"
    assert "qm terminal 101" in caught.value.remedy
    assert clock.seconds == 5.0


def test_cloud_init_that_ends_with_an_error_is_no_ready_machine(site: ProxmoxSite, proxmox: ProxmoxApi) -> None:
    result = '{"v1": {"datasource": "x", "errors": ["(\'scripts_user\', RuntimeError())"]}}'
    proxmox.cluster.put_guest_file(101, CLOUD_INIT_RESULT, result)
    with pytest.raises(MachineNotReady, match=r"ended cloud-init with an error: \('scripts_user'"):
        wait_for_cloud_init(site, NEW, Clock().patience(5.0))


def test_without_an_agent_nothing_is_trusted(site: ProxmoxSite, proxmox: ProxmoxApi) -> None:
    proxmox.faults.add(Fault(Kind.AGENT_SILENT, vmid=101))
    for made, known in ((True, ()), (True, (ONE,)), (False, ())):
        with pytest.raises(AgentSilent) as caught:
            wait_until_ready(site, Newcomer(NODE, 101, "192.0.2.10", made=made, known=known), Clock().patience(2.0))
        assert caught.value.what == (
            "The host key of 192.0.2.10 (pve1/101) cannot be read: its guest agent does not answer"
        )
        assert caught.value.why == "500 QEMU guest agent is not running"
        assert "docs/how-to/host-keys.md" in caught.value.remedy


def test_a_machine_that_is_off_is_not_blamed_on_its_agent(site: ProxmoxSite, proxmox: ProxmoxApi) -> None:
    Script(proxmox).wait(Script(proxmox).machines(101).status.stop.post())
    with pytest.raises(AgentSilent, match="The machine pve1/101 is not running"):
        site.host_keys(NODE, 101)


def test_a_changed_host_key_stops_before_the_machine_is_asked(site: ProxmoxSite) -> None:
    known = Newcomer(NODE, 101, "192.0.2.10", known=(OTHER,))
    with pytest.raises(HostKeyChanged, match="has another SSH host key than deployment/ansible/known_hosts"):
        wait_until_ready(site, known, Clock().patience(2.0))
