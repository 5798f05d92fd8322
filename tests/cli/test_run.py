"""`fairlead run` and `fairlead status` as a person and a program call them."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.pipeline.runner import Pipeline, make_pipeline


@pytest.fixture
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """There is nothing to do."""
    return make_pipeline(tmp_path_factory.mktemp("pipeline"))


def fairlead(pipeline: Pipeline, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FAIRLEAD_STATE_DIR": str(pipeline.state), **variables}
    argv = [sys.executable, "-m", "fairlead", *words, "--repo", str(pipeline.site.person)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_nothing_to_do_is_said_and_is_exit_0(pipeline: Pipeline) -> None:
    done = fairlead(pipeline, "run", "-e", "staging", "--json")
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (0, "none")
    assert done.stderr.startswith("✔ staging: nothing to do at ")


def test_a_run_that_was_stopped_tells_its_stages_and_why(pipeline: Pipeline) -> None:
    pipeline.offer()
    done = fairlead(pipeline, "run", "-e", "staging", "--json", VM_IP="192.0.2.10")
    assert done.returncode == 2, done.stderr
    assert json.loads(done.stdout)["exit_code"] == 2
    assert re.search(r"bump \d+\.\d s", done.stderr)
    assert "There is no inventory deployment/ansible/inventory/staging" in done.stderr
    assert pipeline.releases() == ["build(staging): backend 1.0.0 → 1.1.0"]


def test_killed_and_run_again_it_says_what_was_done(pipeline: Pipeline) -> None:
    pipeline.offer()
    assert fairlead(pipeline, "run", "-e", "staging", FAIRLEAD_CRASH_AT="bump:after").returncode == -9
    told = fairlead(pipeline, "status").stderr
    assert "its process is gone" in told
    assert "≠" in told
    done = fairlead(pipeline, "run", "-e", "staging", VM_IP="192.0.2.10")
    assert "staging: resumed: bump was done at " in done.stderr


def test_status_as_a_document(pipeline: Pipeline) -> None:
    done = fairlead(pipeline, "status", "--json")
    document = json.loads(done.stdout)
    assert [one["environment"] for one in document["environments"]] == ["source", "staging", "production"]
    assert document["differing"] == []
    assert "nothing is proven" not in done.stderr
    assert len(json.loads(fairlead(pipeline, "status", "-e", "staging", "--json").stdout)["environments"]) == 1


def test_an_unknown_environment_is_refused(pipeline: Pipeline) -> None:
    done = fairlead(pipeline, "run", "-e", "stagin")
    assert done.returncode == 2
    assert "There is no environment 'stagin'" in done.stderr
