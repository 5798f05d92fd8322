"""A process that outlives the command that started it: whether it lives, and how it is ended.

Its process id is in a file that it holds locked for as long as it lives, so that nobody ever ends another process that
happens to have the number.
"""

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from fairlead.lab.progress import wait_until

_PID = "pid"
_BEGINS_WITHIN = 60.0
_ENDS_WITHIN = 60.0
_LOOKED_AT = 1.0  # seconds within which nobody looks at the lock any more who does not hold it


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Be the one process that serves this directory. Raises BlockingIOError if another does."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / _PID).open("a+", encoding="ascii") as file:
        if not wait_until(lambda: _locked(file, fcntl.LOCK_EX), within=_LOOKED_AT, every=0.01):
            raise BlockingIOError(errno.EWOULDBLOCK, "Another process serves it", str(directory))
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def serving(directory: Path) -> int | None:
    """The process that serves the directory; None if none does. However many may ask at once."""
    found: list[str | None] = []

    def known() -> bool:
        found[:] = [_holder(directory)]
        return found != [""]

    return int(found[0]) if wait_until(known, within=_BEGINS_WITHIN) and found[0] else None


def _holder(directory: Path) -> str | None:
    """The process id in the file, while it is locked; "" where its process has not written it yet."""
    try:
        file = (directory / _PID).open("r+", encoding="ascii")
    except FileNotFoundError:
        return None
    with file:
        if not _locked(file, fcntl.LOCK_SH):  # shared: who asks keeps nobody else who asks from the answer
            return file.read()
        file.truncate(0)  # of one that was killed: the next one's lock must not seem to be its own
    return None


def _locked(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
