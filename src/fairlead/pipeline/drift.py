"""What differs from git without anybody having committed it: infrastructure by a plan, the machine by a look."""

from dataclasses import dataclass
from typing import Any

from fairlead.config.models import OpentofuProvision
from fairlead.deploy.base import Deployer, Outcome
from fairlead.pipeline import rollout
from fairlead.pipeline.scope import Scope
from fairlead.provision.base import Machine


@dataclass(frozen=True, slots=True)
class Drift:
    """One environment against one commit, in words. vm_ip: "" where there is no machine.

    infrastructure: what an apply would change. running: images that do not run as pinned. machine: what a deploy would
    change there besides, the Compose file included.
    """

    environment: str
    commit: str
    vm_ip: str
    infrastructure: tuple[str, ...]
    running: tuple[str, ...]
    machine: tuple[str, ...]

    @property
    def found(self) -> bool:
        """Whether anything differs."""
        return bool(self.infrastructure or self.running or self.machine)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        found = {"infrastructure": self.infrastructure, "running": self.running, "machine": self.machine}
        place = {"environment": self.environment, "commit": self.commit, "vm_ip": self.vm_ip, "drift": self.found}
        return {**place, **{name: list(lines) for name, lines in found.items()}}


def drift_of(scope: Scope, deployer: Deployer | None = None) -> Drift:
    """Compare, and change nothing. Raises what a plan and a look at the machine raise."""
    machine = _machine(scope)
    running, rest = _on_machine(scope, machine, deployer) if machine.vm_ip else ((), ())
    return Drift(scope.environment, scope.commit, machine.vm_ip, machine.changes, running, rest)


def _machine(scope: Scope) -> Machine:
    if isinstance(scope.configuration.provision, OpentofuProvision):
        return rollout.provision(scope, rollout.Wish(plan_only=True))
    return rollout.machine_of(scope)


def _on_machine(scope: Scope, machine: Machine, deployer: Deployer | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The images that do not run as pinned, and what a deploy would change."""
    chosen = deployer or rollout.deployer_of(scope)
    running = rollout.running(scope, machine, deployer=chosen)
    result = rollout.deploy(scope, machine, f"{scope.environment} drift", deployer=chosen, dry_run=True)
    if fault := rollout.deploy_fault(scope, result):
        raise fault
    services = tuple(f"{change.service}: {change.action}" for change in result.changes)
    if result.outcome is Outcome.DEPLOYED and not services:
        services = ("the Compose file or .env differs",)
    return running.differences, services
