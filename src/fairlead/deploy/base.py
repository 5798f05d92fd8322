"""The seam: what every deployer does, and what it says about it.

tests/conformance/test_deployer.py holds every implementation to this.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from fairlead.config.secrets import Secret
from fairlead.errors import SiteFault
from fairlead.images import ImageReference

EventState = Literal["started", "ok", "changed", "skipped", "retrying", "ignored", "failed", "unreachable", "note"]


class Outcome(StrEnum):
    """How a deploy ended, and with that who must act."""

    DEPLOYED = "deployed"
    UNCHANGED = "unchanged"
    RELEASE_FAULT = "release_fault"
    """The release's own images: unhealthy, exiting, missing. Repeating does not help."""
    SITE_FAULT = "site_fault"
    """ssh, the engine, the registry, a disk, another holder: repeating may help, the pins stand."""


@dataclass(frozen=True, slots=True)
class Event:
    """One sign of life. name: the task's. seconds: how long it took, 0 while it has not ended."""

    name: str
    state: EventState
    seconds: float = 0.0
    detail: str = ""


OnEvent = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Nobody listens."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One release for one machine.

    app: the application's name in fairlead.yaml. checkout: a clean export of `commit`. vm_ip: the machine. pins: what
    the commit pins for the environment, by Ansible variable. secrets: application secrets by Ansible variable.
    """

    environment: str
    app: str
    commit: str
    checkout: Path
    vm_ip: str
    pins: Mapping[str, ImageReference]
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    on_event: OnEvent = ignore


@dataclass(frozen=True, kw_only=True)
class DeployRequest(Target):
    """What is to run.

    fence: the commit's position on the branch; a machine refuses a lower one than it had. dry_run: say what would
    change, and change nothing; the outcome is then what it would be.
    """

    fence: int
    run: str
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class RunningRequest(Target):
    """What should be running."""


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """What happened to one service. old, new: image references, "" for none."""

    service: str
    action: str
    old: ImageReference | None
    new: ImageReference | None


@dataclass(frozen=True)
class DeployResult:
    """How a deploy ended.

    reason, remedy, code: of a fault; codes are the deployer's own, stable words ("unhealthy", "stale", "busy",
    "unreachable", "host-key"). service, log: the culprit and its last lines. restored: whether what served before
    serves again, in words; "" where nothing had been touched. changes: only services that changed. timings: seconds
    per phase.
    """

    outcome: Outcome
    reason: str = ""
    remedy: str = ""
    code: str = ""
    service: str = ""
    log: tuple[str, ...] = ()
    restored: str = ""
    changes: tuple[ServiceChange, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the release runs."""
        return self.outcome in (Outcome.DEPLOYED, Outcome.UNCHANGED)


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """One container, as its machine sees it.

    digests: every digest that its image is known by (index and platform). restarts: how often the engine restarted it.
    """

    service: str
    container: str
    image: str
    digests: frozenset[str]
    status: str
    health: str = ""
    restarts: int = 0


@dataclass(frozen=True)
class Running:
    """What runs on a machine. differences: from what the commit pins, in words; none: it runs exactly the release."""

    containers: tuple[RunningContainer, ...]
    differences: tuple[str, ...]

    @property
    def matches(self) -> bool:
        """Whether the running digests are the committed ones."""
        return not self.differences


class Deployer(Protocol):
    """Puts a release on a machine, and reads what runs there. Both are safe to repeat."""

    def deploy(self, request: DeployRequest) -> DeployResult:
        """Bring the machine to the release. Faults are outcomes; raises ConfigurationError for values that cannot be
        passed on, ProgramInterrupted when told to stop.
        """

    def check_running(self, request: RunningRequest) -> Running:
        """Compare the running digests with the pins, changing nothing. Raises SiteFault where it cannot look."""


def unpinned(pins: Mapping[str, ImageReference], containers: tuple[RunningContainer, ...]) -> tuple[str, ...]:
    """The pins that no running container has, in words: a service that a template forgot proves nothing."""
    running = {digest for container in containers if container.status == "running" for digest in container.digests}
    return tuple(f"{name}: nothing runs {pin}" for name, pin in sorted(pins.items()) if pin.digest not in running)


def cannot_look(request: Target, reason: str, remedy: str = "") -> SiteFault:
    """The machine could not be read."""
    return SiteFault(
        f"Cannot read what runs on {request.vm_ip} ({request.environment})",
        why=reason,
        remedy=remedy or "Repeat the command; fairlead doctor checks the way to the machine",
    )
