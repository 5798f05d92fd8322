"""Brings one release to its machine: provision, deploy, verify, prove. Each works on a clean export of one commit.

Nothing is remembered between the calls: what they need is in git, on the machine and at the site, so a CI system, a
person and the daemon agree. Only `prove` writes: the note that says that a release was verified.
"""

import os
import pwd
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.config.models import RunningDigestsCheck, SemaphoreDeploy
from fairlead.config.secrets import Secret, SecretClass
from fairlead.deploy.base import (
    Deployer,
    DeployRequest,
    DeployResult,
    OnEvent,
    Outcome,
    Running,
    RunningRequest,
    Target,
    ignore,
)
from fairlead.deployment_repo.proofs import Proof, Proofs
from fairlead.errors import Busy, FairleadError, InvalidPins, InvalidSetting, ReleaseFailed, SiteFault
from fairlead.images import ImageReference
from fairlead.pipeline.crash import crash
from fairlead.pipeline.machines import exported
from fairlead.pipeline.scope import Scope
from fairlead.provision.base import Machine
from fairlead.verify import base as checks
from fairlead.verify.base import Verdict, Verification
from fairlead.verify.checks import Surroundings, build_checks
from fairlead.verify.digests import Reading
from fairlead.verify.expressions import Values

if TYPE_CHECKING:
    from fairlead.deploy.semaphore.api import Server

SSH_KEY = "ssh_key"
SEMAPHORE_TOKEN = "semaphore_token"  # noqa: S105 - its name


def deploy(
    scope: Scope,
    machine: Machine,
    run: str,
    *,
    deployer: Deployer | None = None,
    dry_run: bool = False,
    on_event: OnEvent = ignore,
) -> DeployResult:
    """Bring the machine to the commit's release. The result says whose fault a failure is; see `deploy_fault`.

    deployer: default: the one that fairlead.yaml names. Raises ConfigurationError, InvalidPins, RepositoryError.
    """
    chosen = deployer or deployer_of(scope)
    with exported(scope) as checkout:
        target = _target(scope, machine, checkout, on_event)
        fence = scope.repository.fence(scope.commit)
        return chosen.deploy(DeployRequest(**vars(target), fence=fence, run=run, dry_run=dry_run))


def running(scope: Scope, machine: Machine, *, deployer: Deployer | None = None) -> Running:
    """What runs on the machine, compared with what the commit pins. Raises SiteFault where it cannot be asked."""
    with exported(scope) as checkout:
        request = RunningRequest(**vars(_target(scope, machine, checkout)))
        return (deployer or deployer_of(scope)).check_running(request)


def verify(
    scope: Scope,
    machine: Machine,
    *,
    new: bool,
    deployer: Deployer | None = None,
    retries: int | None = None,
    delay: float | None = None,
    on_attempt: checks.OnAttempt = checks.ignore,
) -> Verification:
    """Run the checks of fairlead.yaml, and in any case compare the running digests with git.

    new: the release has to show that it is stable (`verify.stable_for`). retries, delay (seconds): instead of what the
    file says. Raises ConfigurationError, InvalidPins.
    """
    settings = scope.configuration.verify
    wanted = settings.checks
    if not any(isinstance(check, RunningDigestsCheck) for check in wanted):
        wanted = (*wanted, RunningDigestsCheck())  # without it nothing could be proven
    policy = checks.Policy.of(settings, proven_before=not new)
    policy = replace(policy, retries=retries or policy.retries, delay=policy.delay if delay is None else delay)
    chosen = deployer or deployer_of(scope)
    with exported(scope) as checkout:
        request = RunningRequest(**vars(_target(scope, machine, checkout)))
        surroundings = Surroundings(
            values=Values(machine.vm_ip, scope.environment, scope.configuration.app, scope.commit, request.pins),
            directory=checkout,
            read_running=lambda: _reading(chosen.check_running(request)),
            mask=scope.variables.secrets.mask(),
        )
        return checks.verify(build_checks(wanted, surroundings), policy, on_attempt=on_attempt)


def prove(scope: Scope, run: str, verification: Verification) -> Proof:
    """Record that the release was verified, and push that. Raises ReleaseFailed for one that was not, PushContended."""
    if fault := verification_fault(scope, verification):
        raise fault
    proof = Proof(
        environment=scope.environment,
        run=run,
        commit=scope.commit,
        digests=_digests(scope.pins),
        checks=tuple(result.name for result in verification.results),
        started=verification.began,
        finished=verification.ended,
        by=_by(),
    )
    Proofs(scope.repository).add(proof)
    return proof


def proven_before(scope: Scope) -> bool:
    """Whether exactly these digests were proven in this environment, on whichever commit."""
    digests = _digests(scope.pins)
    proofs = (proof for found in Proofs(scope.repository).all().values() for proof in found)
    return any(proof.environment == scope.environment and proof.digests == digests for proof in proofs)


def deployer_of(scope: Scope) -> Deployer:
    """The deployer that fairlead.yaml names. Raises InvalidSetting, MissingSecret."""
    settings = scope.configuration.deploy
    if isinstance(settings, SemaphoreDeploy):
        return _semaphore_of(scope, settings)
    from fairlead.deploy.ansible import AnsibleDeployer  # noqa: PLC0415

    return AnsibleDeployer(settings, ssh_key=ssh_key(scope))


