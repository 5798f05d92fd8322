"""A run's private directory: nobody else's, and gone afterwards."""

import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fairlead.deploy.private import private_directory, sweep, write_private

HOLD = """
import sys, time
from pathlib import Path
from fairlead.deploy.private import private_directory, write_private
with private_directory(Path(sys.argv[1])) as path:
    write_private(path / "values.json", "secret")
    print("held", flush=True)
    time.sleep(600)
"""

WIPE = """
import sys
from pathlib import Path
from fairlead.deploy.private import private_directory
with private_directory(Path(sys.argv[1])) as path:
    (path / "a").touch()
    (path / "z").touch()
    sys.addaudithook(lambda event, told: print(Path(told[0]).name) if event == "os.remove" else None)
"""


def test_only_this_user_can_read_it(tmp_path: Path) -> None:
    with private_directory(tmp_path) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE(write_private(path / "key", "x").stat().st_mode) == 0o600


def test_it_is_in_memory_where_the_system_has_such_a_place() -> None:
    with private_directory() as path:
        assert path.parent == Path("/dev/shm")


def interrupted(place: Path) -> None:
    with private_directory(place) as path:
        write_private(path / "key", "x")
        raise KeyboardInterrupt


def test_an_interrupt_wipes_it_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_wiped_by_the_next_and_the_living_ones_stays(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        sweep(tmp_path)
        assert len(list(tmp_path.glob("*/values.json"))) == 1
        holder.send_signal(signal.SIGKILL)
    with private_directory(tmp_path) as path:
        assert list(tmp_path.iterdir()) == [path]


def test_two_that_come_and_go_at_once_do_not_wipe_each_others(tmp_path: Path) -> None:
    def come_and_go(turns: int) -> None:
        for _ in range(turns):
            with private_directory(tmp_path) as path:
                write_private(path / "key", "x")

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(come_and_go, [100] * 4)) == [None] * 4
    assert list(tmp_path.iterdir()) == []


def test_its_lock_file_goes_last(tmp_path: Path) -> None:
    """Killed while it wipes, a process leaves what the next one still knows as nobody's."""
    completed = subprocess.run([sys.executable, "-c", WIPE, tmp_path], capture_output=True, text=True, check=True)
    assert sorted(completed.stdout.split()) == ["a", "held", "z"]
    assert completed.stdout.split()[-1] == "held"
