"""Which of Semaphore's tasks is ours: kept in the state directory from the moment that its id is known."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """The last deploy's task of an environment.

    purpose: which run, commit and environment it is for. attempt: from 1. fingerprint: of what it was started on.
    told: its end was a site fault that somebody was told of, so the next try is a new task.
    """

    server: str
    project: int
    task: int
    purpose: str
    attempt: int
    fingerprint: str
    told: bool = False


@dataclass(frozen=True)
class Records:
    """One file. A record that cannot be read is none: the server is asked for the task by its message then."""

    path: Path

    def read(self, purpose: str, server: str) -> Record | None:
        """The record, if it is of this purpose."""
        try:
            record = Record(**_object(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return record if (record.purpose, record.server) == (purpose, server) else None

    def write(self, record: Record) -> None:
        """Whole or not at all, and on the disk before anything else happens."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)


def _object(text: str) -> Mapping[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError
    return found
