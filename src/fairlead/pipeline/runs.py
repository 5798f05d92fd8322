"""Durable runs of one environment: look, start, go on where an earlier process was, end.

What is in flight is finished before anything new is looked for. A release that is not the newest any more is not
deployed; the newer one, which contains it, is looked at instead.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.errors import ProgramInterrupted, Superseded, Waiting
from fairlead.pipeline.crash import crash
from fairlead.pipeline.detect import Answer, Detection
from fairlead.pipeline.faults import ending
from fairlead.pipeline.holder import Holder, hold
from fairlead.pipeline.log import RunLog, State, Tell, prune
from fairlead.pipeline.scope import Scope
from fairlead.pipeline.stages import Said, Stages, look, request_of

if TYPE_CHECKING:
    from fairlead.pipeline.runtime import Flight, Runtime
    from fairlead.pipeline.steps import Steps

MOST_ROUNDS = 5  # newer releases that one process follows before it says that others push too fast
KEPT = 200  # runs of an environment, in the database and as logs; git keeps releases and proofs for ever
GRACE = 20.0  # seconds for a stage that runs no program to end after Ctrl-C


def directory_of(state: Path, app: str, environment: str) -> Path:
    """Where an environment's runs are kept: its holder and the logs. state: the state directory."""
    return state / "runs" / app / environment


def holder_of(directory: Path) -> Path:
    """The file that says who runs the environment."""
    return directory / "holder"


@dataclass(frozen=True)
class Outcome:
    """How it went. end: "none" or "proven". run: "" where nothing was to do. reason: for people."""

    end: str
    run: str
    commit: str
    reason: str


@dataclass(frozen=True)
class Runs:
    """The runs of one environment of one repository.

    open_scope: fetches, and reads the newest release. stages_of: its stages. tell: told every entry of a log. kept: how
    many runs that have ended are remembered. waits: told, interrupted, the names of the programs that are waited for.
    """

    open_scope: Callable[[], Scope]
    stages_of: Callable[[Scope], Stages]
    tell: Tell
    kept: int = KEPT
    waits: Callable[[list[str]], None] = lambda _programs: None

    def run(self, *, abandon: bool = False) -> Outcome:
        """Bring the environment to the newest release. abandon: give up a run in flight first.

        Raises Busy (another process holds the environment), Waiting, RolledBack, ReleaseFailed, RunStuck, and what
        stopped the run. Interrupted, it waits for the programs that it stops, and raises KeyboardInterrupt; interrupted
        again, it does so at once. The run in flight can be gone on with.
        """
        scope = self.open_scope()
        directory = directory_of(scope.variables.state, scope.configuration.app, scope.environment)
        with hold(holder_of(directory), scope.environment) as holder, ExitStack() as stack:
            session = _Session(scope, directory, holder, self.stages_of(scope), self.tell, self.kept, self.waits, stack)
            ended = None
            if holder.left:
                ended = session.settle(abandon=abandon)
                scope = self.open_scope()
            for _ in range(MOST_ROUNDS):
                outcome = session.round(scope, ended)
                if outcome:
                    return outcome
                scope = self.open_scope()
        raise Superseded(
            f"{scope.environment}: {MOST_ROUNDS} releases were overtaken by newer ones",
            remedy=f"fairlead run -e {scope.environment}",
        )