def _semaphore_of(scope: Scope, settings: SemaphoreDeploy) -> Deployer:
    from fairlead.deploy.semaphore.deployer import SemaphoreDeployer  # noqa: PLC0415
    from fairlead.deploy.semaphore.following import Pace  # noqa: PLC0415
    from fairlead.deploy.semaphore.records import Records  # noqa: PLC0415

    values = scope.variables
    pace = Pace(running=settings.deadline.total_seconds(), patience=settings.patience.total_seconds())
    return SemaphoreDeployer(
        semaphore_server(scope),
        settings,
        Records(values.state / "semaphore" / scope.configuration.app / f"{scope.environment}.json"),
        values.secrets.mask(),
        pace,
        lambda point: crash(values.crash_at, point),
    )


def semaphore_server(scope: Scope) -> "Server":
    """The Semaphore server of SEMAPHORE_URL. Raises InvalidSetting, MissingSecret."""
    from fairlead.deploy.semaphore.api import Server  # noqa: PLC0415

    values = scope.variables
    if not values.semaphore_url:
        raise InvalidSetting(
            "SEMAPHORE_URL is not set", why="Semaphore deploys here", remedy="export SEMAPHORE_URL=https://…"
        )
    return Server(values.semaphore_url, values.secrets.get(SecretClass.CONTROL, SEMAPHORE_TOKEN))


def ssh_key(scope: Scope) -> Secret | None:
    """The environment's own SSH key, else the one for all; None: ssh's agent or the user's keys are used."""
    own = f"{SSH_KEY}_{scope.environment.replace('-', '_')}"
    secrets = scope.variables.secrets
    return secrets.find(SecretClass.CONTROL, own) or secrets.find(SecretClass.CONTROL, SSH_KEY)


def deploy_fault(scope: Scope, result: DeployResult) -> FairleadError | None:
    """The error that a failed deploy is for whoever called; None for one that is good."""
    if result.ok:
        return None
    restored = {"": "", "yes": "The previous release serves", "nothing to restore": "Nothing served before"}
    why = [*result.log, restored.get(result.restored, f"The previous release could not be restored: {result.restored}")]
    what = f"{scope.environment}: the deploy of {scope.commit[:9]} failed: {result.reason}"
    if result.outcome is Outcome.RELEASE_FAULT:
        remedy = f"fairlead rollback -e {scope.environment} --failed --reason '{result.code}'"
        return ReleaseFailed(what, why="\n".join(filter(None, why)), remedy=remedy)
    kind = Busy if result.code == "busy" else SiteFault
    why.append("The pins stand, and nothing is rolled back")
    return kind(
        what, why="\n".join(filter(None, why)), remedy=result.remedy or "Mend the site, then repeat the command"
    )


def verification_fault(scope: Scope, verification: Verification) -> FairleadError | None:
    """The error that a failed verification is for whoever called; None for one that passed."""
    if verification.passed:
        return None
    why = "\n".join(f"{failure.name}: {failure.detail}" for failure in verification.failures)
    if verification.verdict is Verdict.SITE_FAULT:
        what = f"{scope.environment}: {scope.commit[:9]} could not be verified"
        return SiteFault(what, why=why, remedy=f"fairlead verify -e {scope.environment}")
    what = f"{scope.environment}: {scope.commit[:9]} is not what it should be"
    remedy = f"fairlead rollback -e {scope.environment} --failed --reason 'failed verification'"
    return ReleaseFailed(what, why=why, remedy=remedy)


def _target(scope: Scope, machine: Machine, checkout: Path, on_event: OnEvent = ignore) -> Target:
    return Target(
        environment=scope.environment,
        app=scope.configuration.app,
        commit=scope.commit,
        checkout=checkout,
        vm_ip=machine.vm_ip,
        pins=_pins(scope),
        secrets=_secrets(scope),
        on_event=on_event,
    )


def _secrets(scope: Scope) -> Mapping[str, Secret]:
    """Application secrets; none with Semaphore, which has them itself."""
    if isinstance(scope.configuration.deploy, SemaphoreDeploy):
        return {}
    secrets, names = scope.variables.secrets, scope.configuration.secrets.application
    return {name: secrets.get(SecretClass.APPLICATION, name) for name in names}


def _pins(scope: Scope) -> Mapping[str, ImageReference]:
    """What is deployed: every image by digest, or nothing at all."""
    pins = scope.pins
    loose = [f"{name}: {pin}" for name, pin in pins.items() if not pin.is_pin]
    if loose or not pins:
        raise InvalidPins(
            f"{scope.environment} has no release in commit {scope.commit[:9]}",
            why="Not pinned by digest: " + ", ".join(loose) if loose else "No image is pinned",
            remedy=f"fairlead bump -e {scope.environment}",
        )
    return pins


def _digests(pins: Mapping[str, ImageReference]) -> dict[str, str]:
    return {name: pin.digest for name, pin in pins.items() if pin.digest}


def _reading(running: Running) -> Reading:
    restarts = {f"{one.service} ({one.container})": one.restarts for one in running.containers}
    return Reading(running.differences, restarts)


def _by() -> str:
    """Who verifies, for people: user@host."""
    return f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
