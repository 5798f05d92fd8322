"""Requests at a steady rate, sent by a process of their own, so that they cost every contender the same.

    with Load("10.77.0.11:80") as load:
        deploy()
    load.failed, load.first("1.1.0")

As a program (`python -m benchmarks.load ADDRESS`) it asks until its standard input ends, then prints what came back.
Each request is a new connection; nothing is repeated, nothing forgiven.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

RATE = 100  # requests per second
PATIENCE = 10.0  # seconds until a request without an answer has failed
AFTERGLOW = 0.5  # seconds for which requests go on after what is measured has ended
FAILED = ""
ROOT = Path(__file__).parents[1]
_VERSION = re.compile(rb'"version": *"([^"]+)"')


class Load:
    """The load on an address, from `with` to its end; then what came back."""

    def __init__(self, address: str) -> None:
        self._argv = [sys.executable, "-m", "benchmarks.load", address]
        self._answers: list[tuple[float, str]] = []

    def __enter__(self) -> Self:
        self._sender = subprocess.Popen(self._argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._sender.stdout is not None
        if not self._sender.stdout.readline():  # it says when it has had its first answer
            raise SystemExit("the load did not start")
        self.began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended = time.monotonic()
        if kind is None:
            time.sleep(AFTERGLOW)
        told, _ = self._sender.communicate()
        self._answers = [(moment, version) for moment, version in json.loads(told or "[]")]

    @property
    def seconds(self) -> float:
        """How long what was measured took."""
        return self.ended - self.began

    @property
    def sent(self) -> int:
        return len(self._answers)

    @property
    def failed(self) -> int:
        """Requests with another answer than a version, or none."""
        return sum(version == FAILED for _, version in self._answers)

    def first(self, version: str) -> float:
        """Seconds until the version answered for the first time; nan if it never did."""
        moments = [moment for moment, answered in self._answers if answered == version]
        return min(moments) - self.began if moments else float("nan")


async def ask(host: str, port: int) -> str:
    """Which version answers GET /api/version."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET /api/version HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return FAILED
    found = _VERSION.search(answer) if answer.startswith(b"HTTP/1.1 200 ") else None
    return found.group(1).decode() if found else FAILED


async def send(address: str) -> list[tuple[float, str]]:
    """One request at each tick until standard input ends, whatever became of the one before."""
    host, port = address.split(":")
    answers: list[tuple[float, str]] = []

    async def one() -> None:
        version = await ask(host, int(port))
        answers.append((time.monotonic(), version))

    await one()
    print(flush=True)
    end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    began, under_way = time.monotonic(), []
    while not end.done():
        under_way.append(asyncio.create_task(one()))
        await asyncio.sleep(max(0.0, began + len(under_way) / RATE - time.monotonic()))
    await asyncio.gather(*under_way)
    return answers[1:]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(send(sys.argv[1]))))