@dataclass
class _Session:
    """What one process does while it holds the environment. scope: of the start; the stages fetch for themselves."""

    scope: Scope
    directory: Path
    holder: Holder
    stages: Stages
    tell: Tell
    kept: int
    waits: Callable[[list[str]], None]
    stack: ExitStack
    _runtime: "Runtime | None" = field(default=None, init=False)

    def round(self, scope: Scope, ended: Outcome | None) -> Outcome | None:
        """One look, and the run that follows from it. ended: what was gone on with before. None: look again."""
        detection = _look(scope)
        if detection.answer is Answer.NONE:
            if detection.waits and not ended:
                raise _waiting(detection)
            return ended or Outcome("none", "", detection.commit, detection.reason)
        if self.runtime.in_flight():
            self.settle(abandon=False)  # the holder's file was lost, DBOS was not
            return None
        release = f"{scope.environment}:{fingerprint(scope, detection)}"
        request = request_of(scope, detection, f"{release}:{self.runtime.attempts(release) + 1}")
        log = self.log(request["run"])
        told = "; ".join(filter(None, (detection.reason, detection.lost)))
        log.add("", State.STARTED, f"{detection.answer}: {told}")
        return self._carry(log, lambda: self.runtime.start(request))

    def settle(self, *, abandon: bool) -> Outcome | None:
        """End what an earlier process left in flight, or give it up."""
        flights, outcome = self.runtime.in_flight(), None
        if self.holder.left not in [flight.run for flight in flights]:
            self.log(self.holder.left).add("", State.ENDED, "it had ended, or its database is gone")
        for flight in flights:
            if abandon:
                self._abandon(flight)
            else:
                outcome = self._resume(flight)
        self.holder.running("")
        return outcome

    def _resume(self, flight: "Flight") -> Outcome | None:
        flight.require_life()
        log = self.log(flight.run)
        log.add("", State.RESUMED, _progress(flight))
        return self._carry(log, lambda: self.runtime.resume(flight.run))

    def _abandon(self, flight: "Flight") -> None:
        self.runtime.abandon(flight.run)
        self.log(flight.run).add("", State.ENDED, "given up by a person")

    def _carry(self, log: RunLog, execute: Callable[[], Said]) -> Outcome | None:
        """Follow a run to its end. None: a newer release overtook it. Raises the error that it ended with."""
        self.holder.running(log.run)
        said = execute()
        log.add("", State.ENDED, said["end"])
        self.holder.running("")
        if error := ending(self.scope.environment, said):
            raise error
        if said["end"] == "superseded":
            return None
        return Outcome(said["end"], log.run, said["commit"], said["text"])

    def log(self, run: str) -> RunLog:
        return RunLog(self.directory, run, self.tell, self.scope.variables.secrets.mask())

    @property
    def runtime(self) -> "Runtime":
        """DBOS, launched once, and only where there is something to run: it costs half a second to import."""
        if self._runtime is None:
            self._runtime = self._launch()
        return self._runtime

    def _launch(self) -> "Runtime":
        from fairlead.pipeline.runtime import executor_id, launched  # noqa: PLC0415
        from fairlead.pipeline.steps import Steps  # noqa: PLC0415
        from fairlead.pipeline.workflow import Pipeline  # noqa: PLC0415

        values, app, environment = self.scope.variables, self.scope.configuration.app, self.scope.environment
        steps = Steps(self.stages, self.log, values.secrets.mask(), values.crash_at)
        pipeline = Pipeline(f"{app}/{environment}", steps)
        executor = executor_id(values.state, app, environment)
        database = self.directory.parent / "runs.sqlite"
        runtime = self.stack.enter_context(launched(pipeline, executor, database, values.database_url))
        runtime.prune(self.kept)
        prune(self.directory, self.kept)
        self.stack.push(lambda kind, _error, _trace: self._stop(steps, kind))
        return runtime

    def _stop(self, steps: "Steps", kind: type[BaseException] | None) -> None:
        """Ctrl-C reaches this thread, or a program of it; the steps are in another."""
        if kind in (KeyboardInterrupt, ProgramInterrupted):
            steps.stop(GRACE, self.waits)


def _look(scope: Scope) -> Detection:
    crash(scope.variables.crash_at, "detect:before")
    detection = look(scope)
    crash(scope.variables.crash_at, "detect:after-effect")
    crash(scope.variables.crash_at, "detect:after")
    return detection


def _waiting(detection: Detection) -> Waiting:
    first, *more = detection.waits
    return Waiting(
        f"{detection.environment} waits: {first}",
        why="\n".join(str(wait) for wait in more),
        remedy=f"Wait, or see: fairlead detect -e {detection.environment} --explain",
    )


def _progress(flight: "Flight") -> str:
    """`bump was done at 12:00:00, deploy at 12:00:09`."""
    done = [f"{name} was done at {datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC" for name, at in flight.steps]
    return ", ".join(done) or "no step was done"


def fingerprint(scope: Scope, detection: Detection) -> str:
    """A release to be: twelve hexadecimal digits for the head that was looked at and the pins to change.

    With the head in it, the same images bumped again later (after a rollback, say) are another release.
    """
    changes = [(change.name, str(change.new)) for change in detection.changes]
    content = [scope.configuration.app, scope.environment, detection.commit, changes]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
