"""Brings one release to its machine: provision, deploy, verify, prove. Each works on a clean export of one commit.

Nothing is remembered between the calls: what they need is in git, on the machine and at the site, so a CI system, a
person and the daemon agree. Only `prove` writes: the note that says that a release was verified.
"""

import os
import pwd
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.config import layout
from fairlead.config.models import OpentofuProvision, RunningDigestsCheck, SemaphoreDeploy, StaticProvision
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
from fairlead.deploy.private import private_directory
from fairlead.deployment_repo.proofs import Proof, Proofs
from fairlead.errors import Busy, FairleadError, InvalidPins, InvalidSetting, ReleaseFailed, SiteFault
from fairlead.images import ImageReference
from fairlead.pipeline.crash import crash
from fairlead.pipeline.scope import Scope
from fairlead.provision.base import Machine, Provisioner, ProvisionRequest
from fairlead.provision.static import StaticProvisioner
from fairlead.verify import base as checks
from fairlead.verify.base import Verdict, Verification
from fairlead.verify.checks import Surroundings, build_checks
from fairlead.verify.digests import Reading
from fairlead.verify.expressions import Values

if TYPE_CHECKING:
    from fairlead.deploy.semaphore.api import Server

SSH_KEY = "ssh_key"
SEMAPHORE_TOKEN = "semaphore_token"  # noqa: S105 - its name


@dataclass(frozen=True, slots=True)
class Wish:
    """How a machine is asked for.

    vm_ip: where it is, said by the caller; nothing is looked up or made then. run: whose lease it is. plan_only: change
    nothing. refresh: plan, also where nothing seems to have changed. allow_replace: the one plan that may destroy.
    """

    vm_ip: str | None = None
    run: str = ""
    plan_only: bool = False
    refresh: bool = False
    allow_replace: str = ""


def provision(scope: Scope, wish: Wish = Wish()) -> Machine:
    """The environment's machine; its host key and the provider's checksums, where they are new, are committed.

    Raises ConfigurationError, SiteFault, ProvisionError, ProxmoxError, Busy, PushContended.
    """
    provisioner = provisioner_of(scope, wish.vm_ip)
    with _exported(scope) as checkout:
        request = replace(
            _provision_request(scope, checkout),
            run=wish.run or f"{scope.environment} by hand",
            plan_only=wish.plan_only,
            refresh=wish.refresh,
            allow_replace=wish.allow_replace,
        )
        machine = provisioner.provision(request)
    if machine.host_keys or machine.files:
        _commit_machine(scope, machine)
    return machine


def machine_of(scope: Scope, vm_ip: str | None = None) -> Machine:
    """The environment's machine as it was provisioned last; nothing is made or changed, and no plan is made.

    Raises ConfigurationError, StateUnreachable, SiteFault where there is none yet.
    """
    provisioner = provisioner_of(scope, vm_ip)
    if vm_ip or not isinstance(scope.configuration.provision, OpentofuProvision):
        return provisioner.provision(_provision_request(scope, Path()))
    from fairlead.provision.opentofu import OpentofuProvisioner  # noqa: PLC0415

    assert isinstance(provisioner, OpentofuProvisioner)
    address = provisioner.address(_provision_request(scope, Path()))
    if not address:
        raise SiteFault(
            f"{scope.environment} has no machine yet",
            why="OpenTofu has never applied its code there",
            remedy=f"fairlead provision -e {scope.environment}",
        )
    return Machine(address)


def _provision_request(scope: Scope, checkout: Path) -> ProvisionRequest:
    made = isinstance(scope.configuration.provision, OpentofuProvision)
    repository = scope.repository
    known = repository.read(repository.head(), layout.KNOWN_HOSTS) if made else None
    return ProvisionRequest(
        environment=scope.environment,
        app=scope.configuration.app,
        commit=scope.commit,
        checkout=checkout,
        secrets=scope.variables.secrets.infrastructure() if made else {},
        fence=repository.fence(scope.commit) if made else 0,
        known_hosts=(known or b"").decode(errors="replace"),
        port=scope.configuration.deploy.port,
    )


def _commit_machine(scope: Scope, machine: Machine) -> None:
    """Write what git should know of a machine that was made: its host key, and the provider's checksums."""
    from fairlead.deployment_repo.amend import amend  # noqa: PLC0415
    from fairlead.provision.host_keys import with_host_keys  # noqa: PLC0415

    port = scope.configuration.deploy.port

    def build(present: Mapping[str, bytes | None]) -> dict[str, bytes]:
        files = {path: content for path, content in machine.files.items() if present[path] is None}
        if machine.host_keys:
            text = (present[layout.KNOWN_HOSTS] or b"").decode(errors="replace")
            files[layout.KNOWN_HOSTS] = with_host_keys(text, machine.vm_ip, machine.host_keys, port).encode()
        return files

    what = "the host key" if machine.host_keys else "the provider"
    message = (
        f"build({scope.environment}): {what} of {machine.vm_ip}\n\n"
        "Read by the guest agent through the Proxmox API; ssh accepts no other key there.\n"
    )
    amend(scope.repository, [layout.KNOWN_HOSTS, *machine.files], build, message)


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
    with _exported(scope) as checkout:
        target = _target(scope, machine, checkout, on_event)
        fence = scope.repository.fence(scope.commit)
        return chosen.deploy(DeployRequest(**vars(target), fence=fence, run=run, dry_run=dry_run))


def running(scope: Scope, machine: Machine, *, deployer: Deployer | None = None) -> Running:
    """What runs on the machine, compared with what the commit pins. Raises SiteFault where it cannot be asked."""
    with _exported(scope) as checkout:
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
    with _exported(scope) as checkout:
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


def provisioner_of(scope: Scope, vm_ip: str | None = None) -> Provisioner:
    """The provisioner that fairlead.yaml names; a given address needs none. Raises InvalidSetting."""
    settings = scope.configuration.provision
    if vm_ip:
        return StaticProvisioner(StaticProvision(by="static"), vm_ip)
    if isinstance(settings, StaticProvision):
        return StaticProvisioner(settings)
    from fairlead.provision.opentofu import OpentofuProvisioner  # noqa: PLC0415

    variables = scope.variables
    return OpentofuProvisioner(
        variables.state / "provision" / scope.configuration.app / scope.environment,
        variables.opentofu,
        variables.cache,
        settings.refresh_after.total_seconds(),
        variables.secrets.mask(),
    )


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


@contextmanager
def _exported(scope: Scope) -> Iterator[Path]:
    with private_directory(Path(tempfile.gettempdir())) as directory:  # what a killed process left there goes first
        checkout = directory / "checkout"
        scope.repository.export(scope.commit, checkout)
        _take_known_hosts(scope, checkout)
        yield checkout


def _take_known_hosts(scope: Scope, checkout: Path) -> None:
    """Host keys are the site's, not the release's: the branch's newest, also for a commit that is older than a key."""
    head = scope.repository.head()
    newest = scope.repository.read(head, layout.KNOWN_HOSTS) if head != scope.commit else None
    if newest is not None:
        place = checkout / layout.KNOWN_HOSTS
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(newest)


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
