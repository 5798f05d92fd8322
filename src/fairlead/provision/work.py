"""OpenTofu at work in an environment's own directory: plan, look at what it would do, apply exactly that, wait.

Nothing is destroyed unless a person has allowed that very plan, and before a machine is made Proxmox is asked whether
it is not there already.
"""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fairlead.config import layout
from fairlead.errors import (
    Busy,
    ConfigurationError,
    FairleadError,
    PlanRefused,
    ProvisionError,
    StateRefused,
    UnreadableFile,
)
from fairlead.host_keys import known_keys
from fairlead.provision import tofu as cli
from fairlead.provision.base import Machine, ProvisionRequest
from fairlead.provision.inputs import ENDPOINT, LOCK, TOKEN, inputs_of
from fairlead.provision.lease import Applied, Lease, Ledger
from fairlead.provision.orphans import Wanted, sweep
from fairlead.provision.plan import Plan, read_plan, unchanged
from fairlead.provision.proxmox import ProxmoxSite, trusts_anybody
from fairlead.provision.ready import Newcomer, wait_until_ready, wait_until_unlocked
from fairlead.provision.tfvars import plain_values
from fairlead.provision.tofu import Tofu
from fairlead.provision.vacancy import refuse_taken_address


@dataclass(frozen=True, slots=True)
class Look:
    """A plan that was only looked at."""

    plan: Plan
    identifier: str

    def machine(self) -> Machine:
        words = self.plan.words()
        refused = [f"needs: --allow-replace {self.identifier} ({reason})" for reason in self.plan.refusals()]
        exists = self.plan.machine is not None and self.plan.machine.in_state
        return Machine(self.plan.vm_ip if exists else "", changed=bool(words), changes=(*words, *refused))


