"""The demo's count of failed requests: every kind of failure is one, against a real server."""

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo.load import FAILED, Load, ask, sentence

ANSWERS = {"good": (200, b'{"version": "1.1.0"}'), "down": (503, b"{}"), "odd": (200, b"<html>"), "bare": (200, b"{}")}


class Server(ThreadingHTTPServer):
    """Answers as it is told to."""

    behaviour = "good"

    def __init__(self) -> None:
        self.asked = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.set()
        if self.server.behaviour == "cut":
            return
        status, body = ANSWERS[self.server.behaviour]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.mark.parametrize("behaviour", ["down", "odd", "bare", "cut"])
def test_everything_but_a_version_is_a_failure(server: Server, behaviour: str) -> None:
    server.behaviour = behaviour
    assert ask(server.address) == FAILED


def test_nobody_there_is_a_failure(server: Server) -> None:
    address = server.address
    server.shutdown()
    server.server_close()
    assert ask(address) == FAILED


def test_it_asks_until_its_end_and_says_what_came(server: Server) -> None:
    said: list[str] = []
    with Load(server.address, said.append) as load:
        assert server.asked.wait(30)
    assert set(load.answers) == {"1.1.0"}
    assert said[0].startswith("load: from now on 100 requests a second")
    assert said[1].endswith("; 0 failed")


def test_the_sentence_names_every_version_and_the_failures() -> None:
    answers = Counter({"1.0.0": 230, "1.1.0": 182, FAILED: 3})
    assert sentence(answers, 4.1) == "415 requests in 4.1 s: 230 answered by 1.0.0, 182 by 1.1.0; 3 failed"
    assert sentence(Counter({FAILED: 1}), 1) == "1 requests in 1.0 s: none answered; 1 failed"
