"""Who serves a directory, asked by many at once, and by somebody who comes in between."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from fairlead.lab.background import alone, end, serving

SERVE = """
import signal, sys
from pathlib import Path
from fairlead.lab.background import alone
with alone(Path(sys.argv[1])):
    print("serves", flush=True)
    signal.pause()
"""


@contextmanager
def served(directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """By another process, until it is ended."""
    with subprocess.Popen([sys.executable, "-c", SERVE, directory], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "serves\n"
        try:
            yield child
        finally:
            child.kill()


@contextmanager
def _when_it_sleeps(do: Callable[[], object]) -> Iterator[None]:
    """Something happens as soon as this thread waits for it (sys.setprofile)."""

    def profile(_frame: FrameType, event: str, function: object) -> None:
        if (event, function) == ("c_call", time.sleep):
            sys.setprofile(None)
            do()

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_who_serves_is_told_and_ended(tmp_path: Path) -> None:
    assert serving(tmp_path) is None
    with served(tmp_path) as child:
        assert serving(tmp_path) == child.pid
        assert end(tmp_path)
    assert serving(tmp_path) is None
    assert not end(tmp_path)


def test_a_second_one_is_refused(tmp_path: Path) -> None:
    with served(tmp_path), pytest.raises(BlockingIOError, match="Another process serves it"), alone(tmp_path):
        raise AssertionError("both serve")


def test_who_asks_is_not_taken_for_who_serves(tmp_path: Path) -> None:
    """Somebody else asks just now: holds the file's lock as `serving` does."""
    (tmp_path / "pid").touch()
    with (tmp_path / "pid").open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        assert serving(tmp_path) is None


def test_who_begins_while_somebody_asks_serves(tmp_path: Path) -> None:
    (tmp_path / "pid").touch()
    with (tmp_path / "pid").open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        with _when_it_sleeps(lambda: fcntl.flock(asking, fcntl.LOCK_UN)), alone(tmp_path):
            assert serving(tmp_path) == os.getpid()


def test_one_that_begins_is_waited_for(tmp_path: Path) -> None:
    """It has the lock, and has not written who it is."""
    with (tmp_path / "pid").open("w") as beginning:
        fcntl.flock(beginning, fcntl.LOCK_EX)
        with _when_it_sleeps(lambda: os.pwrite(beginning.fileno(), b"4711", 0)):
            assert serving(tmp_path) == 4711


def test_what_a_killed_one_wrote_is_nobodys(tmp_path: Path) -> None:
    with served(tmp_path) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert serving(tmp_path) is None
    assert (tmp_path / "pid").read_text() == ""
