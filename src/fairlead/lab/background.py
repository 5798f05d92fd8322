"""A process that outlives the command that started it: whether it lives, and how it is ended.

Its process id is in a file that it holds locked for as long as it lives, so that nobody ever ends another process that
happens to have the number.
"""

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from fairlead.lab.progress import wait_until

_PID = "pid"
_ENDS_WITHIN = 60.0


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Be the one process that serves this directory. Raises BlockingIOError if another does."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / _PID).open("a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def serving(directory: Path) -> int | None:
    """The process that serves the directory; None if none does."""
    try:
        file = (directory / _PID).open("r+", encoding="ascii")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read())
    return None


def end(directory: Path) -> bool:
    """End the process that serves the directory, and wait for it. False: none did."""
    number = serving(directory)
    if number is None:
        return False
    os.kill(number, signal.SIGTERM)
    if not wait_until(lambda: serving(directory) is None, within=_ENDS_WITHIN):
        os.kill(number, signal.SIGKILL)
        wait_until(lambda: serving(directory) is None, within=_ENDS_WITHIN)
    return True
