"""HTTP around the routes: who may ask, which route it is, and the faults that tests ask for."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fairlead.deploy.private import write_private
from fairlead.lab.semaphore_api.routes import ROUTES, Answer, Api, Refusal, Request, Route, make_token
from fairlead.lab.semaphore_api.runner import Runner
from fairlead.lab.semaphore_api.store import Store

LARGEST_BODY = 4 * 1024 * 1024
FAULTS = "/lab/faults"


@dataclass
class Fault:
    """What goes wrong with a route. after: the request is carried out first, so that only its answer is lost.

    status: what is answered instead; 0: the connection is cut. seconds: how long it hangs before that. times: how
    often. text: the body instead.
    """

    route: str
    status: int = 0
    after: bool = False
    seconds: float = 0.0
    times: int = 1
    text: str = ""


@dataclass
class Faults:
    """Faults to come; `paused` keeps tasks waiting for ever."""

    planned: list[Fault] = field(default_factory=list)
    _alone: threading.Lock = field(default_factory=threading.Lock)

    def take(self, route: str) -> Fault | None:
        """The fault of this request, used up by it."""
        with self._alone:
            fault = next((fault for fault in self.planned if fault.route == route and fault.times > 0), None)
            if fault:
                fault.times -= 1
            return fault


class Service(ThreadingHTTPServer):
    """The server. directory: state, clones, and the files `token` and `password`."""

    daemon_threads = True

    def __init__(self, directory: Path, address: tuple[str, int], tick: float) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store = Store(directory / "semaphore.sqlite")
        runner = Runner(self.store, directory, tick)
        self.api = Api(self.store, runner, _kept(directory / "password", lambda: "changeme"))
        self.faults = Faults()
        _kept(directory / "token", lambda: str(make_token(self.api, Request({}, {})).content["id"]))
        super().__init__(address, Handler)  # last: whoever is answered finds the token
        runner.start()

    def may(self, authorization: str, cookie: str) -> bool:
        """Whether a token or a session is known. The real server reads the header in small letters."""
        token = authorization.lower().removeprefix("bearer ")
        if any(known["token"] == token for known in self.store.all("token")):
            return True
        return any(f"semaphore={known['secret']}" in cookie for known in self.store.all("session"))


def _kept(path: Path, make: Any) -> str:
    if not path.exists():
        write_private(path, make())
    return path.read_text(encoding="utf-8")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Service

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        """Quiet."""

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        size = min(int(self.headers.get("Content-Length") or 0), LARGEST_BODY)
        body = self.rfile.read(size)
        if parts.path == FAULTS:
            self._plan(body)
            return
        path = parts.path.removeprefix("/api")
        route, numbers = _route(self.command, path)
        fault = self.server.faults.take(route.name) if route else None
        if fault and not fault.after:
            self._fail(fault)
            return
        answer = self._answer(route, numbers, body, dict(parse_qsl(parts.query)))
        if fault:
            self._fail(fault)
        else:
            self._send(answer)

    def _answer(self, route: Route | None, numbers: dict[str, int], body: bytes, query: dict[str, str]) -> Answer:
        try:
            return self._carry_out(route, numbers, body, query)
        except Refusal as refusal:
            return refusal.answer

    def _carry_out(self, route: Route | None, numbers: dict[str, int], body: bytes, query: dict[str, str]) -> Answer:
        who = self.headers.get("Authorization", ""), self.headers.get("Cookie", "")
        if not (route and route.open) and not self.server.may(*who):
            raise Refusal(401)
        if route is None:
            raise Refusal(404)
        if "project_id" in numbers and self.server.store.read("project", numbers["project_id"]) is None:
            raise Refusal(404)
        fields = _object(body) if route.method != "GET" and (body or route.fields) else {}
        if strange := [*(fields.keys() - route.fields), *(query.keys() - route.query)]:
            raise Refusal(400, f"the stand-in: {route.name} takes no {', '.join(sorted(strange))}")
        return route.handler(self.server.api, Request(numbers, fields, query))

    def _plan(self, body: bytes) -> None:
        """Tests say what goes wrong from now on."""
        plan = _object(body)
        self.server.api.runner.paused = bool(plan.get("paused"))
        self.server.faults.planned[:] = [Fault(**fault) for fault in plan.get("faults", [])]
        for token in self.server.store.all("token") if plan.get("revoked") else ():
            self.server.store.remove("token", token["id"])
        self._send(Answer(204))

    def _fail(self, fault: Fault) -> None:
        time.sleep(fault.seconds)
        if fault.status:
            self._send(Answer(fault.status, fault.text or None))
        self.close_connection = True

    def _send(self, answer: Answer) -> None:
        text = "" if answer.content is None and answer.status != 200 else json.dumps(answer.content)
        content = (answer.content if isinstance(answer.content, str) else text).encode()
        self.send_response(answer.status)
        if answer.cookie:
            self.send_header("Set-Cookie", answer.cookie)
        if content:
            self.send_header("Content-Type", "application/json")
        if answer.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        raise Refusal(400) from None
    if not isinstance(found, dict):
        raise Refusal(400)
    return found


@cache
def _patterns() -> tuple[tuple[Route, re.Pattern[str]], ...]:
    return tuple((route, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>\\d+)", route.path) + "/?")) for route in ROUTES)


def _route(method: str, path: str) -> tuple[Route | None, dict[str, int]]:
    for route, pattern in _patterns():
        if route.method == method and (found := pattern.fullmatch(path)):
            return route, {name: int(value) for name, value in found.groupdict().items()}
    return None, {}


@contextmanager
def serving(directory: Path, address: tuple[str, int], tick: float) -> Iterator[Service]:
    """The server while the block runs; what its tasks run is killed at the end."""
    with Service(directory, address, tick) as service:
        try:
            yield service
        finally:
            service.api.runner.end()
