"""The stand-in's state: one SQLite file, so that a restart forgets nothing but what is under way."""

import json
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIRST_TASK = 2147483646  # BoltDB's habit in Semaphore: the newest task has the lowest number
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (kind TEXT, id INTEGER, project INTEGER, fields TEXT, PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS output (task INTEGER, time TEXT, line TEXT);
CREATE INDEX IF NOT EXISTS output_of ON output (task);
"""

Fields = dict[str, Any]


class Store:
    """Objects by kind and number, and what tasks print. Used by many threads."""

    def __init__(self, path: Path) -> None:
        self._alone = threading.RLock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.executescript(_SCHEMA)

    def add(self, kind: str, project: int, fields: Mapping[str, Any]) -> Fields:
        """Store a new object under the next number; returns it with `id`."""
        with self._alone:
            made = {**fields, "id": self._next(kind)}
            self._database.execute(
                "INSERT INTO objects VALUES (?, ?, ?, ?)", (kind, made["id"], project, json.dumps(made))
            )
            return made

    def _next(self, kind: str) -> int:
        lowest, highest = self._database.execute(
            "SELECT MIN(id), MAX(id) FROM objects WHERE kind = ?", (kind,)
        ).fetchone()
        if kind == "task":
            return int(lowest or FIRST_TASK + 1) - 1
        return int(highest or 0) + 1

    def change(self, kind: str, number: int, fields: Mapping[str, Any]) -> Fields:
        """Set some fields of an object."""
        with self._alone:
            changed = {**(self.read(kind, number) or {}), **fields}
            self._database.execute(
                "UPDATE objects SET fields = ? WHERE kind = ? AND id = ?", (json.dumps(changed), kind, number)
            )
            return changed

    def remove(self, kind: str, number: int) -> None:
        """Forget an object."""
        with self._alone:
            self._database.execute("DELETE FROM objects WHERE kind = ? AND id = ?", (kind, number))

    def read(self, kind: str, number: object, project: int | None = None) -> Fields | None:
        """An object, in that project where one is named."""
        with self._alone:
            row = self._database.execute(
                "SELECT fields, project FROM objects WHERE kind = ? AND id = ?", (kind, number)
            ).fetchone()
        if row is None or project not in (None, row[1]):
            return None
        found: Fields = json.loads(row[0])
        return found

    def all(self, kind: str, project: int = 0) -> list[Fields]:
        """The objects of a kind in a project, by number (so the newest task is the first)."""
        with self._alone:
            rows = self._database.execute(
                "SELECT fields FROM objects WHERE kind = ? AND project = ? ORDER BY id", (kind, project)
            )
            return [json.loads(row[0]) for row in rows]

    def say(self, task: int, time: str, line: str) -> None:
        """Keep a line that a task printed."""
        with self._alone:
            self._database.execute("INSERT INTO output VALUES (?, ?, ?)", (task, time, line))

    def said(self, task: int) -> list[Fields]:
        """All that a task printed."""
        with self._alone:
            rows = self._database.execute("SELECT time, line FROM output WHERE task = ? ORDER BY rowid", (task,))
            return [{"task_id": task, "task": "", "time": time, "output": line} for time, line in rows]
