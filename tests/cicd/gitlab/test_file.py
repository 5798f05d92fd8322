"""What the shipped file says for three environments, as GitLab's own schema and gitlab-ci-local read it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fairlead.config.load import parse_yaml
from fairlead.scaffold.answers import Answers, ImageAnswer
from fairlead.scaffold.render import render
from tests.cicd.gitlab.server import FILE, gitlab_ci_local
from tests.fixtures.git import git

ENVIRONMENTS = ("dev", "staging", "live")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the file."""
    answers = Answers("acme", ENVIRONMENTS, (ImageAnswer.parse("app_image=registry.example.com/acme/app:1.0.0"),))
    place = tmp_path_factory.mktemp("checkout")
    (place / FILE).parent.mkdir(parents=True)
    (place / FILE).write_bytes(render(answers)[FILE])
    git(place, "init", "--quiet")
    return place


def jobs(checkout: Path, source: str, environment: str = "dev") -> dict[str, Any]:
    """The jobs of a pipeline with this source, by name."""
    variables = {"CI_PIPELINE_SOURCE": source, "ENVIRONMENT": environment, "CI_COMMIT_BRANCH": "main"}
    variables |= {"CI_DEFAULT_BRANCH": "main"}
    words = [str(gitlab_ci_local()), f"--file={FILE}", f"--home={checkout.parent}", "--list-json"]
    words += [f"--variable={name}={value}" for name, value in variables.items()]
    done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {job["name"]: job for job in json.loads(done.stdout) if job["when"] != "never"}


@pytest.mark.parametrize("source", ["schedule", "push"])
def test_a_pipeline_looks_at_the_first_and_lets_a_person_start_the_others(checkout: Path, source: str) -> None:
    found = jobs(checkout, source)
    assert {name: job["when"] for name, job in found.items()} == {
        "look-dev": "on_success",
        "release-dev": "on_success",
        "release-staging": "manual",
        "release-live": "manual",
    }


@pytest.mark.parametrize("environment", ["dev", "live"])
def test_a_child_pipeline_has_the_stages_of_its_environment(checkout: Path, environment: str) -> None:
    found = jobs(checkout, "parent_pipeline", environment)
    assert set(found) == {"bump", "infrastructure", "deploy", f"verify-{environment}"}


def test_the_file_is_the_same_whoever_deploys(checkout: Path) -> None:
    """It binds no secret: those are the project's variables, scoped to an environment, and Fairlead passes none on."""
    text = (checkout / FILE).read_text()
    assert not [name for name in ("SEMAPHORE", "APPLICATION", "TF_VAR", "PG_CONN_STR") if name in text]


def test_every_release_is_locked_and_has_a_page(checkout: Path) -> None:
    file = parse_yaml((checkout / FILE).read_bytes(), FILE).data
    for name, tier in zip(ENVIRONMENTS, ("development", "staging", "production"), strict=True):
        release = file[f"release-{name}"]
        assert (release["resource_group"], release["trigger"]["strategy"]) == (name, "depend")
        page = {"name": name, "url": "http://$VM_IP/", "deployment_tier": tier}
        assert file[f"verify-{name}"]["environment"] == page
    assert file["variables"]["GIT_DEPTH"] == "0"
