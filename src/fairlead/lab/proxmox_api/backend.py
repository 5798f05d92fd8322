"""What stands behind a VM: the seam between the API and the lab's machines.

`instant` has none (for tests), `containers` makes each VM a machine container.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fairlead.lab.proxmox_api.machine import Machine


class AgentSilent(Exception):
    """The guest agent does not answer (yet)."""


class GuestError(Exception):
    """The guest agent answers that it cannot."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A network card as the guest sees it. addresses: with prefix, `10.0.0.5/24`."""

    name: str
    hardware_address: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that ran in the guest."""

    exit_code: int
    stdout: str
    stderr: str


class Guest(Protocol):
    """What the guest agent can tell of a running machine."""

    def interfaces(self) -> Sequence[Interface]:
        """All network cards, also the loopback."""

    def read(self, path: str) -> bytes:
        """A file's content. Raises GuestError."""

    def run(self, argv: Sequence[str], stdin: bytes) -> Ended:
        """Run a program to its end. Raises GuestError if it cannot be started."""

    def os_release(self) -> str:
        """The content of /etc/os-release."""

    def host_name(self) -> str:
        """Its own name."""


class Backend(Protocol):
    """Makes, powers and removes what a VM stands for. at_once: nothing of it takes time."""

    at_once: bool

    def make(self, machine: Machine, source: Machine) -> None:
        """A clone is there, with what the source has on its disks."""

    def start(self, machine: Machine) -> None:
        """Power on, with the machine's configuration in force."""

    def stop(self, machine: Machine, *, kill: bool) -> None:
        """Power off: in order, or pulled out."""

    def destroy(self, machine: Machine) -> None:
        """Remove it and its disks."""

    def powered(self) -> frozenset[int] | None:
        """Those that really run; None: whatever the API thinks."""

    def guest(self, machine: Machine) -> Guest:
        """The running machine's agent. Raises AgentSilent."""
