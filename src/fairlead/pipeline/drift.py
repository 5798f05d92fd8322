"""What differs from git without anybody having committed it: infrastructure by a plan, the machine by a look.

The infrastructure is compared with the branch's head, which says what it is to be; the machine with the newest proven
release, which is what it should run until another one is deployed.
"""

from dataclasses import dataclass
from typing import Any

from fairlead.deploy.base import Deployer, Outcome
from fairlead.deployment_repo.proofs import Proofs
from fairlead.pipeline import machines, rollout
from fairlead.pipeline.release import new_run
from fairlead.pipeline.scope import Scope
from fairlead.provision.base import Machine


@dataclass(frozen=True, slots=True)
class Drift:
    """One environment, in words. vm_ip: "" where there is no machine.

    commit, infrastructure: compared with it, what an apply would change. proven, machine: the release that should run,
    "" for none, and what on the machine is not as it says.
    """

    environment: str
    vm_ip: str
    commit: str
    infrastructure: tuple[str, ...]
    proven: str = ""
    machine: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether anything differs."""
        return bool(self.infrastructure or self.machine)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        place = {"environment": self.environment, "vm_ip": self.vm_ip, "drifted": self.found}
        commits = {"commit": self.commit, "proven": self.proven or None}
        return {**place, **commits, "infrastructure": list(self.infrastructure), "machine": list(self.machine)}


def drift_of(scope: Scope, deployer: Deployer | None = None) -> Drift:
    """Compare, and change nothing. Raises what a plan and a look at the machine raise."""
    machine = _machine(scope)
    found = Drift(scope.environment, machine.vm_ip, scope.commit, machine.changes)
    proof = Proofs(scope.repository).last_proven(scope.environment)
    if proof is None or not machine.vm_ip:
        return found
    lines = _on_machine(scope.at(proof.commit), machine, deployer)
    return Drift(scope.environment, machine.vm_ip, scope.commit, machine.changes, proof.commit, lines)


def _machine(scope: Scope) -> Machine:
    if scope.brief.made:
        return machines.provision(scope, machines.Wish(plan_only=True))
    return machines.machine_of(scope)


def _on_machine(scope: Scope, machine: Machine, deployer: Deployer | None) -> tuple[str, ...]:
    """The images that do not run as pinned, and what else a deploy would change."""
    chosen = deployer or rollout.deployer_of(scope)
    running = rollout.running(scope, machine, deployer=chosen)
    result = rollout.deploy(scope, machine, new_run(scope.environment), deployer=chosen, dry_run=True)
    if fault := rollout.deploy_fault(scope, result):
        raise fault
    lines = (*running.differences, *(f"{change.service}: {change.action}" for change in result.changes))
    if result.outcome is Outcome.DEPLOYED and not lines:
        lines = ("docker-compose.yml or .env on the machine is not the release's",)
    return lines
