"""The machine of an environment: made, found, and known to git. Each works on a clean export of one commit."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fairlead.config import layout
from fairlead.deploy.private import private_directory
from fairlead.errors import SiteFault
from fairlead.pipeline.scope import Scope
from fairlead.provision.ahead import NONE, HeadStart, directory_of
from fairlead.provision.base import Machine, Provisioner, ProvisionRequest
from fairlead.provision.static import StaticProvisioner


@dataclass(frozen=True, slots=True)
class Wish:
    """How a machine is asked for.

    vm_ip: where it is, said by the caller; nothing is looked up or made then. run: whose lease it is. plan_only: change
    nothing. refresh: plan, also where nothing seems to have changed. allow_replace: the one plan that may destroy.
    ahead: what was begun already.
    """

    vm_ip: str | None = None
    run: str = ""
    plan_only: bool = False
    refresh: bool = False
    allow_replace: str = ""
    ahead: HeadStart = NONE


def provision(scope: Scope, wish: Wish = Wish()) -> Machine:
    """The environment's machine; its host key and the provider's checksums, where they are new, are committed.

    Raises ConfigurationError, SiteFault, ProvisionError, ProxmoxError, Busy, PushContended.
    """
    provisioner = provisioner_of(scope, wish.vm_ip, wish.ahead)
    with exported(scope) as checkout:
        request = replace(
            _provision_request(scope, checkout),
            known_hosts=_known_hosts(checkout),
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
    if vm_ip or not scope.brief.made:
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
    return ProvisionRequest(
        environment=scope.environment,
        app=scope.brief.app,
        commit=scope.commit,
        checkout=checkout,
        secrets=scope.variables.secrets.infrastructure() if scope.brief.made else {},
        fence=scope.repository.fence(scope.commit) if scope.brief.made else 0,
        port=scope.brief.port,
        tfvars=scope.variables.tfvars_file,
    )


def _known_hosts(checkout: Path) -> str:
    """The branch's newest, as `exported` leaves them."""
    place = checkout / layout.KNOWN_HOSTS
    return place.read_bytes().decode(errors="replace") if place.is_file() else ""


def _commit_machine(scope: Scope, machine: Machine) -> None:
    """Write what git should know of a machine that was made: its host key, and the provider's checksums."""
    from fairlead.deployment_repo.amend import amend  # noqa: PLC0415
    from fairlead.host_keys import with_host_keys  # noqa: PLC0415

    port = scope.brief.port

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


def provisioner_of(scope: Scope, vm_ip: str | None = None, ahead: HeadStart = NONE) -> Provisioner:
    """The provisioner that fairlead.yaml names; a given address needs none. Raises InvalidSetting."""
    variables, brief = scope.variables, scope.brief
    if vm_ip or not brief.made:
        return StaticProvisioner(brief.addresses, vm_ip)
    from fairlead.provision.opentofu import OpentofuProvisioner  # noqa: PLC0415

    return OpentofuProvisioner(
        directory_of(variables.state, brief.app, scope.environment),
        variables.opentofu,
        variables.cache,
        brief.refresh_after,
        variables.secrets.mask(),
        ahead=ahead,
    )


@contextmanager
def exported(scope: Scope) -> Iterator[Path]:
    """A clean export of the commit, with the branch's newest host keys, until the block ends."""
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
