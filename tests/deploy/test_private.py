"""A run's private directory: nobody else's, and gone afterwards."""

import itertools
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fairlead.deploy.private import PREFIX, end_processes, private_directory, sweep, write_private

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

# What a run left behind writes once more when the directory is about to go: so many times.
WRITE_ON = """
import sys
from pathlib import Path
from fairlead.deploy.private import private_directory
times = int(sys.argv[2])
with private_directory(Path(sys.argv[1])) as path:
    place = path / sys.argv[3]
    place.mkdir(exist_ok=True)
    (path / "key").touch()
    def write_on(event, told):
        global times
        if event == "os.rmdir" and times and Path(told[0]) == place:
            times -= 1
            (place / "late").touch()
    sys.addaudithook(write_on)
print("well")
"""

LEAVE = """
import os, subprocess, sys
from pathlib import Path
from fairlead.deploy.private import private_directory
with private_directory(Path(sys.argv[1])) as path:
    (path / "key").touch()
    null = subprocess.DEVNULL
    worker = subprocess.Popen(["sleep", "600"], env={"RUN": str(path)}, stdout=null, stderr=null)
    print(worker.pid, flush=True)
    os.kill(os.getpid(), 9)
"""

SWEEP = """
import sys
from pathlib import Path
from fairlead.deploy.private import sweep
sys.addaudithook(lambda event, told: print(event) if event in ("os.kill", "os.remove") else None)
sweep(Path(sys.argv[1]))
"""

# A worker starts another one when the first look is over.
FORK_ON = """
import subprocess, sys
from pathlib import Path
from fairlead.deploy.private import end_processes
def fork():
    null = subprocess.DEVNULL
    return subprocess.Popen(["sleep", "600"], env={"RUN": sys.argv[1]}, stdout=null, stderr=null)
workers = [fork()]
sys.addaudithook(lambda event, told: workers.append(fork()) if event == "os.kill" and len(workers) == 1 else None)
end_processes(Path(sys.argv[1]))
for worker in workers:
    worker.terminate()
    print(worker.wait())
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


def test_what_still_writes_there_does_not_undo_the_run(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITE_ON, str(tmp_path), "1", "checkout"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "well\n"
    assert list(tmp_path.iterdir()) == []


def test_what_writes_there_for_ever_is_left_to_the_next_sweep(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITE_ON, str(tmp_path), "-1", "."]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "well\n"
    [left] = tmp_path.iterdir()
    assert {child.name for child in left.iterdir()} == {"held", "late"}
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_running_ends_before_its_files_go(tmp_path: Path) -> None:
    left = subprocess.run([sys.executable, "-c", LEAVE, str(tmp_path)], capture_output=True, text=True, check=False)
    said = subprocess.run([sys.executable, "-c", SWEEP, str(tmp_path)], capture_output=True, text=True, check=True)
    assert [event for event, _ in itertools.groupby(said.stdout.split())] == ["os.kill", "os.remove"]
    assert not is_running(int(left.stdout))
    assert list(tmp_path.iterdir()) == []


def is_running(number: int) -> bool:
    """Not ended, and not waiting for its parent to hear of it."""
    try:
        return bool(Path(f"/proc/{number}/cmdline").read_bytes())
    except OSError:
        return False


def test_a_worker_that_is_started_while_workers_are_ended_ends_too(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", FORK_ON, f"{tmp_path}/run"], capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [str(-signal.SIGKILL)] * 2


def test_it_does_not_end_itself(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import sys; from fairlead.deploy import private; private.end_processes(sys.argv[1])"]
    assert subprocess.run([*argv, str(tmp_path)], check=False).returncode == 0


@pytest.mark.parametrize("variable", ["PWD", "OLDPWD"])
def test_the_shell_of_a_person_who_looked_around_there_is_let_be(tmp_path: Path, variable: str) -> None:
    with subprocess.Popen(["sleep", "600"], env={variable: str(tmp_path)}) as person:
        end_processes(tmp_path)
        person.terminate()
    assert person.returncode == -signal.SIGTERM


def test_another_users_processes_and_directories_are_let_be(tmp_path: Path) -> None:
    directory = tmp_path / f"{PREFIX}theirs"
    directory.mkdir()
    (directory / "held").touch()
    os.chown(directory, 65534, 65534)
    with subprocess.Popen(["sleep", "600"], env={"RUN": str(directory)}, user=65534) as worker:
        sweep(tmp_path)
        end_processes(directory)
        worker.terminate()
    assert (worker.returncode, directory.exists()) == (-signal.SIGTERM, True)
