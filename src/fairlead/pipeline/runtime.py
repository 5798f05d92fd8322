"""DBOS for one process: launched by the holder of an environment, under an executor id that nobody else has.

Values are recorded as JSON: nothing that is read back from the database is executed.
"""

import json
import logging
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos._serialization import Serializer  # DBOS takes one in its configuration and names the type only here

from fairlead.config.secrets import Secret
from fairlead.errors import RunStuck
from fairlead.pipeline.stages import Request, Said
from fairlead.pipeline.workflow import MOST_RECOVERIES, VERSION, Pipeline

NAME = "fairlead"
_POLL = 0.05  # seconds between DBOS's looks at what it waits for
_IN_FLIGHT = ["PENDING", "ENQUEUED", "DELAYED"]
_ENDED = ["SUCCESS", "ERROR", "CANCELLED"]
_GIVEN_UP = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"


class RecordedError(Exception):
    """An unexpected error of an earlier attempt, as far as it was recorded: its type and its words."""


class JsonSerializer(Serializer):
    """JSON for arguments, results and errors. The default pickles, so that a database could run code here."""

    def name(self) -> str:
        """Recorded with every value."""
        return "fairlead_json"

    def serialize(self, data: Any) -> str:
        """Raises TypeError for what is not JSON."""
        return json.dumps({"raised": [type(data).__name__, str(data)]} if isinstance(data, BaseException) else data)

    def deserialize(self, serialized_data: str) -> Any:
        """Restores errors as RecordedError, and positional arguments as the tuple that DBOS wants."""
        data = json.loads(serialized_data)
        if isinstance(data, dict) and set(data) == {"raised"}:
            return RecordedError(": ".join(data["raised"]))
        if isinstance(data, dict) and set(data) == {"args", "kwargs"}:
            return {**data, "args": tuple(data["args"])}
        return data


@dataclass(frozen=True, slots=True)
class Flight:
    """A run that has not ended. steps: those that are done, with the time (seconds since the epoch) of their end."""

    run: str
    steps: tuple[tuple[str, float], ...]
    given_up: bool
    version: str

    def require_life(self) -> None:
        """Raise RunStuck for a run that will not be taken up any more."""
        if self.given_up:
            why = f"It was taken up {MOST_RECOVERIES} times, and each time the process ended before the run did"
        elif self.version != VERSION:
            why = f"It was begun by an older Fairlead (order of steps {self.version}; this one has {VERSION})"
        else:
            return
        remedy = f"Look at its log, then give it up and begin anew: fairlead run -e {self.run.split(':')[0]} --abandon"
        raise RunStuck(f"The run {self.run} needs a person", why=why, remedy=remedy)


@dataclass(frozen=True)
class Runtime:
    """A launched DBOS. executor: see `executor_id`."""

    pipeline: Pipeline
    executor: str

    def in_flight(self) -> list[Flight]:
        """This executor's runs that have not ended, the oldest first; those that live are being taken up already."""
        wanted = [*_IN_FLIGHT, _GIVEN_UP]
        found = DBOS.list_workflows(executor_id=self.executor, status=wanted, load_input=False, load_output=False)
        return [
            Flight(status.workflow_id, _steps(status.workflow_id), status.status == _GIVEN_UP, status.app_version or "")
            for status in found
        ]

    def attempts(self, release: str) -> int:
        """The number of the last run of `environment:fingerprint`, on any machine that shares the database; or 0."""
        runs = DBOS.list_workflows(workflow_id_prefix=f"{release}:", load_input=False, load_output=False)
        return max((int(run.workflow_id.rpartition(":")[2]) for run in runs), default=0)

    def prune(self, keep: int) -> None:
        """Forget this executor's ended runs but the newest `keep`."""
        ended = DBOS.list_workflows(
            executor_id=self.executor, status=_ENDED, sort_desc=True, offset=keep, load_input=False, load_output=False
        )
        if ended:
            DBOS.delete_workflows([run.workflow_id for run in ended])

    def start(self, request: Request) -> Said:
        """Run to the end. The id is the deduplication: of two starts of one id, one runs and both get its result."""
        with SetWorkflowID(request["run"]):
            handle = DBOS.start_workflow(self.pipeline.run, request)
        return handle.get_result(polling_interval_sec=_POLL)

    def resume(self, run: str) -> Said:
        """Wait for the end of a run that DBOS has taken up again. Raises RunStuck when it gives up."""
        handle: Any = DBOS.retrieve_workflow(run)
        try:
            said: Said = handle.get_result(polling_interval_sec=_POLL)
        except Exception:
            for flight in self.in_flight():
                if flight.run == run:
                    flight.require_life()
            raise
        return said

    def abandon(self, run: str) -> None:
        """Never take this run up again."""
        DBOS.cancel_workflow(run)


@contextmanager
def launched(pipeline: Pipeline, executor: str, file: Path, database: Secret | None) -> Iterator[Runtime]:
    """DBOS on `database` (PostgreSQL), else on SQLite in `file`; it takes up this executor's runs at once."""
    logging.getLogger("dbos").setLevel(logging.CRITICAL)  # its errors are ours to tell
    DBOS(
        config=DBOSConfig(
            name=NAME,
            system_database_url=database.reveal() if database else f"sqlite:///{file}",
            application_version=VERSION,
            executor_id=executor,
            serializer=JsonSerializer(),
            log_level="CRITICAL",
            notification_listener_polling_interval_sec=_POLL,  # its wait is waited for at the end of every run
        )
    )
    try:
        DBOS.launch()
        yield Runtime(pipeline, executor)
    finally:
        DBOS.destroy()


def executor_id(state: Path, app: str, environment: str) -> str:
    """This state directory's own id for the environment: of all processes that share it one holds the lock."""
    path = state / "machine-id"
    if not path.is_file():
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        draft.write_text(f"{socket.gethostname()}-{secrets.token_hex(4)}\n", encoding="utf-8")
        try:
            path.hardlink_to(draft)  # whoever is first wins
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return f"{path.read_text(encoding='utf-8').strip()}:{app}:{environment}"


def _steps(run: str) -> tuple[tuple[str, float], ...]:
    steps = DBOS.list_workflow_steps(run)
    return tuple((step["function_name"], (step["completed_at_epoch_ms"] or 0) / 1000) for step in steps)
