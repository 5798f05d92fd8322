"""The commands as people and programs call them: exit codes, one JSON document, words on stderr."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.git import git
from tests.fixtures.shop import Shop


def fairlead(
    shop: Shop, *words: str, place: Path | None = None, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command as a process of its own."""
    environment = {**os.environ, "FAIRLEAD_STATE_DIR": str(shop.state), "NO_COLOR": "1", **variables}
    argv = [sys.executable, "-m", "fairlead", *words]
    return subprocess.run(
        argv, cwd=place or shop.site.person, env=environment, capture_output=True, text=True, check=False
    )


def document(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """The one document on stdout."""
    content = json.loads(done.stdout)
    assert isinstance(content, dict)
    return content


def test_detect_and_bump_turn_a_push_into_one_commit(shop: Shop) -> None:
    pushed = shop.push("app", "1.1.0")
    found = document(fairlead(shop, "detect", "-e", "staging", "--json", "--explain"))
    assert found["answer"] == "candidates"
    assert found["candidates"][0]["new"] == str(pushed)
    assert {"tag": "1.0.0", "reason": "is older than 1.1.0"} in found["images"][0]["rejected"]
    before = len(shop.site.commits())
    bumped = fairlead(shop, "bump", "-e", "staging", "--run", "42")
    assert bumped.returncode == 0, bumped.stderr
    assert bumped.stdout.strip() == shop.site.head
    assert len(shop.site.commits()) == before + 1
    again = fairlead(shop, "bump", "-e", "staging", "--run", "42")
    assert again.stdout == bumped.stdout
    assert "made earlier" in again.stderr
    assert len(shop.site.commits()) == before + 1


def test_nothing_new_ends_with_0(shop: Shop) -> None:
    shop.prove("staging")
    for command in ("detect", "bump"):
        done = fairlead(shop, command, "-e", "staging")
        assert (done.returncode, "nothing new" in done.stderr) == (0, True)


def test_waiting_ends_with_5_and_names_the_setting(shop: Shop) -> None:
    shop.configure(("settle: 0s", "settle: 0s, together: [app_image, frontend_image]"))
    shop.prove("staging")
    shop.push("app", "1.1.0")
    for command in ("detect", "bump"):
        done = fairlead(shop, command, "-e", "staging", "--json")
        assert done.returncode == 5
        assert "release.together" in done.stderr
        assert document(done)["version"] == 1


def test_promotion_pins_the_proven_digests_in_one_commit(shop: Shop) -> None:
    pushed = shop.push("app", "1.1.0")
    fairlead(shop, "bump", "-e", "staging")
    refused = fairlead(shop, "promote", "--from", "staging", "-e", "production", "--json")
    assert (refused.returncode, document(refused)["error"]["code"]) == (5, "FL-WAITING")
    shop.prove("staging")
    done = fairlead(shop, "promote", "--from", "staging", "-e", "production")
    assert done.returncode == 0, done.stderr
    assert shop.scope("production").pins["app_image"] == pushed


def test_promotion_that_needs_an_approval_ends_with_5(shop: Shop) -> None:
    shop.configure(("follows: staging", "follows: staging, approval: required"))
    shop.push("app", "1.1.0")
    fairlead(shop, "bump", "-e", "staging")
    shop.prove("staging")
    before = shop.site.head
    done = fairlead(shop, "promote", "--from", "staging", "-e", "production")
    assert done.returncode == 5
    assert "environments.production.approval" in done.stderr
    assert shop.site.head == before


def test_history_tells_commit_images_sources_and_proof(shop: Shop) -> None:
    shop.push("app", "1.1.0", labels={"org.opencontainers.image.revision": "4be1a07"})
    fairlead(shop, "bump", "-e", "staging")
    shop.prove("staging")
    release = document(fairlead(shop, "history", "-e", "staging", "--json"))["releases"][0]
    assert release["commit"] == shop.site.head
    assert release["images"]["app_image"].startswith(f"{shop.app.name}:1.1.0@sha256:")
    assert release["revisions"] == {"app_image": "4be1a07"}
    assert release["proof"]["run"] == "1"


def test_bad_configuration_ends_with_2_and_the_place(shop: Shop) -> None:
    shop.configure(("settle: 0s", "settle: soon"))
    done = fairlead(shop, "detect", "-e", "staging", "--json")
    assert done.returncode == 2
    assert document(done)["error"]["code"] == "FL-CONFIG-SETTING"
    assert "release.settle" in done.stderr


def test_unknown_option_is_an_error_like_any_other(shop: Shop) -> None:
    done = fairlead(shop, "detect", "--bogus", "--json")
    assert (done.returncode, document(done)["error"]["code"]) == (2, "FL-USAGE")


def test_a_place_without_configuration_says_what_writes_one(shop: Shop, tmp_path: Path) -> None:
    done = fairlead(shop, "detect", "-e", "staging", place=tmp_path)
    assert done.returncode == 2
    assert "fairlead init" in done.stderr


def test_other_uncommitted_work_is_left_alone(shop: Shop) -> None:
    (shop.site.person / "README.md").write_text("half a thought\n")
    shop.push("app", "1.1.0")
    done = fairlead(shop, "bump", "-e", "staging")
    assert done.returncode == 0, done.stderr
    assert "git pull" in done.stderr
    assert (shop.site.person / "README.md").read_text() == "half a thought\n"
    assert git(shop.site.person, "status", "--porcelain") == " M README.md"


def test_schema_is_one_json_document(shop: Shop) -> None:
    assert document(fairlead(shop, "schema"))["title"] == "Configuration"


def test_output_that_cannot_be_written_is_an_error_without_a_traceback(shop: Shop) -> None:
    argv = [sys.executable, "-m", "fairlead", "detect", "-e", "staging", "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(argv, cwd=shop.site.person, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "✗ This machine cannot do it: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_says_so_in_one_document_and_ends_with_130(shop: Shop, number: signal.Signals) -> None:
    shop.configure(("settle: 0s", "settle: 10m"))
    shop.push("app", "1.1.0")
    place = shop.site.clone("interrupted")
    argv = [sys.executable, "-m", "fairlead", "detect", "-e", "staging", "--json"]
    with subprocess.Popen(argv, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout
        while not (place / ".git/fairlead.lock").exists():
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(number)
        said = json.loads(running.stdout.read())
    assert (running.returncode, said["exit_code"]) == (130, 130)
    assert said["error"]["code"] == "FL-PROGRAM-INTERRUPTED"


def test_a_shell_gets_the_answer_and_the_commit_to_deploy(shop: Shop) -> None:
    unproven = fairlead(shop, "detect", "-e", "staging", "--quiet")
    assert (unproven.stdout, unproven.stderr) == ("unproven\n", "")
    head = fairlead(shop, "bump", "-e", "staging", "--quiet")
    assert (head.returncode, head.stdout, head.stderr) == (0, f"{shop.site.head}\n", "")
    shop.push("app", "1.1.0")
    bumped = fairlead(shop, "bump", "-e", "staging", "--quiet")
    assert (bumped.stdout, bumped.stderr) == (f"{shop.site.head}\n", "")
    shop.prove("staging")
    nothing = fairlead(shop, "bump", "-e", "staging", "--quiet")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "")


def test_an_unproven_head_is_work_although_an_image_has_to_wait(shop: Shop) -> None:
    shop.configure(("settle: 0s", "settle: 0s, together: [app_image, frontend_image]"))
    shop.push("app", "1.1.0")
    for command in ("detect", "bump"):
        done = fairlead(shop, command, "-e", "staging", "--json")
        assert (done.returncode, document(done)["commit"]) == (0, shop.site.head), done.stderr


def test_a_rollback_that_is_not_a_persons_holds_where_the_file_says_hold(shop: Shop) -> None:
    shop.configure(("release:", "on_failure: hold\nrelease:"))
    shop.prove("staging")
    shop.push("app", "1.1.0")
    failed = fairlead(shop, "bump", "-e", "staging", "--quiet").stdout.strip()
    words = ("rollback", "-e", "staging", "--failed", "--reason", "it failed", "--automatic", "--json")
    done = fairlead(shop, *words, FAIRLEAD_COMMIT=failed)
    assert (done.returncode, document(done)["error"]["code"]) == (3, "FL-RELEASE-FAILED"), done.stderr
    assert "on_failure: hold" in done.stderr
    assert shop.site.head == failed


def test_a_rollback_of_a_release_that_is_not_the_newest_any_more_changes_nothing(shop: Shop) -> None:
    shop.prove("staging")
    shop.push("app", "1.1.0")
    failed = fairlead(shop, "bump", "-e", "staging", "--quiet").stdout.strip()
    shop.push("app", "1.2.0")
    newer = fairlead(shop, "bump", "-e", "staging", "--quiet").stdout.strip()
    done = fairlead(
        shop, "rollback", "-e", "staging", "--failed", "--reason", "it failed", "--json", FAIRLEAD_COMMIT=failed
    )
    assert (done.returncode, shop.site.head) == (document(done)["exit_code"], newer), done.stderr
    assert f"{failed[:9]} is not the newest release any more" in done.stderr
    assert "deployment/ansible/group_vars/staging/images.yml was changed by" in done.stderr
