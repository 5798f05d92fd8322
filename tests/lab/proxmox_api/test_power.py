"""The API believes the machines, not itself: whoever is switched off behind its back is stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.lab.progress import wait_until
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.lab.proxmox_api.instant import Instant
from fairlead.lab.proxmox_api.machine import Machine
from tests.lab.proxmox_api.client import FIRST, TEMPLATE, Client, client


class Switchboard(Instant):
    """Machines that anybody can switch, and whose tasks take a thread."""

    at_once = False

    def __init__(self) -> None:
        self.on: dict[int, dict[str, object]] = {}

    def start(self, machine: Machine) -> None:
        """With its configuration."""
        super().start(machine)
        self.on[machine.vmid] = dict(machine.config)

    def stop(self, machine: Machine, *, kill: bool) -> None:  # noqa: ARG002 - off is off
        """Off."""
        del self.on[machine.vmid]

    def powered(self) -> frozenset[int]:
        """Who is on."""
        return frozenset(self.on)


@pytest.fixture
def switchboard() -> Switchboard:
    """Of this test's own."""
    return Switchboard()


@pytest.fixture
def deployer(tmp_path: Path, switchboard: Switchboard) -> Iterator[Client]:
    """Of an API whose machines those are."""
    with ProxmoxApi.start(tmp_path / "proxmox", switchboard) as api, client(api, api.token) as made:
        yield made


def ended(deployer: Client, upid: str) -> str:
    """Wait for a task."""
    assert wait_until(lambda: bool(deployer.ended(upid)), within=60, every=0.02)
    return deployer.ended(upid)


def power(deployer: Client, word: str) -> str:
    """Press a button."""
    return ended(deployer, deployer.good("POST", f"{FIRST}/status/{word}"))


def status(deployer: Client) -> str:
    """What the API says."""
    return str(deployer.get(f"{FIRST}/status/current")["status"])


def test_power_is_what_the_machines_have(deployer: Client, switchboard: Switchboard) -> None:
    """Lost, come back, and again under the API's own hand."""
    assert ended(deployer, deployer.good("POST", f"{TEMPLATE}/clone", newid=101, full=1)) == "OK"
    assert power(deployer, "start") == "OK"
    del switchboard.on[101]
    assert status(deployer) == "stopped"
    assert power(deployer, "start") == "OK"
    del switchboard.on[101]
    switchboard.on[101] = {}
    assert status(deployer) == "running"
    assert power(deployer, "start") == "VM 101 already running"
    assert power(deployer, "stop") == "OK"
    assert switchboard.on == {}


def test_a_reset_keeps_what_is_in_force_and_a_reboot_takes_what_is_pending(
    deployer: Client, switchboard: Switchboard
) -> None:
    """As a button on the front of a machine does."""
    ended(deployer, deployer.good("POST", f"{TEMPLATE}/clone", newid=101, full=1))
    power(deployer, "start")
    deployer.good("PUT", f"{FIRST}/config", memory=4096)
    memory = []
    for word in ("reset", "reboot"):
        assert power(deployer, word) == "OK"
        memory.append(switchboard.on[101]["memory"])
    assert memory == ["1024", "4096"]
