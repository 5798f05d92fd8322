"""The shipped Jenkinsfile, played whole: real git, a real registry, a machine, the deployer, Jenkins' habits."""

import json
import os
from pathlib import Path

import pytest

from tests.cicd.jenkins.server import Jenkins, server_for
from tests.cicd.recorder import Recorder
from tests.e2e.operator import Operator

pytestmark = pytest.mark.lab
STAGES = ("Detect", "Infrastructure", "Release", "Deploy", "Verify", "Roll back")
TEMPLATE = "deployment/ansible/templates/docker-compose.yml.j2"


@pytest.fixture
def jenkins(shop: Operator, harness: str, tmp_path: Path) -> Jenkins:
    """A pipeline for the operator's repository; its credentials are a person's doing, its file is as init wrote it."""
    return server_for(shop, harness, tmp_path / "jenkins")


def statuses(*pairs: str) -> dict[str, str]:
    """Stages in their order, S(UCCESS), F(AILURE), A(BORTED) or - for one that was left out."""
    words = {"S": "SUCCESS", "F": "FAILURE", "A": "ABORTED", "-": "SKIPPED"}
    return {stage: words[letter] for stage, letter in zip(STAGES, pairs, strict=False)}


def test_a_new_image_is_released_once_and_proven(shop: Operator, jenkins: Jenkins) -> None:
    nothing = jenkins.build()
    assert (nothing.result, nothing.description) == ("SUCCESS", "nothing new"), nothing
    assert nothing.stages == statuses("S", "-", "-")
    before = shop.head
    pushed = shop.push()
    recorder = Recorder(shop.root / "recorder", jenkins.agent["PATH"])
    build = jenkins.build(recorder=recorder)
    assert build.result == "SUCCESS", build
    assert build.stages == statuses(*"SSSSS-")
    assert build.description == f"{shop.head[:7]} {shop.since(before)[0]}"
    assert (len(shop.since(before)), shop.version()) == (1, pushed.tag)
    proof = json.loads(build.archived["result/proof.json"])["proof"]
    assert (proof["commit"], proof["run"].startswith("jenkins-2-")) == (shop.head, True)
    assert set(proof["checks"]) == set(build.tests)
    assert all(build.tests.values())
    its_own_push = jenkins.build()  # what a webhook for the bump's own commit starts
    assert (its_own_push.description, shop.since(before)) == ("nothing new", shop.since(before)[:1]), its_own_push
    assert_classes_of_secrets(shop, jenkins, recorder)
    assert shop.core not in build.log


def assert_classes_of_secrets(shop: Operator, jenkins: Jenkins, recorder: Recorder) -> None:
    """Beside the shell that Jenkins starts and Fairlead itself, which both have what Jenkins gave to the stage."""
    own = {"sh", "fairlead", "test", "mkdir", "rm", "python", "python3"}
    seen = {one.name for one in recorder.started}
    assert {"git", "ssh", "ansible"} <= seen, seen
    values = {name: credential["value"] for name, credential in jenkins.credentials.items()}
    held = {name: recorder.holders(value) - own for name, value in values.items()}
    assert not any(held.values()), held


def test_a_release_that_fails_its_checks_is_taken_back_and_quarantined(shop: Operator, jenkins: Jenkins) -> None:
    good = shop.version()
    failed = shop.push("wrong-version")
    build = jenkins.build()
    assert (build.result, build.stages) == ("FAILURE", statuses("S", "S", "S", "S", "F", "S")), build
    assert build.description
    assert build.description.startswith("FAILED: ")
    assert build.description.endswith(": rolled back")
    assert not all(build.tests.values())
    assert build.archived == {}
    assert (shop.version(), str(failed) in shop.quarantine()) == (good, True)
    proof = shop.proof()
    assert proof is not None
    assert proof.commit == shop.head
    again = jenkins.build()
    assert (again.result, again.description) == ("SUCCESS", "nothing new"), again


def test_a_site_that_fails_takes_nothing_back_and_the_next_build_goes_on(shop: Operator, jenkins: Jenkins) -> None:
    before, pushed = shop.head, shop.push()
    shop.on_machine("systemctl", "stop", "ssh.socket", "ssh")
    try:
        build = jenkins.build()
    finally:
        shop.on_machine("systemctl", "start", "ssh")
    assert (build.result, build.stages) == ("FAILURE", statuses(*"SSFF")), build
    assert build.description == f"FAILED: {shop.head[:7]} {shop.since(before)[0]}"
    assert len(shop.since(before)) == 1
    mended = jenkins.build()
    assert (mended.result, mended.stages) == ("SUCCESS", statuses(*"SSSSS-")), mended
    assert (len(shop.since(before)), shop.version()) == (1, pushed.tag)


def test_an_abort_stops_the_deploy_and_the_next_build_goes_on(shop: Operator, jenkins: Jenkins) -> None:
    before, pushed = shop.head, shop.push()
    running = jenkins.start()
    running.wait_for("deploying")
    running.abort()
    build = jenkins.finish(running)
    assert build.result == "ABORTED", build
    assert build.stages == statuses("S", "S", "A", "A")
    assert build.description == f"aborted, the next build goes on: {shop.head[:7]} {shop.since(before)[0]}"
    finished = jenkins.build()
    assert (finished.result, finished.stages) == ("SUCCESS", statuses(*"SSSSS-")), finished
    assert (len(shop.since(before)), shop.version()) == (1, pushed.tag)


def test_a_person_takes_the_newest_release_back(shop: Operator, jenkins: Jenkins) -> None:
    good, bad = shop.version(), shop.push()
    assert jenkins.build().result == "SUCCESS"
    build = jenkins.build(ROLLBACK=True, REASON="customers $complain 'loudly'")
    assert (build.result, build.stages) == ("SUCCESS", statuses("-", "S", "S", "-", "-", "S")), build
    assert build.description == "asked for: rolled back"
    assert (shop.version(), str(bad) in shop.quarantine()) == (good, True)
    assert "customers $complain 'loudly'" in shop.quarantine()


def test_the_file_asks_jenkins_for_what_the_documentation_says(shop: Operator, jenkins: Jenkins) -> None:
    declared = jenkins.build(ENVIRONMENT="production").declared
    assert declared["triggers"][0] == {"name": "cron", "arguments": ["H/15 * * * *"]}
    assert {one["name"] for one in declared["options"]} == {"disableConcurrentBuilds", "timeout", "buildDiscarder"}
    assert declared["parameters"][0]["arguments"][0]["choices"] == ["staging", "production"]
    assert os.environ.get("ENVIRONMENT") is None
