"""Machines that OpenTofu makes from the deployment repository's own code, on Proxmox VE.

One environment is one workspace, one .tfvars file, one directory, one lease. What a lease protects is in work.py; here
is what can be said without one: that nothing can have changed, or that a plan finds no changes.
"""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.host_keys import known_keys
from fairlead.process import NO_SECRETS, Mask
from fairlead.provision import tofu as cli
from fairlead.provision.ahead import NONE, HeadStart
from fairlead.provision.base import Machine, ProvisionRequest
from fairlead.provision.inputs import STATE, inputs_of, require_secrets
from fairlead.provision.lease import Applied, Ledger, Seen

if TYPE_CHECKING:
    from fairlead.provision.plan import Plan
    from fairlead.provision.work import Work

_ANSWER = 2.0  # seconds for a machine that is only asked whether it is there


@dataclass(frozen=True)
class OpentofuProvisioner:
    """Plans and applies in `directory`, which is kept: OpenTofu leaves there what it could not save.

    variables: what OpenTofu may know of the environment. cache: where tools are built. refresh_after: seconds after
    which reality is looked at again, also where nothing changed. mask: takes secrets out of what is printed.
    lock_patience: seconds to wait for the lock of a predecessor that is still ending. ahead: what was begun already.
    """

    directory: Path
    variables: Mapping[str, str]
    cache: Path
    refresh_after: float
    mask: Mask = field(default=NO_SECRETS)
    lock_patience: float = cli.LOCK_PATIENCE
    ahead: HeadStart = NONE

    def provision(self, request: ProvisionRequest) -> Machine:
        """The environment's machine. See `Provisioner.provision`.

        Raises PlanRefused, Busy, Superseded, ProvisionError, ProxmoxError, ConfigurationError, ProgramError.
        """
        with self._ledger(request) as ledger:
            if request.plan_only:
                return self._work(request, ledger, "look").look().machine()
            if known := self._untouched(request, ledger):
                return known
            work = self._work(request, ledger)
            if known := self._unchanged(work):
                return known
            with ledger.hold(request.run, request.fence) as lease:
                return work.under(lease).provision(lease)

    def address(self, request: ProvisionRequest) -> str:
        """The machine's address as of the last apply; "" where there was none. Changes nothing, and asks no machine."""
        with contextlib.closing(ledger_of(request)) as ledger:
            row = ledger.read()
        return row.applied.vm_ip if row and row.applied else ""

    def look(self, request: ProvisionRequest) -> "Plan":
        """What differs between the code, the state and reality. Changes nothing, and waits for nobody."""
        with self._ledger(request) as ledger:
            return self._work(request, ledger, "look").look().plan

    @contextlib.contextmanager
    def _ledger(self, request: ProvisionRequest) -> Iterator[Ledger]:
        cli.refuse_loud_logs(self.variables)
        require_secrets(request)
        with contextlib.closing(ledger_of(request)) as ledger:
            yield ledger

    def _work(self, request: ProvisionRequest, ledger: Ledger, directory: str = "apply") -> "Work":
        from fairlead.provision.work import Work  # noqa: PLC0415 - a look that finds nothing does not pay for it

        secrets, place = request.secrets, self.directory / directory
        tofu = cli.Tofu(place, request.environment, self.variables, secrets, self.mask, self.cache)
        return Work(request, ledger, tofu, self.lock_patience)

    def _untouched(self, request: ProvisionRequest, ledger: Ledger) -> Machine | None:
        """The machine, where code, variables, secrets and state are those of the last apply, and it answers."""
        if request.refresh:
            return None
        seen = self.ahead.seen(request) or ledger.look()
        row, then = seen.row, settled(seen, request)
        if row is None or then is None or row.age is None or row.age > self.refresh_after:
            return None
        if not _answers(then.vm_ip, request.port):
            return None
        return Machine(
            then.vm_ip, skipped=f"nothing has changed since the plan of {_ago(row.age)} ago; --refresh plans"
        )

    def _unchanged(self, work: "Work") -> Machine | None:
        """The machine, where only reality could differ from the last apply, and a plan finds that it does not.

        It is made without the lease, for it changes nothing. What the database says is read when the plan is there: had
        somebody changed the machine meanwhile, another state would be in it.
        """
        ledger, request = work.ledger, work.request
        with ledger.connecting():
            found = self.ahead.finds_no_changes(request)
            if found is None:
                found = work.finds_no_changes()
        then = settled(ledger.look(), request) if found and not work.new_lock_file() else None
        return Machine(then.vm_ip) if then and ledger.confirm(then, request.fence) else None


def ledger_of(request: ProvisionRequest) -> Ledger:
    """The row of the environment's workspace."""
    return Ledger(request.secrets[STATE], request.app, request.environment)


def settled(seen: Seen, request: ProvisionRequest) -> Applied | None:
    """What was applied last, where it is what is asked for, nobody works there, and the state is still that one."""
    row = seen.row
    then = row.applied if row and row.clean and not row.held else None
    if then is None or not then.left(seen.mark) or then.inputs != inputs_of(request):
        return None
    return then if known_keys(request.known_hosts, then.vm_ip, request.port) else None


def _answers(address: str, port: int) -> bool:
    """Whether an SSH server greets there (RFC 4253, section 4.2)."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as connection:
            connection.settimeout(_ANSWER)
            connection.connect((address, port))  # (a name to look up would load Unicode's tables, 10 ms)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _ago(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )
