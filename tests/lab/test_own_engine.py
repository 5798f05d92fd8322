"""An engine of our own beside the one that everybody uses: another socket, other directories, another bridge.

Not `--bridge none`: with it dockerd deletes docker0, which is the other engine's (tried, to everybody's surprise).
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead import process
from fairlead.errors import EngineUnreachable
from fairlead.lab import engine
from fairlead.lab.engine import Docker, OwnEngine
from fairlead.lab.progress import Progress

pytestmark = pytest.mark.lab


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name: the path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="fl") as directory:
        yield Path(directory)


@pytest.fixture
def bridge() -> Iterator[str]:
    """A bridge of its own, with an address from the range for documentation (RFC 5737)."""
    name = f"fl{os.getpid()}"
    process.run(["ip", "link", "add", "name", name, "type", "bridge"])
    process.run(["ip", "address", "add", "198.51.100.1/24", "dev", name])
    yield name
    process.run(["ip", "link", "delete", name])


@pytest.fixture
def own(place: Path, bridge: str) -> Iterator[tuple[OwnEngine, Docker]]:
    host = f"unix://{place}/docker.sock"
    options = (
        "--host", host, "--data-root", str(place / "data"), "--exec-root", str(place / "exec"),
        "--pidfile", str(place / "own.pid"), "--bridge", bridge, "--iptables=false", "--ip-masq=false",
    )  # fmt: skip
    found = OwnEngine(place / "engine", options=options)
    yield found, Docker(host)
    with contextlib.suppress(Exception):
        found.stop()


def test_an_engine_that_was_started_here_is_stopped_and_no_other(own: tuple[OwnEngine, Docker]) -> None:
    own_engine, docker = own
    assert not docker.answers()
    assert not own_engine.stop()
    own_engine.start(docker)
    assert docker.answers()
    own_engine.start(docker)
    assert engine.stop(own_engine)
    assert not docker.answers()
    assert Docker().answers()
    assert Path("/sys/class/net/docker0").exists()


def test_without_an_engine_and_without_leave_it_says_what_to_do(own: tuple[OwnEngine, Docker]) -> None:
    own_engine, docker = own
    with pytest.raises(EngineUnreachable) as raised:
        engine.ensure(docker, own_engine, Progress(), may_install=False)
    assert "systemctl start docker" in raised.value.remedy


def test_an_engine_that_does_not_come_up_shows_its_log(tmp_path: Path, own: tuple[OwnEngine, Docker]) -> None:
    for patience in (1, 10, 100):  # on a slow machine it may have said nothing yet
        broken = OwnEngine(tmp_path / "broken", options=("--no-such-option",), patience=patience)
        with pytest.raises(EngineUnreachable, match="does not answer") as raised:
            broken.start(own[1])
        if raised.value.why:
            break
    assert "no-such-option" in raised.value.why
