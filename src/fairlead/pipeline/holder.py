"""Who runs an environment on this machine: a locked file, held for the process's life.

The lock is flock(2): the kernel lets it go when its holder ends, however it ends; a stopped (SIGSTOP) holder keeps it.
The file's one line tells others who holds it, and after a kill which run was left in flight.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from fairlead.errors import Busy
from fairlead.pipeline.log import now

_TRIES, _POLL = 50, 0.02  # how often the lock is tried for, and the seconds in between


@dataclass(frozen=True, slots=True)
class Holding:
    """What a holder's file says. run: in flight, or ""."""

    pid: int
    host: str
    since: str
    run: str = ""


@dataclass
class Holder:
    """This process, holding the environment. left: the run that an earlier holder left in flight, or ""."""

    descriptor: int
    holding: Holding
    left: str

    def running(self, run: str) -> None:
        """Note which run is in flight; "" when none is."""
        self.holding = Holding(self.holding.pid, self.holding.host, self.holding.since, run)
        _write(self.descriptor, self.holding)


@contextmanager
def hold(path: Path, environment: str, pause: Callable[[float], None] = time.sleep) -> Iterator[Holder]:
    """Hold the environment until the end of the block. pause: waits for so many seconds.

    Raises Busy, which names the holder.
    """
    for directory in (*reversed(path.parents[:3]), path.parent):  # `mode` is for the last one only
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(descriptor, pause):
            raise _busy(environment, _read(descriptor))
        before = _read(descriptor)
        holder = Holder(descriptor, Holding(os.getpid(), socket.gethostname(), now()), before.run if before else "")
        holder.running(holder.left)
        yield holder
    finally:
        os.close(descriptor)


def held(path: Path) -> tuple[Holding | None, bool]:
    """What the file says, and whether a living process holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor), True
    else:
        return _read(descriptor), False
    finally:
        os.close(descriptor)


def _taken(descriptor: int, pause: Callable[[float], None]) -> bool:
    """Try for a second: whoever only looks (`held`) has the lock too, for a moment."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pause(_POLL)
        else:
            return True
    return False


def _write(descriptor: int, holding: Holding) -> None:
    line = json.dumps(asdict(holding)).encode() + b"\n"
    os.pwrite(descriptor, line, 0)  # one call: a kill leaves the old line or the new one in front
    os.ftruncate(descriptor, len(line))


def _read(descriptor: int) -> Holding | None:
    try:
        return Holding(**json.loads(os.pread(descriptor, 4096, 0).split(b"\n", 1)[0]))
    except (ValueError, TypeError):
        return None


def _busy(environment: str, holding: Holding | None) -> Busy:
    if holding is None:
        return Busy(f"{environment}: another process is starting a run", remedy="Repeat the command in a moment")
    run = f", run {holding.run}" if holding.run else ""
    return Busy(
        f"{environment}: a run is going on: pid {holding.pid} on {holding.host} since {holding.since}{run}",
        why="Only one run changes an environment at a time; a stopped process holds it too",
        remedy=f"Wait for it, or end it: kill -INT {holding.pid}",
    )
