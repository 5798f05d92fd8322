"""The shipped Jenkinsfile, played whole: real git, a real registry, a machine, the deployer, Jenkins' habits."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.config.directories import cache_directory
from fairlead.lab.proxmox_api.faults import Fault, Kind
from fairlead.scaffold.render import RECORD, Record, render
from tests.cicd.infrastructure import made_by_opentofu
from tests.cicd.jenkins.server import INFRASTRUCTURE, SCRIPT, Build, Jenkins, server_for
from tests.cicd.recorder import Recorder
from tests.e2e.operator import JENKINSFILE, QUICKER, Operator
from tests.fixtures.git import git
from tests.fixtures.postgresql import PostgreSQL

pytestmark = pytest.mark.lab
STAGES = ("Detect", "Infrastructure", "Release", "Deploy", "Verify", "Roll back")
# What has all that Jenkins gives to a stage: its shell, what that starts, and Fairlead itself.
GIVEN = {"sh", "mkdir", "rm", "test", "tr", "fairlead", "python", "python3"}
SUBJECT = ("log", "-1")  # the shell's own git


@pytest.fixture
def jenkins(shop: Operator, harness: str, tmp_path: Path) -> Jenkins:
    """A pipeline for the operator's repository; its credentials are a person's doing, its file is as init wrote it."""
    return server_for(shop, harness, tmp_path / "jenkins")


def statuses(*pairs: str) -> dict[str, str]:
    """Stages in their order, S(UCCESS), F(AILURE), A(BORTED) or - for one that was left out."""
    words = {"S": "SUCCESS", "F": "FAILURE", "A": "ABORTED", "-": "SKIPPED"}
    return {stage: words[letter] for stage, letter in zip(STAGES, pairs, strict=False)}


def write_for_opentofu(shop: Operator) -> None:
    """The file as init writes it where OpenTofu makes the machines."""
    shop.pull()
    record = Record.parse((shop.checkout / RECORD).read_bytes())
    (shop.checkout / SCRIPT).write_bytes(render(replace(record.answers, addresses={}))[SCRIPT])
    shop.edit({SCRIPT: QUICKER[JENKINSFILE]})
    git(shop.checkout, "commit", "--quiet", "--all", "-m", "Let Jenkins run OpenTofu")
    git(shop.checkout, "push", "--quiet", "origin", "HEAD:main")


def test_a_new_image_is_released_once_and_proven_on_a_machine_that_opentofu_makes(
    shop: Operator, harness: str, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    """From the push of an image to its proof; then nothing any more, also when its own push starts a build."""
    write_for_opentofu(shop)
    with made_by_opentofu(shop, postgresql.database(), tmp_path / "proxmox") as infrastructure:
        jenkins = server_for(shop, harness, tmp_path / "jenkins", infrastructure.variables)
        before, pushed = shop.head, shop.push()
        recorder = Recorder(tmp_path / "recorder", jenkins.agent["PATH"])
        build = jenkins.build(recorder=recorder)
        its_own_push = jenkins.build()
    assert build.result == "SUCCESS", build
    assert build.stages == statuses(*"SSSSS-")
    subjects = shop.since(before)
    assert (len(subjects), subjects[0].rpartition(" → ")[2]) == (2, pushed.tag), (
        subjects
    )  # and the provider's lock file
    assert build.description
    assert build.description.endswith(subjects[0])
    proof = json.loads(build.archived["result/proof.json"])["proof"]
    assert (shop.version(), proof["run"].startswith("jenkins-1-")) == (pushed.tag, True)
    assert set(proof["checks"]) == set(build.tests)
    assert all(build.tests.values())
    assert (its_own_push.result, its_own_push.description) == ("SUCCESS", "nothing new"), its_own_push
    assert its_own_push.stages == statuses("S", "-", "-")
    require_declared(its_own_push)
    assert shop.since(before) == subjects
    assert shop.core not in build.log
    assert_secrets_apart(jenkins, recorder)


def test_an_abort_in_mid_apply_leaves_one_machine_and_no_lock(
    shop: Operator, harness: str, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    """Jenkins's signals end OpenTofu at once; the next build takes the machine over, and its state is complete."""
    write_for_opentofu(shop)
    with made_by_opentofu(shop, postgresql.database(), tmp_path / "proxmox") as infrastructure:
        jenkins = server_for(shop, harness, tmp_path / "jenkins", infrastructure.variables)
        infrastructure.api.faults.add(Fault(Kind.TASK_SLOW, task="qmclone", seconds=10.0))
        running = jenkins.start()
        running.wait_until(infrastructure.machines, "the clone begins")
        running.abort()
        build = jenkins.finish(running)
        jenkins.wait_for_agent()
        infrastructure.api.faults.clear()
        finished = jenkins.build()
        given = {**infrastructure.variables, "XDG_CACHE_HOME": str(cache_directory().parent)}
        planned = shop.fairlead("provision", "-e", "staging", "--plan", "--json", at=shop.checkout, **given)
        machines = infrastructure.machines()
    assert (build.result, build.stages) == ("ABORTED", statuses("S", "A")), build
    assert (finished.result, finished.stages) == ("SUCCESS", statuses(*"SSSSS-")), finished
    assert (planned.code, machines) == (0, ["shop-staging"]), planned.text
    assert planned.document["changed"] is False  # so the state has all that there is


def assert_secrets_apart(jenkins: Jenkins, recorder: Recorder) -> None:
    """Of what Fairlead starts, only OpenTofu has secrets in its variables: the infrastructure's."""
    assert {"git", "ssh", "ansible", "tofu"} <= {one.name for one in recorder.started}
    started = [one for one in recorder.started if one.words[1:3] != SUBJECT and one.name not in GIVEN]
    for name, credential in jenkins.credentials.items():
        holders = {one.name for one in started if credential["value"] in one.variables}
        if name in INFRASTRUCTURE:
            assert "tofu" in holders, name
            holders = {holder for holder in holders if not holder.startswith(("tofu", "terraform-provider-"))}
        assert holders == set(), name


def require_declared(build: Build) -> None:
    """What the file asks Jenkins for, as the documentation says."""
    assert build.declared["triggers"][0] == {"name": "cron", "arguments": ["H/15 * * * *"]}
    options = {one["name"] for one in build.declared["options"]}
    assert {"disableConcurrentBuilds", "timeout", "buildDiscarder"} <= options
    assert build.declared["parameters"][0]["arguments"][0]["choices"] == ["staging", "production"]


def test_a_release_that_fails_its_checks_is_taken_back_and_quarantined(shop: Operator, jenkins: Jenkins) -> None:
    good = shop.version()
    failed = shop.push("wrong-version")
    build = jenkins.build()
    assert (build.result, build.stages) == ("FAILURE", statuses(*"SSFSFS")), build
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
    jenkins.wait_for_agent()
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
