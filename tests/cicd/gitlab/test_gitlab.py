"""The shipped gitlab-ci.yml, run by gitlab-ci-local from shallow, detached checkouts: real jobs, a real machine."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cicd.gitlab.server import GitLab
from tests.cicd.infrastructure import made_by_opentofu
from tests.cicd.recorder import Recorder
from tests.e2e.operator import Operator
from tests.fixtures.git import git
from tests.fixtures.git_https import PASSWORD
from tests.fixtures.postgresql import PostgreSQL

pytestmark = pytest.mark.lab
ROLLED_BACK = 6
SHELL = {"bash", "sh", "grep", "fairlead", "python", "python3"}  # the jobs' own, whom GitLab gives all, and Fairlead
STAGES = ["bump", "infrastructure", "deploy"]


def require_secrets_apart(recorder: Recorder, shop: Operator, infrastructure: Mapping[str, str]) -> None:
    """Of what Fairlead starts, OpenTofu alone gets the infrastructure's secrets, Ansible alone the application's."""
    assert {"git", "ssh", "ansible", "tofu"} <= {one.name for one in recorder.started}
    for name in ("TF_VAR_proxmox_api_token", "PG_CONN_STR"):
        holders = recorder.holders(infrastructure[name]) - SHELL
        assert "tofu" in holders
        assert {holder for holder in holders if not holder.startswith(("tofu", "terraform-provider-"))} == set()
    assert recorder.holders(shop.core) - SHELL <= {"ansible"}
    for control in (PASSWORD, shop.machine().ssh_key.read_text().splitlines()[3]):
        assert recorder.holders(control) - SHELL == set()


def pushes(shop: Operator) -> list[str]:
    """Each push that the server took since it was asked last: the ref, and the push option."""
    received = shop.remote / "received"
    lines = received.read_text().splitlines() if received.exists() else []
    received.write_text("")
    return lines


def test_a_pipeline_releases_what_is_new_and_keeps_secrets_apart(
    shop: Operator, gitlab: GitLab, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    """From the push of an image to its proof, on a machine that OpenTofu makes; and then nothing any more."""
    recorder = Recorder(tmp_path / "recorder", shop.variables["PATH"])
    with made_by_opentofu(shop, postgresql.database(), tmp_path / "proxmox") as infrastructure:
        project = replace(gitlab, infrastructure=infrastructure.variables, root=tmp_path / "runner")
        before, new = shop.head, shop.push()
        pushes(shop)
        done = project.pipeline(recorder=recorder)
        assert not done.failed, done.text
        pushed, head, containers = pushes(shop), shop.head, shop.containers("backend")
        idle = project.pipeline()
    assert done.passed == [*STAGES, "verify-staging", "look-staging", "release-staging"]
    release, provider = shop.since(before)
    assert (release.rpartition(" → ")[2], "the provider of" in provider) == (new.tag, True)
    assert pushed == ["refs/heads/main ci.skip", "refs/heads/main ci.skip", "refs/notes/fairlead ci.skip"]
    proof = shop.proof()
    assert proof is not None
    assert (proof.commit, proof.digests["app_image"]) == (git(shop.remote, "rev-parse", "main~1"), new.digest)
    assert (shop.version(), proof.run) == (new.tag, f"gitlab-{done.number}")
    [suite] = ET.fromstring(done.artifact("verify-staging", "checks.xml"))
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "0")
    require_secrets_apart(recorder, shop, infrastructure.variables)
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
    done = gitlab.pipeline("--manual=release-production", source="web")
    assert not done.failed, done.text
    assert "verify-production" in done.passed
    proof = shop.proof("production")
    assert proof is not None
    assert (proof.commit, shop.digests("backend", "production")) == (shop.head, shop.digests("backend"))
    assert git(shop.remote, "log", "-1", "--format=%an <%ae>", "main") == "Fairlead <fairlead@gitlab.example.com>"
