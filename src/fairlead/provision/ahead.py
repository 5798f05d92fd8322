"""A head start of `fairlead provision`: what it asked last time is asked again while it still reads what to ask now.

A second process plans, or looks into the database, while this one reads the configuration, which takes Python as long
(measured). What comes is used where it answers this request, which is the rule, and dropped where it does not.
"""

import contextlib
import fcntl
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fairlead.config import layout
from fairlead.config.variables import Variables
from fairlead.errors import FairleadError
from fairlead.process import Beside, beside, inherited
from fairlead.provision import reading
from fairlead.provision.base import ProvisionRequest
from fairlead.provision.inputs import STATE, inputs_in, inputs_of
from fairlead.provision.lease import Seen
from fairlead.provision.tofu import NO_CHANGES, Tofu, plan_argv, says

_ENVIRONMENT = re.compile(r"[a-z0-9-]+", re.ASCII)
_PLACE = "place"  # the file that says from which repository an environment's machine was asked for


@dataclass(frozen=True)
class HeadStart:
    """What was begun for an environment of an application.

    inputs: the digest of what is being planned. lock: of the directory in which it is.
    """

    app: str = ""
    environment: str = ""
    database: Beside | None = None
    plan: Beside | None = None
    inputs: str = ""
    lock: IO[str] | None = None

    def seen(self, request: ProvisionRequest) -> Seen | None:
        """What the database says; None where it was not asked for this."""
        return reading.answer(self.database) if self.database and self._is_for(request) else None

    def finds_no_changes(self, request: ProvisionRequest) -> bool | None:
        """Whether the plan finds no changes; None where none was begun for this. Afterwards it is over in any case."""
        if self.plan is None or self.lock is None:
            return None
        wanted = self._is_for(request) and self.inputs == inputs_of(request)
        ended = self.plan.result() if wanted else None
        self.plan.kill()
        self.lock.close()
        return ended[0] == NO_CHANGES if ended else None

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
            if directory := _last(variables.state, place, environment):
                begin = _plan if plan else _look
                begun = begin(stack, variables, directory, environment)
        yield begun


def remember(state: Path, place: str, app: str, environment: str) -> None:
    """Know the next time whose machine is asked for from there."""
    path = state / "provision" / app / environment / _PLACE
    with contextlib.suppress(OSError):
        if path.parent.is_dir() and not says(path, _named(place)):
            path.write_text(_named(place), encoding="utf-8")


def _last(state: Path, place: str, environment: str) -> Path | None:
    """The directory of the environment's machine."""
    if not _ENVIRONMENT.fullmatch(environment):
        return None
    places = (state / "provision").glob(f"*/{environment}/{_PLACE}")
    return next((path.parent for path in places if says(path, _named(place))), None)


def _named(place: str) -> str:
    return place if "://" in place else str(Path(place).absolute())


def _look(stack: contextlib.ExitStack, variables: Variables, directory: Path, environment: str) -> HeadStart:
    app, secrets = directory.parent.name, variables.secrets.infrastructure()
    if STATE not in secrets:
        return NONE
    asked = reading.question(secrets[STATE], app, environment)
    return HeadStart(app, environment, stack.enter_context(beside(reading.ARGV, inherited(), stdin=asked)))


def _plan(stack: contextlib.ExitStack, variables: Variables, directory: Path, environment: str) -> HeadStart:
    """A plan of the code that was planned last, in its directory and under its lock, to no file."""
    secrets, mask = variables.secrets.infrastructure(), variables.secrets.mask()
    tofu = Tofu(directory / "apply", environment, variables.opentofu, secrets, mask, variables.cache)
    if STATE not in secrets or not tofu.lock.is_file():
        return NONE
    lock = stack.enter_context(tofu.lock.open("w"))
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not tofu.is_settled():
        return NONE
    tfvars = layout.tfvars_file(environment, variables.tfvars_file)
    inputs = inputs_in(tofu.configuration, tfvars, secrets)
    planning = stack.enter_context(tofu.beside(plan_argv(tfvars)))
    return HeadStart(directory.parent.name, environment, plan=planning, inputs=inputs, lock=lock)
