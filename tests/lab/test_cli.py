"""`fairlead lab` as a person or a script calls it: the real command, in a process of its own."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead import process
from fairlead.lab.site import Lab, Site

pytestmark = pytest.mark.lab

NAME = f"cli-{os.getpid()}"
Call = Callable[..., process.Completed]


@pytest.fixture
def fairlead(tmp_path: Path, lab_site: Site) -> Iterator[Call]:
    """Call `fairlead lab` with a state directory of its own. (The session's lab is up, so the images are there.)"""

    def call(*words: str, expect: int = 0) -> process.Completed:
        argv = [sys.executable, "-m", "fairlead", "lab", *words, "--name", NAME]
        return process.run(argv, environment={"FAIRLEAD_STATE_DIR": str(tmp_path)}, timeout=300, expect=[expect])

    yield call
    Lab(NAME, tmp_path).down()


def document(done: process.Completed) -> dict[str, Any]:
    """The one JSON document on stdout."""
    return dict(json.loads(done.stdout))


def test_up_push_status_down(fairlead: Call, tmp_path: Path) -> None:
    up = document(fairlead("up", "--environments", "staging", "--json"))
    assert Path(up["machines"]["staging"]["ssh_key"]).is_relative_to(tmp_path)
    assert "PRIVATE" not in json.dumps(up)

    pushed = fairlead("push", "gateway", "1.2.3")
    assert pushed.stdout.startswith(f"{up['registry']}/shop/gateway:1.2.3@sha256:")

    status = fairlead("status", "--json")
    assert document(status)["healthy"] is True
    assert "staging" in status.stderr

    removed = fairlead("down", "--json")
    assert sorted(document(removed)["removed"]) == ["container", "network", "volume"]
    assert fairlead("down").stderr == f"✔ There is nothing of the lab '{NAME}' to remove\n"


def test_a_lab_that_is_not_there_is_an_error_with_a_remedy(fairlead: Call) -> None:
    done = fairlead("status", "--json", expect=2)
    assert document(done)["error"]["code"] == "FL-LAB-MISSING"
    assert document(done)["error"]["remedy"] == f"fairlead lab up --name {NAME}"


def test_a_subnet_in_use_is_an_error_with_a_free_one(fairlead: Call, lab_site: Site) -> None:
    done = fairlead("up", "--subnet", lab_site.subnet, expect=2)
    assert f"✗ The subnet {lab_site.subnet} is in use" in done.stderr
    assert f"→ fairlead lab up --name {NAME} --subnet 10." in done.stderr
