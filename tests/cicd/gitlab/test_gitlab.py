"""The shipped gitlab-ci.yml, run by gitlab-ci-local from shallow, detached checkouts: real jobs, a real machine."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.cicd.gitlab.server import INFRASTRUCTURE, GitLab
from tests.cicd.recorder import Recorder
from tests.e2e.operator import Operator
from tests.fixtures.git import git
from tests.fixtures.git_https import PASSWORD

pytestmark = pytest.mark.lab
ROLLED_BACK = 6
STARTED = {"git", "ssh", "ssh-agent", "ansible", "ansible-playbook", "tofu", "docker"}  # not by the jobs' own shell
STAGES = ["bump", "infrastructure", "deploy"]


def require_secrets_apart(recorder: Recorder, shop: Operator) -> None:
    """Of what Fairlead starts, nobody gets a secret of another's class; here nobody needs the infrastructure's."""
    assert {"git", "ansible", "ssh"} <= {one.name for one in recorder.started}
    for name, value in INFRASTRUCTURE.items():
        assert recorder.holders(value) & STARTED == set(), name
    assert recorder.holders(shop.core) & STARTED <= {"ansible"}
    key = shop.machine().ssh_key.read_text().splitlines()[3]
    for value in (PASSWORD, key):
        assert recorder.holders(value) & STARTED == set()


def pushes(shop: Operator) -> list[str]:
    """Each push that the server took since it was asked last: the ref, and the push option."""
    received = shop.remote / "received"
    lines = received.read_text().splitlines() if received.exists() else []
    received.write_text("")
    return lines


def test_a_pipeline_releases_what_is_new_and_keeps_secrets_apart(
    shop: Operator, gitlab: GitLab, tmp_path: Path
) -> None:
    """From the push of an image to its proof, and then nothing any more."""
    before, new = shop.head, shop.push()
    pushes(shop)
    recorder = Recorder(tmp_path / "recorder", shop.variables["PATH"])
    done = gitlab.pipeline(recorder=recorder)
    assert not done.failed, done.text
    assert done.passed == [*STAGES, "verify-staging", "look-staging", "release-staging"]
    assert [subject.rpartition(" → ")[2] for subject in shop.since(before)] == [new.tag]
    assert pushes(shop) == ["refs/heads/main ci.skip", "refs/notes/fairlead ci.skip"]
    proof = shop.proof()
    assert proof is not None
    assert (proof.commit, proof.digests["app_image"]) == (shop.head, new.digest)
    assert (shop.version(), proof.run) == (new.tag, f"gitlab-{7000 + gitlab.pipelines}")
    [suite] = ET.fromstring(done.artifact("verify-staging", "checks.xml"))
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "0")
    require_secrets_apart(recorder, shop)
    head, containers = shop.head, shop.containers("backend")
    idle = gitlab.pipeline()
    assert idle.passed == ["nothing-new", "look-staging", "release-staging"], idle.text
    assert (shop.head, shop.containers("backend"), pushes(shop)) == (head, containers, [])


def test_a_release_that_fails_is_returned_from_within_the_lock(shop: Operator, gitlab: GitLab) -> None:
    before, version = shop.head, shop.version()
    new = shop.push("wrong-version")
    done = gitlab.pipeline()
    assert (done.failed, done.code("verify-staging")) == (["verify-staging"], ROLLED_BACK), done.text
    assert [subject.partition(":")[0] for subject in shop.since(before)] == ["build(staging)", "revert(staging)"]
    assert (shop.version(), str(new) in shop.quarantine()) == (version, True)
    assert "verify-staging failed, https://gitlab.example.com/" in shop.quarantine()
    assert "attempt 2:" in done.text  # the project's HEALTH_CHECK_RETRIES, not the file's
    assert "attempt 3:" not in done.text
    assert 'failures="1"' in done.artifact("verify-staging", "checks.xml")
    proof = shop.proof()
    assert proof is not None
    assert proof.commit == shop.head
    assert gitlab.pipeline().passed[0] == "nothing-new"


def test_production_waits_for_a_person_and_gets_what_is_proven(shop: Operator, gitlab: GitLab) -> None:
    shop.push()
    shop.run()
    before = shop.head
    unasked = gitlab.pipeline()
    assert "release-production" not in unasked.passed
    assert shop.head == before
    done = gitlab.pipeline("--manual=release-production", source="web")
    assert not done.failed, done.text
    assert "verify-production" in done.passed
    proof = shop.proof("production")
    assert proof is not None
    assert (proof.commit, shop.digests("backend", "production")) == (shop.head, shop.digests("backend"))
    assert git(shop.remote, "log", "-1", "--format=%an <%ae>", "main") == "Fairlead <fairlead@gitlab.example.com>"
