"""The shipped gitlab-ci.yml, run by gitlab-ci-local from shallow, detached checkouts: real jobs, a real machine."""

import xml.etree.ElementTree as ET

import pytest

from tests.cicd.gitlab.server import GitLab
from tests.e2e.operator import Operator
from tests.fixtures.git import git

pytestmark = pytest.mark.lab
ROLLED_BACK = 6
STAGES = ["bump", "infrastructure", "deploy"]


def pushes(shop: Operator) -> list[str]:
    """Each push that the server took since it was asked last: the ref, and the push option."""
    received = shop.remote / "received"
    lines = received.read_text().splitlines() if received.exists() else []
    received.write_text("")
    return lines


def test_a_pipeline_releases_what_is_new_and_looks_at_nothing_else(shop: Operator, gitlab: GitLab) -> None:
    """From the push of an image to its proof, and then nothing any more."""
    before, new = shop.head, shop.push()
    pushes(shop)
    done = gitlab.pipeline()
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
