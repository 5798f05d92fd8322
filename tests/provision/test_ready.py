"""Waiting for a machine: what is asked of ssh, and whose key is believed. The agent's part is in test_proxmox.py."""

from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.errors import HostKeyChanged, MachineNotReady, MachineTaken
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.lab.proxmox_api.faults import Fault, Kind
from fairlead.lab.site import Site
from fairlead.provision import vacancy
from fairlead.provision.ready import Newcomer, Patience, refuse_changed, ssh_argv, wait_for_ssh, wait_until_ready
from tests.fixtures.registry import free_port
from tests.provision.site import NODE, Script, site_of
from tests.test_host_keys import ONE, OTHER

MACHINE = Newcomer("pve1", 111, "10.0.0.5", known=(ONE,))
RSA = ONE.replace("ssh-ed25519 ", "ssh-rsa ")


class Clock:
    """Time passes only while somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def patience(self, within: float) -> Patience:
        return Patience(within, 1.0, self.now, self.sleep)


def test_ssh_is_asked_with_the_key_and_without_a_login() -> None:
    argv = ssh_argv("10.0.0.5", 2222, Path("/run/known_hosts"))
    assert argv[-5:] == ["-p", "2222", "--", "10.0.0.5", "true"]
    options = argv[3:-5:2]
    assert argv[:2] == ["ssh", "-T"]
    assert {
        "StrictHostKeyChecking=yes",
        "UserKnownHostsFile=/run/known_hosts",
        "GlobalKnownHostsFile=/dev/null",
    } <= set(options)
    assert {"BatchMode=yes", "PreferredAuthentications=none", "ControlPath=none"} <= set(options)


@pytest.mark.parametrize(
    ("machine", "keys"),
    [
        (MACHINE, (ONE,)),
        (replace(MACHINE, known=(OTHER, ONE)), (ONE,)),
        (replace(MACHINE, known=()), (OTHER,)),
        (replace(MACHINE, made=True), (OTHER,)),
        (replace(MACHINE, known=(RSA,)), (OTHER,)),
    ],
)
def test_a_key_that_may_be_there(machine: Newcomer, keys: tuple[str, ...]) -> None:
    refuse_changed(machine, keys)


def test_a_changed_key_stops_unless_the_machine_was_just_made() -> None:
    with pytest.raises(HostKeyChanged) as caught:
        refuse_changed(MACHINE, (OTHER,))
    assert caught.value.what == (
        "The machine 10.0.0.5 (pve1/111) has another SSH host key than deployment/ansible/known_hosts"
    )
    assert "docs/how-to/host-keys.md" in caught.value.remedy


def test_nobody_listens() -> None:
    port, clock = free_port(), Clock()
    with pytest.raises(MachineNotReady) as caught:
        wait_for_ssh("127.0.0.1", port, (ONE,), clock.patience(3.0))
    assert caught.value.what == f"127.0.0.1 does not answer on port {port} within 3 s"
    assert "Connection refused" in caught.value.why
    assert clock.seconds == 3.0


@pytest.mark.lab
def test_sshd_answers_with_the_machines_own_key(lab_site: Site) -> None:
    machine = lab_site.machines["staging"]
    clock = Clock()
    wait_for_ssh(machine.address, 22, (OTHER, machine.host_key), clock.patience(3.0))
    assert clock.seconds == 0.0
    with pytest.raises(HostKeyChanged, match=f"^{machine.address} answers with another SSH host key"):
        wait_for_ssh(machine.address, 22, (OTHER,), clock.patience(3.0))
    assert clock.seconds == 0.0


@pytest.mark.lab
def test_a_machine_is_ready_when_cloud_init_ended_and_its_own_key_answers(lab_site: Site, proxmox: ProxmoxApi) -> None:
    machine = lab_site.machines["staging"]
    Script(proxmox).clone(101, "shop-staging", address=machine.address)
    Script(proxmox).start(101)
    proxmox.cluster.put_guest_file(101, "/etc/ssh/ssh_host_ed25519_key.pub", machine.host_key)
    made = Newcomer(NODE, 101, machine.address, made=True, known=(ONE,))
    assert wait_until_ready(site_of(proxmox), made, Clock().patience(3.0)) == (machine.host_key,)
    proxmox.faults.add(Fault(Kind.AGENT_SILENT, vmid=101))
    known = replace(made, made=False, known=(machine.host_key,))
    assert wait_until_ready(site_of(proxmox), known, Clock().patience(3.0)) == (machine.host_key,)


@pytest.mark.lab
def test_an_address_is_taken_by_whoever_answers_also_by_a_refusal(lab_site: Site, proxmox: ProxmoxApi) -> None:
    machine = lab_site.machines["staging"].address
    with pytest.raises(MachineTaken, match="Somebody answers there, and VM 102 is not made yet"):
        vacancy.refuse_taken_address(site_of(proxmox), [], 102, machine)
    assert vacancy.answers(machine, port=1)
    assert not vacancy.answers(f"{machine.rpartition('.')[0]}.250", within=0.2)
    assert not vacancy.answers("127.0.0.1")
