"""Requests at a steady rate while something happens, counted by who answered. Nothing is repeated, nothing forgiven."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

RATE = 100  # requests per second
PATIENCE = 30.0  # seconds until a request without an answer has failed
AT_ONCE = 64  # requests under way; more would wait for their turn
FAILED = "failed"


def ask(address: str) -> str:
    """Which version answers GET /api/version there; FAILED for no answer, or another one."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("GET", "/api/version")
        answer = connection.getresponse()
        return str(json.load(answer)["version"]) if answer.status == http.client.OK else FAILED
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return FAILED
    finally:
        connection.close()


def sentence(answers: Counter[str], seconds: float) -> str:
    """`412 requests in 4.1 s: 230 answered by 1.0.0, 182 by 1.1.0; 0 failed`."""
    versions = sorted(set(answers) - {FAILED})
    by = ", ".join(f"{answers[version]} by {version}" for version in versions).replace(" by", " answered by", 1)
    return f"{answers.total()} requests in {seconds:.1f} s: {by or 'none answered'}; {answers[FAILED]} failed"


class Load:
    """Asks an address RATE times a second from `with` to its end, then says what came back."""

    def __init__(self, address: str, say: Callable[[str], object]) -> None:
        self.answers: Counter[str] = Counter()
        self._address = address
        self._say = say
        self._enough = threading.Event()
        self._sender = threading.Thread(target=self._send)

    def __enter__(self) -> Self:
        self._say(f"load: from now on {RATE} requests a second to http://{self._address}/api/version")
        self._began = time.monotonic()
        self._sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self._sender.join()
        if kind is None:
            self._say(f"load: {sentence(self.answers, time.monotonic() - self._began)}")

    def _send(self) -> None:
        """One request at each tick, whatever became of the one before. Late ticks are caught up with."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            under_way, number = [], 0
            while not self._enough.wait(max(0.0, self._began + number / RATE - time.monotonic())):
                under_way.append(pool.submit(ask, self._address))
                number += 1
            self.answers.update(future.result() for future in under_way)
