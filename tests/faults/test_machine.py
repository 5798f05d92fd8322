"""What happens to a machine in the middle of a deploy: the next one finishes it, and what serves goes on serving."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from fairlead.lab.progress import wait_until
from tests.scaffold.ansible.conftest import OnMachine, Play
from tests.scaffold.ansible.test_on_machine import KEEP, load

pytestmark = pytest.mark.lab
MODULE = "library/fairlead_compose.py"
DIE = "os.kill(os.getpid(), 9)"
# Between any two steps of a rollout: a line of the module, behind which it dies.
BETWEEN = {
    "the new files are written": "                self.options.files.write(self.options.directory)\n",
    "the new container is started": "            self._start(batch)\n",
    "it is healthy": "            self._wait(names)\n",
    "the gateway knows it": "            self._announce(names)\n",
    "the old one is gone": '            self._retire("retire", [container for step in batch if step.beside '
    "for container in step.old])\n",
}
LONGEST = 120.0  # seconds for a machine to do what is waited for


def test_killed_between_any_two_steps_no_request_fails_and_the_next_run_finishes(serving: OnMachine) -> None:
    whole = (serving.checkout.ansible / MODULE).read_text()
    versions = ["1.1.0", "1.0.0"]
    for number, (where, line) in enumerate(BETWEEN.items()):
        version = versions[number % 2]
        serving.release(version)
        with load(serving.machine.address) as requests:
            _die_behind(serving, whole, line)
            killed = serving.deploy()
            (serving.checkout.ansible / MODULE).write_text(whole)
            finished = serving.deploy()
        assert (killed.status, "outcome" in killed.module) == (2, False), f"{where}: {killed.output}"
        assert finished.status == 0, f"{where}: {finished.output}"
        assert (requests.failures, requests.ask("GET", "/api/version")["version"]) == ([], version), where
        assert len(serving.containers("backend")) == 1
        assert serving.inspect().outcome == "match", where
    assert serving.deploy().actions == KEEP


def _die_behind(serving: OnMachine, whole: str, line: str) -> None:
    assert whole.count(line) == 1, line
    indent = line[: len(line) - len(line.lstrip())]
    (serving.checkout.ansible / MODULE).write_text(whole.replace(line, f"{line}{indent}{DIE}\n"))


def test_an_engine_that_is_stopped_or_hangs_is_the_sites_fault_and_heals(serving: OnMachine) -> None:
    serving.release("1.1.0")
    serving.checkout.edit(MODULE, "timeout: float = 30", "timeout: float = 3")
    engine = serving.ssh("cat /run/docker.pid").strip()
    serving.ssh(f"sudo kill -STOP {engine}")
    hung = serving.deploy()
    serving.ssh(f"sudo kill -CONT {engine}")
    assert (hung.outcome, hung.module["fault"]["code"]) == ("site_fault", "engine"), hung.output
    serving.ssh("sudo systemctl stop docker.socket docker.service")
    stopped = serving.deploy()
    serving.ssh("sudo systemctl start docker.socket docker.service")
    assert (stopped.outcome, stopped.module["fault"]["code"]) == ("site_fault", "engine"), stopped.output
    healed = serving.deploy()
    assert (healed.status, healed.outcome) == (0, "deployed"), healed.output
    assert serving.inspect().outcome == "match"


def test_a_disk_that_fills_up_during_the_pull_stops_nothing(serving: OnMachine) -> None:
    """The engine unpacks downloads in a directory of its own, which gets a file system that is too small for them."""
    before = serving.containers("backend")
    serving.release("1.6.0")
    serving.ssh("sudo mkdir -p /var/lib/docker/tmp && sudo mount -t tmpfs -o size=16k tmpfs /var/lib/docker/tmp")
    try:
        with load(serving.machine.address) as requests:
            full = serving.deploy()
    finally:
        serving.ssh("sudo umount /var/lib/docker/tmp")
    assert (full.outcome, full.module["fault"]["code"]) == ("site_fault", "disk-full"), full.output
    assert (serving.containers("backend"), requests.failures) == (before, [])
    assert (serving.deploy().status, serving.inspect().outcome) == (0, "match")


def test_a_session_that_is_cut_in_the_middle_is_finished_by_the_next_run(serving: OnMachine) -> None:
    serving.release("1.1.0")
    with load(serving.machine.address) as requests:
        with _deploying(serving) as cut:
            _wait(lambda: _backends(serving) == 2)
            for process in _on(serving, "pgrep", "-f", "sshd: deploy|sshd-session: deploy").split():
                _on(serving, "kill", "-KILL", process, check=False)
        finished = serving.deploy()
    assert cut.result().status != 0
    assert (finished.status, requests.failures) == (0, []), finished.output
    assert (_backends(serving), serving.inspect().outcome) == (1, "match")


def test_a_machine_that_is_rebooted_in_the_middle_is_finished_by_the_next_run(serving: OnMachine) -> None:
    serving.release("1.1.0")
    with _deploying(serving) as lost:
        _wait(lambda: _backends(serving) == 2)
        _docker("restart", "--time", "1", serving.machine.container)
    assert lost.result().status != 0
    _wait(lambda: _on(serving, "docker", "ps", "-q", check=False) != "")
    finished = serving.deploy()
    assert finished.status == 0, finished.output
    assert (_backends(serving), serving.inspect().outcome) == (1, "match")


def test_what_somebody_did_by_hand_is_seen_and_taken_back(serving: OnMachine) -> None:
    old = serving.images.pin("backend", "1.1.0")
    _on(serving, "sed", "-i", f"s#image: .*shop/backend.*#image: {old}#", "/opt/shop/docker-compose.yml")
    compose = ("docker", "compose", "--project-directory", "/opt/shop")
    _on(serving, *compose, "up", "--detach", "backend")
    _on(serving, *compose, "stop", "gateway")
    differs = serving.inspect()
    assert (differs.outcome, [line.split()[0] for line in differs.module["differences"]]) == (
        "differs",
        ["backend", "gateway"],
    )
    assert (serving.deploy().status, serving.inspect().outcome) == (0, "match")


@contextmanager
def _deploying(serving: OnMachine) -> Iterator[Future[Play]]:
    """A deploy that runs while the block does."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(serving.deploy)


def _backends(serving: OnMachine) -> int:
    label = "label=com.docker.compose.service=backend"
    return len(_on(serving, "docker", "ps", "-q", "--filter", label, check=False).split())


def _wait(condition: Callable[[], bool]) -> None:
    assert wait_until(condition, within=LONGEST, every=0.05)


def _on(serving: OnMachine, *words: str, check: bool = True) -> str:
    """What a program on the machine prints, as root, without ssh."""
    return _docker("exec", serving.machine.container, *words, check=check)


def _docker(*words: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"{words}: {done.stderr}"
    return done.stdout
