"""The stand-in as a process of its own, which a test may kill and start again on the same port."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairlead.config.secrets import Secret
from fairlead.deploy.semaphore.api import Server
from fairlead.lab.semaphore_api.server import FAULTS


@dataclass
class Running:
    """A server that answers. tick: seconds between its looks at the queue."""

    directory: Path
    tick: float = 0.1
    url: str = ""
    _child: "subprocess.Popen[str] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start it, on the port that it had."""
        port = self.url.rpartition(":")[2] or "0"
        argv = [sys.executable, "-m", "fairlead.lab.semaphore_api", str(self.directory), "--port", port]
        self._child = subprocess.Popen([*argv, "--tick", str(self.tick)], stdout=subprocess.PIPE, text=True)
        assert self._child.stdout
        self.url = self._child.stdout.readline().strip()
        assert self.url.startswith("http://")

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it."""
        assert self._child
        assert self._child.stdout
        os.kill(self._child.pid, number)
        self._child.wait()
        self._child.stdout.close()

    def restart(self) -> None:
        """As after a reboot of its host: what it ran is gone."""
        self.end()
        self.start()

    @property
    def server(self) -> Server:
        """What Fairlead sees."""
        return Server(self.url, Secret((self.directory / "token").read_text()), timeout=60.0)

    def plan(self, *faults: dict[str, Any], paused: bool = False, revoked: bool = False) -> None:
        """What goes wrong from now on; nothing: all is well again."""
        body = json.dumps({"faults": faults, "paused": paused, "revoked": revoked}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}{FAULTS}", body, method="POST"), timeout=60):
            pass

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """All tasks, the newest first."""
        return self.server.listed(f"/project/{project}/tasks/last")


@contextmanager
def running(directory: Path, tick: float = 0.1) -> Iterator[Running]:
    """A server for a while."""
    made = Running(directory, tick)
    made.start()
    try:
        yield made
    finally:
        made.end()
