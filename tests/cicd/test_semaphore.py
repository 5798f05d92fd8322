"""Semaphore deploys: by `fairlead run`, and under the Jenkinsfile as it is. Nothing but fairlead.yaml says so."""

from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.config.secrets import Secret
from fairlead.deploy.semaphore.api import Server
from fairlead.lab.semaphore import Semaphore
from tests.cicd.jenkins.server import UNUSED, classpath, server_for
from tests.cicd.recorder import Recorder
from tests.cicd.test_substitutes import CACHE
from tests.e2e.operator import Operator
from tests.fixtures.git import git

pytestmark = pytest.mark.lab
BY_SEMAPHORE = {layout.CONFIGURATION: (("deploy: {with: ansible,", "deploy: {with: semaphore,"),)}
STAGES = {"bump", "provision", "deploy", "verify"}


@pytest.fixture
def semaphore(shop: Operator) -> Semaphore:
    """The lab's, which knows no project yet; fairlead.yaml says that it deploys."""
    made = shop.lab.up(with_semaphore=True).semaphore
    assert made
    shop.commit("Let Semaphore deploy", BY_SEMAPHORE)
    return made


def deploys(semaphore: Semaphore) -> list[str]:
    """The runs whose deploys were asked of Semaphore, oldest first; all went well."""
    server = Server(semaphore.url, Secret(semaphore.token_file.read_text()))
    [project] = [one["id"] for one in server.listed("/projects") if one["name"] == "shop"]
    found = server.listed(f"/project/{project}/tasks/last")
    assert {task["status"] for task in found} == {"success"}
    told = [task["message"].removeprefix("fairlead ") for task in reversed(found)]
    assert any(message.startswith("inspects staging ") for message in told)
    return [message.partition(" ")[0] for message in told if " deploys staging " in message]


def require_given_to_the_release_alone(recorder: Recorder, token: str) -> None:
    """The variable is there in the stage that deploys and verifies, and no program of Fairlead's gets it."""
    commands = [(STAGES & set(one.words), token in one.variables) for one in recorder.started if one.name != "sh"]
    assert {stage for stages, _ in commands for stage in stages} >= STAGES
    assert {stage for stages, held in commands if held for stage in stages} == {"deploy", "verify"}
    assert recorder.holders(token) <= {"sh", "mkdir", "rm", "fairlead", "python", "python3"}


def test_a_run_and_a_build_of_the_file_as_it_is(shop: Operator, semaphore: Semaphore, tmp_path: Path) -> None:
    """From the setup to two releases and their proofs; the build has neither the machine's key nor a secret."""
    url = semaphore.url
    planned = shop.fairlead("semaphore", "setup", "-e", "staging", "--dry-run", "--json", SEMAPHORE_URL=url).document
    assert {change["action"] for change in planned["changes"]} == {"create"}
    made = shop.fairlead("semaphore", "setup", "-e", "staging", "--json", SEMAPHORE_URL=url).document
    assert [one["name"] for one in made["changes"]] == [one["name"] for one in planned["changes"]]
    first = shop.push()
    said = shop.fairlead("run", "-e", "staging", "--json", SEMAPHORE_URL=url)
    assert (said.code, shop.version()) == (0, first.tag), said.text
    by_run = said.document["run"]
    assert deploys(semaphore) == [by_run]

    second = shop.push()
    server = server_for(shop, classpath(CACHE), tmp_path / "jenkins", semaphore=semaphore)
    theirs = ("deploy-ssh-key", *(name.replace("_", "-") for name in shop.secrets))
    unused = {name: {**server.credentials[name], "value": UNUSED} for name in theirs}
    jenkins = replace(server, credentials={**server.credentials, **unused})
    recorder = Recorder(tmp_path / "recorder", jenkins.agent["PATH"])
    build = jenkins.build(recorder=recorder)
    assert (build.result, shop.version()) == ("SUCCESS", second.tag), build
    proof = shop.proof()
    assert proof is not None
    assert (proof.commit, proof.digests["app_image"]) == (git(shop.remote, "rev-parse", "main"), second.digest)
    assert deploys(semaphore) == [by_run, proof.run]
    token = semaphore.token_file.read_text()
    assert token not in build.log
    require_given_to_the_release_alone(recorder, token)
