"""All that the API remembers, in one SQLite file: documents by kind and name. Several processes may use it at once."""

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

Document = dict[str, Any]
_SCHEMA = """CREATE TABLE IF NOT EXISTS documents
    (kind TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (kind, name)) STRICT"""
_BUSY = 10.0  # seconds


class Store:
    """Documents (JSON objects) by kind and name. Safe for threads."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(file, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        with self._lock:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def get(self, kind: str, name: str) -> Document | None:
        """One document, None where there is none."""
        rows = self._run("SELECT content FROM documents WHERE kind = ? AND name = ?", kind, name)
        return json.loads(rows[0][0]) if rows else None

    def all(self, kind: str) -> dict[str, Document]:
        """All documents of a kind by name, in the order in which they were made."""
        rows = self._run("SELECT name, content FROM documents WHERE kind = ? ORDER BY rowid", kind)
        return {name: json.loads(content) for name, content in rows}

    def put(self, kind: str, name: str, document: Document) -> None:
        """Make or replace one."""
        statement = """INSERT INTO documents (kind, name, content) VALUES (?, ?, ?)
            ON CONFLICT (kind, name) DO UPDATE SET content = excluded.content"""
        self._run(statement, kind, name, json.dumps(document))

    def remove(self, kind: str, name: str) -> bool:
        """Remove one. False: there was none; of several processes only one is told that it removed it."""
        rows = self._run("DELETE FROM documents WHERE kind = ? AND name = ? RETURNING name", kind, name)
        return bool(rows)

    def _run(self, statement: str, *values: str) -> list[tuple[str, ...]]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()
