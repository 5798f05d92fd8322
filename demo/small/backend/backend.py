"""The demo's backend: notes in PostgreSQL, over HTTP.

GET /up           200 when the database answers, else 503
GET /api/version  {"version": ..., "revision": ...}
GET /api/notes    every note, oldest first
POST /api/notes   {"text": ...} -> 201 and the note

On SIGTERM it serves what has already connected, then leaves: a replaced container loses no request.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg2

VARIANT = os.environ.get("APP_VARIANT", "")  # "", broken, wrong-version or crash-later
OLD_VERSION = "1.0.0"
VERSION = OLD_VERSION if VARIANT == "wrong-version" else os.environ.get("APP_VERSION", "0.0.0")
REVISION = os.environ.get("APP_REVISION", "")
LARGEST_BODY = 64 * 1024
SCHEMA = "CREATE TABLE IF NOT EXISTS notes (id serial PRIMARY KEY, text text NOT NULL, at timestamptz DEFAULT now())"


class Notes:
    """The table of notes: one connection, used by one thread at a time, made anew when it breaks."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.connection: Any = None

    def query(self, sql: str, values: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows that the statement returns. A broken connection is replaced once, before anything was written."""
        with self.turn:
            try:
                return self._ask("SELECT 1") and self._ask(sql, values)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self.connection = None
                return self._ask(sql, values)

    def _ask(self, sql: str, values: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        self.connection = self.connection or self._connect()
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    @staticmethod
    def _connect() -> Any:
        connection = psycopg2.connect(connect_timeout=2)  # the PG* variables say where
        connection.autocommit = True
        with connection.cursor() as cursor:
            # two backends live side by side during a start-first rollout, and both may be the first
            cursor.execute("SELECT pg_advisory_lock(1)")
            cursor.execute(SCHEMA)
            cursor.execute("SELECT pg_advisory_unlock(1)")
        return connection


class Handler(BaseHTTPRequestHandler):
    """One request. HTTP/1.0: no idle connection can be cut when the container is replaced."""

    server_version = "notes"
    sys_version = ""
    notes = Notes()

    def do_GET(self) -> None:
        answers = {"/up": self._up, "/api/version": self._version, "/api/notes": self._list}
        answers.get(self.path, self._missing)()

    def do_POST(self) -> None:
        if self.path != "/api/notes":
            return self._missing()
        text = self._text()
        if not text:
            return self._answer(400, {"error": 'send {"text": "..."}'})
        rows = self.notes.query("INSERT INTO notes (text) VALUES (%s) RETURNING id, text", (text,))
        return self._answer(201, {"id": rows[0][0], "text": rows[0][1]})

    def _text(self) -> str:
        length = min(int(self.headers.get("Content-Length") or 0), LARGEST_BODY)
        try:
            return str(json.loads(self.rfile.read(length))["text"])
        except (ValueError, KeyError, TypeError):
            return ""

    def _up(self) -> None:
        if VARIANT == "broken":
            return self._answer(503, {"error": "this variant never becomes healthy"})
        try:
            self.notes.query("SELECT 1")
        except psycopg2.Error as error:
            return self._answer(503, {"error": str(error).strip()})
        return self._answer(200, {"up": True})

    def _version(self) -> None:
        self._answer(200, {"version": VERSION, "revision": REVISION})

    def _list(self) -> None:
        rows = self.notes.query("SELECT id, text FROM notes ORDER BY id")
        self._answer(200, [{"id": key, "text": text} for key, text in rows])

    def _missing(self) -> None:
        self._answer(404, {"error": "no such page"})

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of requests: the log is for what goes wrong."""


class Server(ThreadingHTTPServer):
    """Waits at its end for the requests it is answering."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def drain(self) -> None:
        """Take every connection that the kernel has already accepted, so that closing the socket resets none."""
        self.socket.setblocking(False)
        while True:
            try:
                request, address = self.socket.accept()
            except BlockingIOError:
                return
            request.setblocking(True)
            self.process_request(request, address)


def crash() -> None:
    print("crash-later: this variant dies 10 seconds after its start", flush=True)  # noqa: T201
    os._exit(1)


def main() -> None:
    print(f"notes {VERSION} {VARIANT}".strip(), flush=True)  # noqa: T201
    server = Server(("", 8000), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    if VARIANT == "crash-later":
        threading.Timer(10, crash).start()
    server.serve_forever(poll_interval=0.05)
    server.drain()
    server.server_close()
    os._exit(0)


if __name__ == "__main__":
    main()
