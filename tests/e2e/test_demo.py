"""`make demo SMALL=1` as a stranger meets it, also one whose machine loses power in the middle."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.lab.site import Lab, Site
from tools import docs
from tools.house import ROOT

pytestmark = pytest.mark.lab

NAME = f"demo-{os.getpid()}"


@pytest.fixture
def state(tmp_path: Path, lab_site: Site) -> Iterator[Path]:
    """A state directory for a demo of this test's own. (The session's lab is up, so the images are there.)"""
    yield tmp_path
    Lab(NAME, tmp_path).down()


def start(state: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "demo", "--small", "--lab", NAME],
        cwd=ROOT,
        env={**os.environ, "FAIRLEAD_STATE_DIR": str(state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def killed_when(state: Path, chapter: str, line: str) -> str:
    """What a demo shows that is killed (-9) at a line of a chapter; its command lives on, as after any such kill."""
    shown = ""
    with start(state) as demo:
        for told in demo.stdout or ():
            shown += told
            if chapter in shown and told.rstrip().endswith(line):
                demo.send_signal(signal.SIGKILL)
                break
    assert demo.returncode == -signal.SIGKILL, shown
    return shown


def test_killed_in_the_middle_it_goes_on_and_shows_what_the_documentation_shows(state: Path) -> None:
    first = killed_when(state, "1.1.0 is pushed", " deploy")
    with start(state) as demo:
        second, _ = demo.communicate()
    assert demo.returncode == 0, second
    assert "1.0.0 goes to staging" not in second
    assert "; 0 failed\n" in second
    assert "the release of" in second.partition("1.2.0 is broken")[2]
    told = [docs.as_a_person_sees(session, NAME, state) for session in (first, second)]
    assert docs.outline(told) == docs.outline([docs.session_of(docs.DEMO)]), "run: make docs DEMO=1"
