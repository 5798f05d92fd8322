"""`fairlead lab up --semaphore`, and a release that goes the whole way through it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.deployment_repo.proofs import Proofs
from fairlead.lab import semaphore
from fairlead.lab.semaphore import Semaphore, SemaphorePlan
from fairlead.lab.site import Lab, Site
from fairlead.lab.status import status_of
from fairlead.pipeline.scope import Scope
from tests.deploy.test_machine import small_application
from tests.fixtures.git import Site as Repository
from tests.fixtures.git import make_site
from tests.fixtures.lab import remove_application

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def deployer(lab_site: Site, session_lab: Lab) -> Iterator[Semaphore]:
    """The shared lab with a Semaphore, for a while."""
    made = session_lab.up(with_semaphore=True).semaphore
    assert made
    yield made
    assert semaphore.end(session_lab.directory)
    for path in sorted(semaphore.place_in(session_lab.directory).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    semaphore.place_in(session_lab.directory).rmdir()


@pytest.fixture
def application(tmp_path: Path, lab_site: Site, session_lab: Lab, deployer: Semaphore) -> Iterator[Scope]:
    """The demo's small application, in a repository that says nothing of Semaphore."""
    repository: Repository = make_site(tmp_path)
    made = small_application(repository, lab_site, session_lab)
    yield made
    remove_application(session_lab, lab_site, made.configuration.app)


def test_its_command_line_holds_places_and_no_secret(tmp_path: Path, lab_site: Site, session_lab: Lab) -> None:
    network = session_lab.existing.network()
    assert network
    plan = SemaphorePlan(tmp_path, network)
    assert plan.start_argv()[-6:] == [
        "fairlead.lab.semaphore_api",
        str(tmp_path / "semaphore"),
        "--address",
        str(network[1]),
        "--port",
        "3000",
    ]


def test_it_is_a_part_of_the_lab_and_is_started_again(deployer: Semaphore, session_lab: Lab) -> None:
    assert session_lab.site().semaphore == deployer
    assert deployer.token_file.stat().st_mode & 0o777 == 0o600
    token = deployer.token_file.read_text()
    assert (session_lab.site().secrets / "control" / "semaphore_token").read_text() == token
    assert token not in json.dumps(session_lab.site().as_document())
    assert semaphore.end(session_lab.directory)
    [part] = [part for part in status_of(session_lab).infrastructure if part.name == "semaphore"]
    assert (part.state, part.healthy) == ("exited", False)
    assert session_lab.up().semaphore == deployer
    [part] = [part for part in status_of(session_lab).infrastructure if part.name == "semaphore"]
    assert (part.state, part.healthy) == ("running", True)
    assert deployer.token_file.read_text() == token


def test_a_release_is_deployed_and_proven_by_semaphore(
    application: Scope, lab_site: Site, deployer: Semaphore, tmp_path: Path
) -> None:
    def fairlead(*words: str, expected: int = 0) -> dict[str, Any]:
        """A command with --json, as an orchestrator calls it: it has no application secret but for the setup."""
        variables = {
            "SEMAPHORE_URL": deployer.url,
            "SEMAPHORE_TOKEN": deployer.token_file.read_text(),
            "FAIRLEAD_STATE_DIR": str(tmp_path / "state"),
            "FAIRLEAD_DEPLOY_WITH": "semaphore",
        }
        if words[0] == "semaphore":
            variables["FAIRLEAD_SECRETS_DIR"] = str(lab_site.secrets)
        place = str(application.repository.git.directory)
        argv = [sys.executable, "-m", "fairlead", *words, "--repo", place, "-e", "staging", "--json"]
        done = subprocess.run(argv, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
        assert (done.returncode, bool(done.stdout)) == (expected, True), done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    planned = fairlead("semaphore", "setup", "--dry-run")
    assert {change["action"] for change in planned["changes"]} == {"create"}
    assert "has no project" in str(fairlead("deploy", expected=1))
    assert [one["name"] for one in fairlead("semaphore", "setup")["changes"]] == [
        one["name"] for one in planned["changes"]
    ]
    facts = {fact["fact"]: fact for fact in fairlead("doctor", expected=1)["facts"] if "emaphore" in str(fact)}
    assert [name for name, fact in facts.items() if not fact["ok"]] == []
    assert "CVE-2026-73294" in facts["Semaphore's version"]["remedy"]
    deployed = fairlead("deploy", "--run", "build-7")
    assert (deployed["outcome"], len(deployed["changes"])) == ("deployed", 3)
    proof = fairlead("verify", "--run", "build-7")["proof"]
    application.repository.fetch()
    assert [kept.run for kept in Proofs(application.repository).read(proof["commit"])] == ["build-7"]
    assert fairlead("deploy", "--run", "build-8")["outcome"] == "unchanged"
