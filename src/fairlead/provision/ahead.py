"""A head start of `fairlead provision`: what it asked last time is asked again while it still reads what to ask now.

OpenTofu plans in a process beside this one, or a thread looks into the database. What comes is used where it answers
this request, which is the rule, and dropped where it does not. What fairlead.yaml said is known too (config/file.py).
"""

import contextlib
import fcntl
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from fairlead.config import layout
from fairlead.config.file import Brief
from fairlead.config.variables import Variables
from fairlead.errors import FairleadError
from fairlead.process import Beside
from fairlead.provision.base import ProvisionRequest
from fairlead.provision.inputs import STATE, inputs_in, inputs_of
from fairlead.provision.lease import Ledger, Seen
from fairlead.provision.tofu import NO_CHANGES, Tofu, plan_argv, says

_WITHIN = 2.0  # seconds more for the database, where it has not answered yet; then the request asks by itself
_ENVIRONMENT = re.compile(r"[a-z0-9-]+", re.ASCII)
_LAST = "last.json"  # what was asked last for an environment's machine: from where, and what fairlead.yaml said


class Looking:
    """A look at a workspace's row, in a thread: while git is waited for, the database's client is imported."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: Seen | None = None
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        with contextlib.suppress(FairleadError), contextlib.closing(self._ledger):
            self._seen = self._ledger.look()

    def result(self) -> Seen | None:
        """What the database says; None where it does not say it soon."""
        self._thread.join(_WITHIN)
        return self._seen


@dataclass(frozen=True)
class HeadStart:
    """What is known, and what was begun, for an environment of an application.

    known: what the last call read of fairlead.yaml. inputs: the digest of what is being planned. lock: of the directory
    in which it is.
    """

    app: str = ""
    environment: str = ""
    known: Brief | None = None
    database: Looking | None = None
    plan: Beside | None = None
    inputs: str = ""
    lock: IO[str] | None = None

    def seen(self, request: ProvisionRequest) -> Seen | None:
        """What the database says; None where it was not asked for this."""
        return self.database.result() if self.database and self._is_for(request) else None

    def finds_no_changes(self, request: ProvisionRequest) -> bool | None:
        """Whether the plan finds no changes; None where none was begun for this. Afterwards it is over in any case."""
        if self.plan is None or self.lock is None:
            return None
        wanted = self._is_for(request) and self.inputs == inputs_of(request)
        code = self.plan.exit_code() if wanted else None
        self.plan.kill()
        self.lock.close()
        return None if code is None else code == NO_CHANGES

    def _is_for(self, request: ProvisionRequest) -> bool:
        return (self.app, self.environment) == (request.app, request.environment)


NONE = HeadStart()


@contextlib.contextmanager
def head_start(variables: Variables, place: str, environment: str, *, plan: bool) -> Iterator[HeadStart]:
    """Begin what the last request for this environment asked, until the end of the block.

    place: the deployment repository, as the command names it. plan: OpenTofu's plan, else a look into the database.
    """
    with contextlib.ExitStack() as stack:
        begun = NONE
        with contextlib.suppress(FairleadError, OSError):  # whatever is wrong is told by the request itself
            if known := _last(variables.state, place, environment):
                begun = HeadStart(known.app, environment, known)
                if known.made:
                    begin = _plan if plan else _look
                    begun = begin(stack, variables, begun)
        yield begun


def directory_of(state: Path, app: str, environment: str) -> Path:
    """Where what concerns an environment's machine is kept, in the state directory."""
    return state / "provision" / app / environment


def remember(state: Path, place: str, brief: Brief, environment: str) -> None:
    """Know the next time whose machine is asked for from there, and what fairlead.yaml says."""
    path = directory_of(state, brief.app, environment) / _LAST
    text = json.dumps({"place": _named(place), "brief": asdict(brief)})
    with contextlib.suppress(OSError):
        if path.parent.is_dir() and not says(path, text):
            path.write_text(text, encoding="utf-8")


def _last(state: Path, place: str, environment: str) -> Brief | None:
    """What was read of fairlead.yaml when the environment's machine was asked for from there."""
    if not _ENVIRONMENT.fullmatch(environment):
        return None
    left = state.glob(str(directory_of(Path(), "*", environment) / _LAST))
    return next(filter(None, (_left_in(path, _named(place)) for path in left)), None)


def _left_in(path: Path, place: str) -> Brief | None:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        left = json.loads(path.read_text(encoding="utf-8"))
        return Brief.from_json(left["brief"]) if left["place"] == place else None
    return None


def _named(place: str) -> str:
    return place if "://" in place else str(Path(place).absolute())


def _look(stack: contextlib.ExitStack, variables: Variables, begun: HeadStart) -> HeadStart:
    secrets = variables.secrets.infrastructure()
    if STATE not in secrets:
        return begun
    looking = Looking(Ledger(secrets[STATE], begun.app, begun.environment))
    stack.callback(looking.result)  # what still runs in a thread when Python ends, may end badly
    return replace(begun, database=looking)


def _plan(stack: contextlib.ExitStack, variables: Variables, begun: HeadStart) -> HeadStart:
    """A plan of the code that was planned last, in its directory and under its lock, to no file."""
    secrets, mask = variables.secrets.infrastructure(), variables.secrets.mask()
    directory = directory_of(variables.state, begun.app, begun.environment) / "apply"
    tofu = Tofu(directory, begun.environment, variables.opentofu, secrets, mask, variables.cache)
    if STATE not in secrets or not tofu.lock.is_file():
        return begun
    with contextlib.ExitStack() as own:  # what is not begun must not keep the lock from the request itself
        lock = own.enter_context(tofu.lock.open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not tofu.is_settled():
            return begun
        tfvars = layout.tfvars_file(begun.environment, variables.tfvars_file)
        inputs = inputs_in(tofu.configuration, tfvars, secrets)
        planning = own.enter_context(tofu.beside(plan_argv(tfvars)))
        stack.push(own.pop_all())
        return replace(begun, plan=planning, inputs=inputs, lock=lock)