@dataclass(frozen=True)
class Work:
    """One request, and OpenTofu in the directory in which it is carried out.

    lock_patience: seconds to wait for the lock of a predecessor that is still ending.
    """

    request: ProvisionRequest
    ledger: Ledger
    tofu: Tofu
    lock_patience: float = cli.LOCK_PATIENCE

    def under(self, lease: Lease) -> "Work":
        """The same, stopped when the lease is lost."""
        return replace(self, tofu=replace(self.tofu, lost=lease.lost))

    # ---- without a lease

    def look(self) -> Look:
        """A plan in a directory of its own, without locks."""
        with self._directory(wait=True):
            self._initialise()
            plan = self._plan(locking=False)
            mark = self.ledger.mark(self.tofu.schema())
        return Look(plan, plan.identifier(mark.serial if mark else 0))

    def finds_no_changes(self) -> bool:
        """Whether a plan of what this computer applied last finds that reality is still that. It takes no locks."""
        if not cli.says(self.tofu.applied, inputs_of(self.request)):
            return False
        try:
            with self._directory(wait=False):
                if not self.tofu.is_settled():
                    return False
                words = cli.plan_argv(self._tfvars)
                return self.tofu.run(words, expect=(cli.NO_CHANGES, cli.CHANGES)).exit_code == cli.NO_CHANGES
        except (Busy, ProvisionError):
            return False  # with the lease it is seen, and said, who is there or what is wrong

    # ---- with the lease

    def provision(self, lease: Lease) -> Machine:
        """Plan, apply, wait, and note what was applied."""
        with self._directory(wait=False):
            self._initialise()
            self._save_unsaved()
            serial, seen = self._newest_state()
            plan = self._plan(locking=True, known=None if lease.abnormal else seen)
            plan, imported = self._adopt(plan, abnormal=lease.abnormal)
            self._require_allowed(plan, serial)
            if plan.makes_machine:
                self._require_room(plan)
            if plan.changes:
                lease.require()
                self.tofu.run(cli.apply_argv(self.tofu.plan))
            machine = self._ready(plan, made=plan.makes_machine or imported)
            applied = self._applied(plan)
            lease.applied(applied)
            self.tofu.applied.write_text(applied.inputs, encoding="ascii")
            return replace(machine, files=self.new_lock_file())

    def _adopt(self, plan: Plan, *, abnormal: bool) -> tuple[Plan, bool]:
        """Import the machine that an apply made and forgot; then the plan is another one."""
        wanted = plan.machine
        if wanted is None or not (abnormal or plan.makes_machine):
            return plan, False
        site = self.site()
        tag = own_tag(self.request)
        orphan = sweep(site, Wanted(wanted.vm_id, wanted.name, tag, wanted.template_id), plan.known)
        if orphan is None:
            return plan, False
        wait_until_unlocked(site, orphan.node, orphan.vm_id)
        identifier = f"{orphan.node}/{orphan.vm_id}"
        self.tofu.run(cli.import_argv(self._tfvars, wanted.address, identifier))
        return self._plan(locking=True), True

    def _require_room(self, plan: Plan) -> None:
        """Wait for the template, and refuse an address that another machine has. Raises MachineTaken, MachineNotReady.

        A machine that is replaced gives its address away itself.
        """
        if plan.machine is None:
            return
        site, wanted = self.site(), plan.machine
        machines = site.require_sight(wanted.template_id)
        template = next(machine for machine in machines if machine.vm_id == wanted.template_id)
        wait_until_unlocked(site, template.node, template.vm_id)
        if not wanted.in_state:
            refuse_taken_address(site, machines, wanted.vm_id, plan.vm_ip)

    def _require_allowed(self, plan: Plan, serial: int) -> None:
        """Raise PlanRefused for a plan that destroys, or concerns more than the environment's machine."""
        reasons, identifier = plan.refusals(), plan.identifier(serial)
        if not reasons or self.request.allow_replace == identifier:
            return
        given = self.request.allow_replace
        stale = f"{given} was another plan, or was made before something else changed. " if given else ""
        environment = self.request.environment
        raise PlanRefused(
            f"{environment}: the plan {identifier} needs a person: {'; '.join(reasons)}",
            why=stale + "\n".join(plan.words()),
            remedy=f"If that is what you want: fairlead provision -e {environment} --allow-replace {identifier}; "
            "what is on the machine's disk is lost",
        )

    def _ready(self, plan: Plan, *, made: bool) -> Machine:
        """Wait for a machine that was changed, or whose host key is not known yet."""
        words, request = plan.words(), self.request
        known = known_keys(request.known_hosts, plan.vm_ip, request.port)
        keys: tuple[str, ...] = ()
        if plan.machine and (words or made or not known):
            newcomer = Newcomer(plan.machine.node, plan.machine.vm_id, plan.vm_ip, request.port, made, known)
            keys = wait_until_ready(self.site(), newcomer)
        new = () if set(keys) <= set(known) else keys
        adopted = (
            (f"the machine {plan.machine.name} was there and is taken over",)
            if plan.machine and made and not plan.makes_machine
            else ()
        )
        changes = (*adopted, *words)
        return Machine(plan.vm_ip, changed=bool(changes), changes=changes, host_keys=new)

    def _applied(self, plan: Plan) -> Applied:
        schema = self.tofu.schema()
        mark = self.ledger.mark(schema)
        if mark is None or plan.machine is None:
            raise ProvisionError(
                f"{self.request.environment}: OpenTofu has no state after its apply",
                why="The code makes no machine with the environment's tag",
                remedy=f"deployment/opentofu/main.tf should tag it {own_tag(self.request)}",
            )
        where = plan.machine
        return Applied(inputs_of(self.request), mark.serial, mark.lineage, schema, plan.vm_ip, where.vm_id, where.node)

    # ---- OpenTofu

    @contextlib.contextmanager
    def _directory(self, *, wait: bool) -> Iterator[None]:
        """The directory for this process alone, with the commit's code; what OpenTofu could not save stays."""
        self.tofu.configuration.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.tofu.directory.chmod(0o700)  # plans hold secrets
        with self.tofu.lock.open("w") as lock:
            _lock(lock.fileno(), self.request.environment, wait=wait)
            try:
                _copy_code(self.request.checkout / layout.OPENTOFU, self.tofu.configuration)
                self._require_variables()
                yield
            finally:
                self.tofu.plan.unlink(missing_ok=True)

    def _require_variables(self) -> None:
        path = self._tfvars
        if not (self.request.checkout / path).is_file():
            raise UnreadableFile(
                f"{path} is missing in commit {self.request.commit[:9]}",
                why="It says what the environment's machine is",
                remedy=f"Copy another environment's, change it and commit {path}",
            )

    def _initialise(self) -> None:
        """`tofu init`, unless it has been done for this code, provider and database."""
        if self.tofu.is_initialised():
            return
        self.tofu.initialised.unlink(missing_ok=True)
        cli.require_version(self.tofu.variables, self.tofu.cache)
        locked = (self.tofu.configuration / LOCK).is_file()
        with self.ledger.alone():
            self.tofu.run(cli.init_argv(locked=locked), workspace=False)
        self.tofu.initialised.write_text(self.tofu.code_digest(), encoding="ascii")

    def _plan(self, *, locking: bool, known: Applied | None = None) -> Plan:
        """A plan. known: what was applied to this very state, which answers for a plan without changes."""
        patience = self.lock_patience if locking else None
        words = cli.plan_argv(self._tfvars, self.tofu.plan, patience)
        try:
            done = self.tofu.run(words, expect=(cli.NO_CHANGES, cli.CHANGES))
        except ProvisionError as error:
            raise self._locked(error) from error
        if known and done.exit_code == cli.NO_CHANGES:
            return unchanged(known.node, known.vm_id, known.vm_ip)
        return read_plan(self.tofu.shown(), own_tag(self.request))

    def _locked(self, error: ProvisionError) -> FairleadError:
        """A lock that somebody holds without a lease: a person, or a predecessor that has not ended yet."""
        if "Error acquiring the state lock" not in error.why:
            return error
        return Busy(
            f"{self.request.environment}: OpenTofu's state is locked by {self.ledger.locker(self.tofu.schema())}",
            why="Somebody runs tofu by hand, or an interrupted run is still ending",
            remedy="Wait for it, then run the command again",
        )

    def _save_unsaved(self) -> None:
        """Push the state that an earlier apply could not save. OpenTofu refuses one that is older."""
        if self.tofu.unsaved.is_file():
            self.tofu.run(cli.push_argv(self.tofu.unsaved))
            self.tofu.unsaved.unlink()

    def _newest_state(self) -> tuple[int, Applied | None]:
        """The state's serial, and what was applied to this very state with this very code.

        Raises StateRefused for a state that is older than one that was seen.
        """
        row, mark = self.ledger.read(), self.ledger.mark(self.tofu.schema())
        seen = row.applied if row else None
        if seen and mark and mark.lineage == seen.lineage and mark.serial < seen.serial:
            raise StateRefused(
                f"{self.request.environment}: OpenTofu's state is number {mark.serial}, but {seen.serial} was seen",
                why="An older state was restored; what was made since is missing in it",
                remedy="Restore the newest backup of the database; if this state is right: "
                """psql "$PG_CONN_STR" -c "UPDATE fairlead.workspaces SET applied = NULL\"""",
            )
        same = seen and seen.left(mark) and seen.inputs == inputs_of(self.request)
        return mark.serial if mark else 0, seen if same else None

    def new_lock_file(self) -> dict[str, bytes]:
        """The provider's checksums, where the commit has none yet, for it to have them."""
        if (self.request.checkout / layout.LOCK_FILE).is_file():
            return {}
        return {layout.LOCK_FILE: (self.tofu.configuration / LOCK).read_bytes()}

    # ---- what it depends on

    def site(self) -> ProxmoxSite:
        """The Proxmox site, as OpenTofu is told of it. Raises ConfigurationError."""
        ca, request = self.tofu.variables.get("SSL_CERT_FILE"), self.request
        values = plain_values((request.checkout / self._tfvars).read_text(encoding="utf-8"))
        return ProxmoxSite(
            request.secrets[ENDPOINT].reveal(),
            request.secrets[TOKEN],
            Path(ca) if ca else None,
            insecure=trusts_anybody(request.environment, values, request.secrets),
        )

    @property
    def _tfvars(self) -> str:
        return layout.tfvars_file(self.request.environment, self.request.tfvars)


def own_tag(request: ProvisionRequest) -> str:
    """The tag that only this environment's machine carries; main.tf gives it that."""
    return f"{request.app}-{request.environment}"


def _lock(descriptor: int, environment: str, *, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise Busy(
            f"{environment}: another process of this machine still works in its OpenTofu directory",
            why="It makes a plan without the lease, or lost its lease and has not ended yet",
            remedy="Wait for it, then run the command again",
        ) from None


def _copy_code(source: Path, target: Path) -> None:
    """Make the target what the source is. Raises ConfigurationError where the commit has no code."""
    if not (source / "main.tf").is_file():
        raise ConfigurationError(
            f"There is no {layout.OPENTOFU}/main.tf in the commit",
            why="provision: {with: opentofu} makes the machine from it",
            remedy="fairlead init --update brings it; or write provision: {with: static, addresses: …}",
        )
    for old in target.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
        elif old.name not in (cli.UNSAVED, LOCK):
            old.unlink()
    shutil.copytree(source, target, dirs_exist_ok=True)
