"""The log of a run: one line of JSON per event, only ever appended, one file per run in the state directory."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """What an entry says of its stage, or of the whole run."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    RESUMED = "resumed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. time: ISO 8601, UTC. stage: "" for the run itself. seconds: how long what ended now took."""

    time: str
    run: str
    stage: str
    state: State
    text: str = ""
    seconds: float = 0.0


Tell = Callable[[Entry], None]


def now() -> str:
    """The time as entries carry it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class RunLog:
    """Writes entries to `<directory>/<run>.jsonl` and tells them to who listens. mask: applied to every text."""

    directory: Path
    run: str
    tell: Tell
    mask: Callable[[str], str]

    def add(self, stage: str, state: State, text: str = "", seconds: float = 0.0) -> None:
        """Append one entry, and tell it. A disk or a terminal that takes nothing more ends no run: the log is not what
        a run is gone on with, and what happened has happened."""
        entry = Entry(now(), self.run, stage, state, self.mask(text), round(seconds, 3))
        try:
            self._append(entry)
        except OSError as error:
            entry = replace(entry, text=f"{entry.text} (not in the run's log: {error.strerror})".strip())
        with contextlib.suppress(OSError):
            self.tell(entry)

    def _append(self, entry: Entry) -> None:
        """Whole: one write to a file opened for appending is not torn by a kill."""
        line = json.dumps(asdict(entry), ensure_ascii=False, separators=(",", ":")) + "\n"
        descriptor = os.open(path_of(self.directory, self.run), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def path_of(directory: Path, run: str) -> Path:
    """Where a run's log is; a run's name has no slash."""
    return directory / f"{run.replace(':', '-')}.jsonl"


def read(path: Path) -> Iterator[Entry]:
    """The entries of a log, oldest first. A line that a full disk cut short is left out."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            fields = json.loads(line)
            yield Entry(**{**fields, "state": State(fields["state"])})
        except (ValueError, TypeError, KeyError):
            continue


def last(directory: Path, run: str) -> Entry | None:
    """A run's newest entry."""
    return next(reversed(list(read(path_of(directory, run)))), None)


def prune(directory: Path, keep: int) -> None:
    """Remove the logs of the oldest runs, all but the newest `keep`."""
    logs = sorted(directory.glob("*.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in logs[keep:]:
        path.unlink(missing_ok=True)
