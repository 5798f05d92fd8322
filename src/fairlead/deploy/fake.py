"""Machines in memory, for dry runs and tests. They keep a fence and what runs, as real ones do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fairlead.deploy.base import (
    DeployRequest,
    DeployResult,
    Event,
    Outcome,
    Running,
    RunningContainer,
    RunningRequest,
    ServiceChange,
    Target,
    cannot_look,
    unpinned,
)
from fairlead.images import ImageReference


@dataclass
class FakeMachine:
    """What a machine remembers. running: what each service runs, by the Ansible variable of its image."""

    fence: int | None = None
    running: dict[str, ImageReference] = field(default_factory=dict)


@dataclass
class FakeDeployer:
    """Deploys to `machines`, by address; an address that is not there becomes a new machine.

    broken: images (by digest) that never become healthy. missing: digests that the registry does not have. unreachable:
    addresses that do not answer. before: called with each request first; what it raises ends the call.
    """

    machines: dict[str, FakeMachine] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    unreachable: set[str] = field(default_factory=set)
    before: Callable[[Target], None] = lambda _request: None

    def deploy(self, request: DeployRequest) -> DeployResult:
        """What a machine would do. See `Deployer.deploy`."""
        self.before(request)
        request.on_event(Event("Deploy", "started"))
        result = self._deploy(request)
        request.on_event(
            Event("Deploy", "failed" if not result.ok else "changed" if result.changes else "ok", 0.0, result.reason)
        )
        return result

    def _deploy(self, request: DeployRequest) -> DeployResult:
        if request.vm_ip in self.unreachable:
            return DeployResult(Outcome.SITE_FAULT, f"{request.vm_ip} does not answer over SSH", code="unreachable")
        machine = self.machines.setdefault(request.vm_ip, FakeMachine())
        if machine.fence is not None and request.fence < machine.fence:
            reason = f"this release is number {request.fence} of the branch, and number {machine.fence} has been here"
            return DeployResult(Outcome.SITE_FAULT, reason, code="stale")
        if request.dry_run:
            changes = _changes(machine.running, request.pins)
            return DeployResult(Outcome.DEPLOYED if changes else Outcome.UNCHANGED, changes=changes)
        machine.fence = request.fence
        return self._roll_out(machine, request.pins)

    def _roll_out(self, machine: FakeMachine, pins: Mapping[str, ImageReference]) -> DeployResult:
        for name, pin in pins.items():
            if pin.digest in self.missing:
                return DeployResult(
                    Outcome.RELEASE_FAULT, f"cannot pull: {pin} not found", code="image-missing", service=name
                )
            if pin.digest in self.broken:
                log = (f"{name}: this image is broken",)
                restored = "yes" if machine.running else "nothing to restore"
                reason = f"{name} never became healthy"
                return DeployResult(
                    Outcome.RELEASE_FAULT, reason, code="unhealthy", service=name, log=log, restored=restored
                )
        changes = _changes(machine.running, pins)
        machine.running = dict(pins)
        return DeployResult(Outcome.DEPLOYED if changes else Outcome.UNCHANGED, changes=changes)

    def check_running(self, request: RunningRequest) -> Running:
        """What a machine would say. See `Deployer.check_running`."""
        self.before(request)
        if request.vm_ip in self.unreachable:
            raise cannot_look(request, f"{request.vm_ip} does not answer over SSH")
        running = self.machines.get(request.vm_ip, FakeMachine()).running
        containers = tuple(_container(name, reference) for name, reference in sorted(running.items()))
        return Running(containers, unpinned(request.pins, containers))


def _changes(old: Mapping[str, ImageReference], new: Mapping[str, ImageReference]) -> tuple[ServiceChange, ...]:
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return tuple(
        ServiceChange(name, _action(old.get(name), new.get(name)), old.get(name), new.get(name)) for name in names
    )


def _action(old: ImageReference | None, new: ImageReference | None) -> str:
    return "create" if old is None else "remove" if new is None else "replace"


def _container(name: str, reference: ImageReference) -> RunningContainer:
    digests = frozenset([reference.digest] if reference.digest else [])
    return RunningContainer(name, f"fake-{name}", str(reference), digests, "running", "healthy")
