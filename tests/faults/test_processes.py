"""Programs that are killed from outside, disks that take nothing more: told clearly, nothing corrupt, gone on with."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from fairlead.config.models import AnsibleDeploy
from fairlead.deploy import private
from fairlead.deploy.ansible import AnsibleDeployer
from fairlead.deploy.base import Outcome
from tests.deploy.playbooks import processes_with, request, write_repository
from tests.faults.checker import require
from tests.fixtures.git import git
from tests.pipeline.runner import Pipeline, Process

Fault = Callable[[Path], AbstractContextManager[None]]
# As the kernel's OOM killer would: the outermost ansible-playbook above this program dies.
KILL_ANSIBLE = """
import os, signal
from pathlib import Path
found, process = 0, os.getpid()
while process > 1:
    if b"ansible.cli.playbook" in Path(f"/proc/{process}/cmdline").read_bytes():
        found = process
    process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
os.kill(found, signal.SIGKILL)
"""


def test_ansible_that_runs_out_of_memory_is_the_sites_fault_and_leaves_nothing(tmp_path: Path) -> None:
    task = f"- ansible.builtin.command: {{argv: ['{sys.executable}', -c, {json.dumps(KILL_ANSIBLE)}]}}"
    checkout = write_repository(tmp_path / "export", task)
    result = AnsibleDeployer(AnsibleDeploy()).deploy(request(checkout, {"password": "canary-secret"}))
    assert result.outcome is Outcome.SITE_FAULT, result
    assert processes_with(str(checkout)) == []


def test_what_a_killed_run_left_in_the_temporary_directory_is_wiped_by_the_next(pipeline: Pipeline) -> None:
    pipeline.offer()
    machine = pipeline.machine("staging")
    (machine / "pause").touch()
    process = pipeline.start()
    while not (machine / "paused").exists():
        assert process.child.is_alive(), process.text
        time.sleep(0.02)
    left = _private_directory_of(process)
    assert (left / "checkout").is_dir()
    process.signal(signal.SIGKILL)  # from now on another test's run may wipe it
    assert process.wait() == -signal.SIGKILL
    (machine / "pause").unlink()
    assert pipeline.run()[0] == 0
    assert not left.exists()


def _private_directory_of(process: Process) -> Path:
    """The directory whose lock it holds."""
    files = [link.readlink() for link in Path(f"/proc/{process.child.pid}/fd").iterdir() if link.exists()]
    [held] = [file.parent for file in files if file.parent.name.startswith(private.PREFIX)]
    return held


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=4000", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """No byte is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            yield
    filler.unlink()


@contextmanager
def without_inodes(disk: Path) -> Iterator[None]:
    """No file can be made."""
    fillers = disk / "fillers"
    fillers.mkdir()
    made = 0
    try:
        while True:
            (fillers / str(made)).touch()
            made += 1
    except OSError:
        yield
    for number in range(made):
        (fillers / str(number)).unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Mounted anew, as the kernel does after an error."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@pytest.mark.parametrize("fault", [full, without_inodes, read_only])
def test_a_disk_that_takes_nothing_more_stops_a_run_before_it_changes_anything(
    pipeline: Pipeline, disk: Path, fault: Fault
) -> None:
    """Clone and state are on it. Afterwards the clone is whole, and the run goes on as if nothing had been."""
    checkout, state = disk / "checkout", disk / "state"
    git(pipeline.site.root, "clone", "--quiet", pipeline.site.url, str(checkout))
    for name, value in (("user.name", "Ana"), ("user.email", "ana@example.com")):
        git(checkout, "config", name, value)
    (pipeline.directory / "staging-checkout").symlink_to(checkout)
    pipeline.offer()
    offered = pipeline.site.head
    with fault(disk):
        done = _fairlead(checkout, state)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        assert re.search("No space left|Read-only file system|unable to", done.stderr), done.stderr
    assert pipeline.site.head == offered
    git(checkout, "fsck", "--strict")
    code, text = pipeline.run(FAIRLEAD_STATE_DIR=str(state))
    assert code == 0, text
    require(pipeline, state)


def _fairlead(checkout: Path, state: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "FAIRLEAD_STATE_DIR": str(state)}
    argv = [sys.executable, "-m", "fairlead", "run", "-e", "staging", "--repo", str(checkout)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=120)
