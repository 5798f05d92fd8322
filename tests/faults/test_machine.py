"""What happens to a machine in the middle of a deploy: the next one finishes it, and what serves goes on serving."""

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from fairlead.lab.demo import pushed_digest
from fairlead.lab.progress import wait_until
from fairlead.lab.registry import push_address
from fairlead.pipeline.doctor.machine import QUESTION, clock, parse
from tests.scaffold.ansible.conftest import OnMachine, Play
from tests.scaffold.ansible.test_on_machine import KEEP, load

pytestmark = pytest.mark.lab
MODULE = "library/fairlead_compose.py"
DIE = "os.kill(os.getpid(), 9)"
# The steps of a rollout behind which a kill would cost the most, as lines of the module.
BETWEEN = {
    "the new container is started": "            self._start(batch)\n",
    "it is healthy": "            self._wait(names)\n",
    "the gateway knows it": "            self._announce(names)\n",
}
HOLD = "/run/held-by-a-test"
WAIT = f"while os.path.exists({HOLD!r}): time.sleep(0.05)"
PUT = """\
import pathlib, sys
path = pathlib.Path(sys.argv[1])
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(sys.argv[2])
path.chmod(0o755)
"""
TURNED = """\
import time

def late(seconds=None, real=time.gmtime, now=time.time):
    return real(now() + {off} if seconds is None else seconds)

time.gmtime = late
time.time = lambda now=time.time: now() + {off}
"""
LONGEST = 120.0  # seconds for a machine to do what is waited for


def test_killed_between_any_two_steps_no_request_fails_and_the_next_run_finishes(serving: OnMachine) -> None:
    whole = (serving.checkout.ansible / MODULE).read_text()
    versions = ["1.1.0", "1.0.0"]
    for number, (where, line) in enumerate(BETWEEN.items()):
        version = versions[number % 2]
        serving.release(version)
        with load(serving.machine.address) as requests:
            _insert(serving, line, DIE)
            killed = serving.deploy()
            (serving.checkout.ansible / MODULE).write_text(whole)
            finished = serving.deploy()
        assert (killed.status, "outcome" in killed.module) == (2, False), f"{where}: {killed.output}"
        assert finished.status == 0, f"{where}: {finished.output}"
        assert (requests.failures, requests.ask("GET", "/api/version")["version"]) == ([], version), where
        assert len(serving.containers("backend")) == 1
        assert serving.inspect().outcome == "match", where
        assert _left(serving) == "", where
    assert serving.deploy().actions == KEEP


def _left(serving: OnMachine) -> str:
    """Files with a release's secrets besides the two that shall be there."""
    return serving.ssh(
        "sudo find /root /home /tmp /opt /var/lib/fairlead -name .env | grep -vE '^/opt/[^/]+/.env|/serving/' || true"
    )


def _insert(serving: OnMachine, line: str, what: str) -> None:
    """Put a line of Python behind this line of the module."""
    indent = line[: len(line) - len(line.lstrip())]
    serving.checkout.edit(MODULE, line, f"{line}{indent}{what}\n")


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
    serving.checkout.edit(MODULE, "timeout: float = 3", "timeout: float = 30")
    healed = serving.deploy()
    assert (healed.status, healed.outcome) == (0, "deployed"), healed.output
    assert serving.inspect().outcome == "match"


def test_a_disk_that_fills_up_during_the_pull_stops_nothing(serving: OnMachine) -> None:
    """The engine puts downloads into a directory of its own, which gets a file system that holds no file."""
    before = serving.containers("backend")
    others = {f"{name}_image": serving.images.pin(name, tag) for name, tag in (("db", "17"), ("gateway", "1"))}
    serving.checkout.pin(app_image=_image_with_a_new_layer(serving), **others)
    serving.ssh("sudo mount -t tmpfs -o nr_inodes=1 tmpfs /var/lib/docker/tmp")
    try:
        with load(serving.machine.address) as requests:
            full = serving.deploy()
    finally:
        serving.ssh("sudo umount /var/lib/docker/tmp")
    assert (full.outcome, full.module.get("fault", {}).get("code")) == ("site_fault", "disk-full"), full.output
    assert (serving.containers("backend"), requests.failures) == (before, [])
    assert (serving.deploy().status, serving.inspect().outcome) == (0, "match")


def _image_with_a_new_layer(serving: OnMachine) -> str:
    """A backend that has to be downloaded: the demo's versions differ in their configuration only."""
    lab = serving.images.lab
    old = serving.images.pin("backend", "1.1.0")
    here = f"{push_address(lab.docker, lab.name)}/{old.partition('/')[2].partition(':')[0]}"
    dockerfile = f"FROM {here}:1.1.0\nRUN head -c 2000000 /dev/urandom > /tmp/new\n"
    words = ["docker", "build", "--quiet", "--tag", f"{here}:1.1.1", "-"]
    subprocess.run(words, input=dockerfile, text=True, check=True, capture_output=True)
    digest = pushed_digest(_docker("push", f"{here}:1.1.1"))
    _docker("rmi", f"{here}:1.1.1")
    return f"{old.partition(':1.1.0')[0]}:1.1.1@{digest}"


def test_a_session_that_is_cut_in_the_middle_is_finished_by_the_next_run(serving: OnMachine) -> None:
    """The module goes on alone, under the machine's lock; the next run waits for it."""
    serving.release("1.1.0")
    with load(serving.machine.address) as requests:
        with _held_in_the_middle(serving) as cut:
            for process in _on(serving, "pgrep", "-f", "sshd(-session)?: deploy").split():
                _on(serving, "kill", "-KILL", process, check=False)
            assert cut.result().status != 0
        finished = serving.deploy()
    assert (finished.status, requests.failures) == (0, []), finished.output
    assert (_backends(serving), serving.inspect().outcome) == (1, "match")


def test_a_machine_that_is_rebooted_in_the_middle_is_finished_by_the_next_run(serving: OnMachine) -> None:
    serving.release("1.1.0")
    with _held_in_the_middle(serving) as lost:
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
def _held_in_the_middle(serving: OnMachine) -> Iterator[Future[Play]]:
    """A deploy whose module waits, while the block runs, with the new container started beside the old one."""
    whole = (serving.checkout.ansible / MODULE).read_text()
    _on(serving, "touch", HOLD)
    _insert(serving, "            self._start(batch)\n", WAIT)
    with ThreadPoolExecutor(1) as pool:
        deploying = pool.submit(serving.deploy)
        try:
            _wait(lambda: _backends(serving) == 2)
            yield deploying
        finally:
            _on(serving, "rm", "-f", HOLD)
            (serving.checkout.ansible / MODULE).write_text(whole)


def test_a_machine_whose_clock_is_an_hour_off_is_deployed_to_as_ever(serving: OnMachine) -> None:
    """What asks for the time there, `date` and Python, is told another; doctor says so, the module does not mind.

    The engine's own clock is the kernel's, which no container has for itself: time namespaces have none for the time
    of day (time_namespaces(7)).
    """
    serving.release("1.1.0")
    with load(serving.machine.address) as requests:
        for off, outcome in ((3600, "deployed"), (-3600, "unchanged")):
            with _clock_off(serving, off):
                apart, took = _apart(serving)
                assert 3600 - took - 1 <= int(apart.split()[0]) <= 3600, apart
                changed = serving.deploy()
                assert (changed.status, changed.outcome) == (0, outcome), changed.output
                assert serving.inspect().outcome == "match"
    assert requests.failures == []
    assert _apart(serving)[0] == "is this computer's"


@contextmanager
def _clock_off(serving: OnMachine, off: int) -> Iterator[None]:
    """While the block runs, `date` and Python's clock on the machine are so many seconds off."""
    find = "import sysconfig; print(sysconfig.get_path('purelib'))"
    modules = _on(serving, "python3", "-c", find).strip()
    files = {
        "/usr/local/bin/date": f"#!/bin/sh\nexec /bin/date --date '{off:+d} seconds' \"$@\"\n",
        f"{modules}/hour.pth": "import hour\n",
        f"{modules}/hour.py": TURNED.format(off=off),
    }
    try:
        for name, content in files.items():
            _on(serving, "python3", "-c", PUT, name, content)
        yield
    finally:
        _on(serving, "rm", "-f", *files)


def _apart(serving: OnMachine) -> tuple[str, float]:
    """What doctor says of the machine's clock, and how long it took to ask, by which that may be less."""
    began = time.time()
    values = parse(serving.ssh(QUESTION))
    ended = time.time()
    return clock(values["clock"], began, ended).detail, ended - began


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
