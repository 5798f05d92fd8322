"""One release is one commit, whoever else pushes and whenever the process is killed."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.deployment_repo import quarantine
from fairlead.deployment_repo.bump import Bump, Pace, bump, made_by, pins_at, promote, rollback
from fairlead.deployment_repo.message import ImageChange, Kind
from fairlead.deployment_repo.repository import Repository
from fairlead.errors import (
    ImageQuarantined,
    InvalidPins,
    PinChanged,
    PushContended,
    RemoteDenied,
    RewrittenHistory,
    UnsafePath,
)
from tests.fixtures.git import PINS, PRODUCTION, STAGING, Site, git, image

APP_OLD, APP_NEW = image("backend", "1.0.0", "a"), image("backend", "1.1.0", "b")
WEB_OLD, WEB_NEW = image("frontend", "1.0.0", "a"), image("frontend", "1.1.0", "b")
APP = ImageChange("app_image", APP_OLD, APP_NEW, "semver >=1.0", "https://github.com/acme/shop", "4be1a07")
WEB = ImageChange("frontend_image", WEB_OLD, WEB_NEW, "semver >=1.0")


def quick(seconds: float) -> None:
    """A clock for tests: nobody waits."""


def test_a_bump_is_one_commit_that_changes_only_the_values(site: Site) -> None:
    copy = site.clone("copy")
    made = bump(Repository.open(copy), "staging", [APP, WEB], "run-1")
    assert (made.commit, made.already, made.tries, made.advice) == (site.head, False, 1, "")
    assert site.show(STAGING) == PINS.replace(str(APP_OLD), str(APP_NEW)).replace(str(WEB_OLD), str(WEB_NEW))
    assert site.show(PRODUCTION) == PINS
    assert site.commits() == ["build(staging): backend, frontend 1.0.0 → 1.1.0", "Start"]
    assert git(copy, "status", "--porcelain", "--branch") == "## main...origin/main"
    assert (copy / STAGING).read_text() == site.show(STAGING)


def test_the_same_run_never_makes_a_second_commit(site: Site) -> None:
    repository = site.open("copy")
    first = bump(repository, "staging", [APP], "run-1")
    site.write({"README.md": "newer\n"})
    again = bump(repository, "staging", [APP], "run-1")
    assert (again.commit, again.already, again.changes[0].new) == (first.commit, True, APP_NEW)
    assert made_by(repository, "staging", "run-1") == Bump(first.commit, again.message, already=True, tries=0)
    assert made_by(repository, "staging", "run-2") is None
    assert made_by(repository, "production", "run-1") is None


def test_pins_that_are_there_already_need_no_commit(site: Site) -> None:
    bump(site.open("one"), "staging", [APP], "run-1")
    other = bump(site.open("two"), "staging", [APP], "run-2")
    assert (other.commit, other.already, other.changes) == (site.head, True, ())
    assert len(site.commits()) == 2


def test_a_release_completes_what_another_began(site: Site) -> None:
    bump(site.open("one"), "staging", [APP], "run-1")
    both = bump(site.open("two"), "staging", [APP, WEB], "run-2")
    assert [change.name for change in both.changes] == ["frontend_image"]


def test_an_image_that_was_not_pinned_is_added(site: Site) -> None:
    db = image("postgres", "17")
    bump(site.open("copy"), "staging", [ImageChange("db_image", None, db)], "run-1")
    assert site.show(STAGING) == f"{PINS}db_image: {db}\n"


# ---- races


def race_once(others: threading.Barrier) -> Pace:
    """Everybody commits on the same head before anybody pushes, once."""
    met: list[str] = []

    def at(step: str) -> None:
        if step == "committed" and not met:
            met.append(step)
            others.wait(30)

    return Pace(pause=quick, at=at)


def test_two_bumps_that_race_both_land_once(site: Site) -> None:
    copies, barrier = [site.open("one"), site.open("two")], threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        results = list(
            pool.map(
                lambda work: bump(work[0], "staging", [work[1]], work[2], pace=race_once(barrier)),
                zip(copies, (APP, WEB), ("run-1", "run-2"), strict=True),
            )
        )
    assert sorted(result.tries for result in results) == [1, 2]
    assert sorted(site.commits()[:-1]) == [
        "build(staging): backend 1.0.0 → 1.1.0",
        "build(staging): frontend 1.0.0 → 1.1.0",
    ]
    assert site.show(STAGING) == PINS.replace(str(APP_OLD), str(APP_NEW)).replace(str(WEB_OLD), str(WEB_NEW))


def test_two_runs_that_race_for_one_image_make_one_commit(site: Site) -> None:
    copies, barrier = [site.open("one"), site.open("two")], threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        results = list(
            pool.map(
                lambda work: bump(work[0], "staging", [APP], work[1], pace=race_once(barrier)),
                zip(copies, ("run-1", "run-2"), strict=True),
            )
        )
    assert sorted(result.already for result in results) == [False, True]
    assert len(site.commits()) == 2
    assert {result.commit for result in results} == {site.head}


def interrupt(site: Site, files: dict[str, str], *, always: bool = False) -> Pace:
    """A person pushes between our commit and our push: once, or each time."""
    count = 0

    def at(step: str) -> None:
        nonlocal count
        if step == "committed" and (always or count == 0):
            count += 1
            site.write({path: text.format(count) for path, text in files.items()})

    return Pace(pause=quick, at=at)


def test_a_lost_race_is_run_again_on_the_new_head(site: Site) -> None:
    made = bump(site.open("copy"), "staging", [APP], "run-1", pace=interrupt(site, {STAGING: "# first\n" + PINS}))
    assert made.tries == 2
    assert site.show(STAGING) == "# first\n" + PINS.replace(str(APP_OLD), str(APP_NEW))


def test_races_that_are_always_lost_end_with_a_clear_error(site: Site) -> None:
    paused: list[float] = []
    step = interrupt(site, {"README.md": "{}\n"}, always=True).at
    with pytest.raises(PushContended, match="took 5 other pushes") as caught:
        bump(site.open("copy"), "staging", [APP], "run-1", pace=Pace(tries=5, pause=paused.append, at=step))
    assert caught.value.retryable
    assert len(paused) == 5
    assert all(0 < pause <= 3 for pause in paused)
    assert site.show(STAGING) == PINS


def test_a_person_who_changes_the_same_pin_wins(site: Site) -> None:
    theirs = image("backend", "0.9.9", "c")
    pace = interrupt(site, {STAGING: PINS.replace(str(APP_OLD), str(theirs))})
    with pytest.raises(PinChanged) as caught:
        bump(site.open("copy"), "staging", [APP, WEB], "run-1", pace=pace)
    assert str(theirs) in caught.value.what
    assert "nothing was pushed" in caught.value.why
    assert site.commits() == ["Change by hand", "Start"]


def test_a_branch_that_is_rewritten_meanwhile_stops_the_run(site: Site) -> None:
    site.write({"README.md": "two\n"})

    def at(step: str) -> None:
        if step == "committed":
            git(site.person, "push", "--quiet", "--force", "origin", "HEAD~1:main")

    with pytest.raises(RewrittenHistory):
        bump(site.open("copy"), "staging", [APP], "run-1", pace=Pace(pause=quick, at=at))
    assert site.commits() == ["Start"]


# ---- refusals


def test_a_protected_branch_is_told_clearly_and_leaves_nothing(site: Site) -> None:
    site.hook(
        "pre-receive", "#!/bin/sh\necho 'GL-HOOK-ERR: not allowed to push code to protected branches' >&2\nexit 1\n"
    )
    copy = site.clone("copy")
    with pytest.raises(RemoteDenied, match="refuses the push to main") as caught:
        bump(Repository.open(copy), "staging", [APP], "run-1")
    assert "protected branches" in caught.value.why
    assert git(copy, "status", "--porcelain", "--branch") == "## main...origin/main"


def test_pins_behind_a_symbolic_link_are_refused(site: Site, tmp_path: Path) -> None:
    outside = tmp_path / "outside.yml"
    outside.write_text(PINS)
    (site.person / STAGING).unlink()
    (site.person / STAGING).symlink_to(outside)
    site.write({})
    with pytest.raises(UnsafePath, match="is a symbolic link"):
        bump(site.open("copy"), "staging", [APP], "run-1")
    assert outside.read_text() == PINS


def test_a_missing_pins_file_is_named(site: Site) -> None:
    with pytest.raises(InvalidPins, match=r"group_vars/testing/images\.yml does not exist") as caught:
        bump(site.open("copy"), "testing", [APP], "run-1")
    assert "fairlead init" in caught.value.remedy


# ---- killed


CHILD = """
import os, sys
from pathlib import Path
from fairlead.deployment_repo.bump import Pace, bump
from fairlead.deployment_repo.repository import Repository
from tests.deployment_repo.test_bump import APP
def at(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), 9)
bump(Repository.open(Path(sys.argv[1])), "staging", [APP], "run-1", pace=Pace(at=at))
"""


@pytest.mark.parametrize("step", ["fetched", "edited", "committed", "pushed", "caught-up"])
def test_killed_between_any_two_steps_and_run_again_there_is_one_commit(site: Site, step: str) -> None:
    copy = site.clone("copy")
    killed = subprocess.run([sys.executable, "-c", CHILD, str(copy), step], check=False)
    assert killed.returncode == -9
    done = step in ("pushed", "caught-up")
    assert len(site.commits()) == (2 if done else 1)
    assert git(copy, "status", "--porcelain") == ""

    again = bump(Repository.open(copy), "staging", [APP], "run-1")

    assert again.already is done
    assert again.commit == site.head == git(copy, "rev-parse", "HEAD")
    assert len(site.commits()) == 2
    assert git(copy, "status", "--porcelain", "--branch") == "## main...origin/main"
    assert git(copy, "for-each-ref", "--format=%(refname)", "refs/fairlead") == "refs/fairlead/origin/main"


# ---- promotions and rollbacks


def test_a_promotion_pins_what_was_proven_and_not_what_came_after(site: Site) -> None:
    repository = site.open("copy")
    proven = bump(repository, "staging", [APP], "run-1").commit
    bump(repository, "staging", [WEB], "run-2")
    promoted = promote(repository, "staging", "production", proven, "run-3")
    assert pins_at(repository, promoted.commit, "production") == pins_at(repository, proven, "staging")
    assert (promoted.message.kind, promoted.message.promoted_from) == (Kind.PROMOTION, "staging")
    assert promoted.changes[0].revision == "4be1a07"  # told by the bump of the same image
    assert promote(repository, "staging", "production", proven, "run-3").commit == promoted.commit
    assert made_by(repository, "production", "run-3") is not None
    assert len(site.commits()) == 4


def test_a_rollback_and_its_quarantine_are_one_commit_with_the_reason(site: Site) -> None:
    repository = site.open("copy")
    good = site.head
    failed = bump(repository, "staging", [APP], "run-1").commit
    lifted = site.write({layout.QUARANTINE: "# Images that failed.\n"})
    fence = Repository.open(site.person)

    made = rollback(repository, "staging", good, failed, "run-1", reason="never healthy", quarantine_on="2026-11-23")

    assert site.show(STAGING) == PINS
    assert made.message.subject == "revert(staging): backend 1.1.0 → 1.0.0"
    assert site.show(layout.QUARANTINE) == (
        "# Images that failed.\n"
        f'- {{environment: "staging", image: "{APP_NEW}", reason: "never healthy", run: "run-1", date: "2026-11-23"}}\n'
    )
    assert git(site.remote, "diff-tree", "-r", "--name-only", lifted, "main").splitlines() == [
        STAGING,
        layout.QUARANTINE,
    ]
    fence.fetch()
    assert fence.fence(made.commit) > fence.fence(failed)
    entries = quarantine.read(site.show(layout.QUARANTINE).encode())
    assert quarantine.is_quarantined(entries, "staging", APP_NEW)

    again = rollback(repository, "staging", good, failed, "run-1", reason="never healthy", quarantine_on="2026-11-23")
    assert (again.commit, again.already) == (made.commit, True)


def test_a_quarantined_image_is_not_pinned_again_without_a_person(site: Site) -> None:
    repository = site.open("copy")
    good = site.head
    failed = bump(repository, "staging", [APP], "run-1").commit
    rollback(repository, "staging", good, failed, "run-1", reason="never healthy", quarantine_on="2026-11-23")
    with pytest.raises(ImageQuarantined, match=r"app_image: .* is quarantined in staging") as caught:
        bump(repository, "staging", [APP], "run-2")
    assert "2026-11-23: never healthy" in caught.value.why
    assert promote(repository, "staging", "production", failed, "run-3").changes  # it failed in staging only

    site.write({layout.QUARANTINE: "# lifted\n"})
    assert not bump(repository, "staging", [APP], "run-2").already


def test_a_promotion_leaves_what_is_quarantined_where_it_is(site: Site) -> None:
    repository = site.open("copy")
    proven = bump(repository, "staging", [APP, WEB], "run-1").commit
    entry = quarantine.Quarantined("production", APP_NEW)
    site.write({layout.QUARANTINE: quarantine.add(None, [entry]).decode()})
    promoted = promote(repository, "staging", "production", proven, "run-2")
    assert [change.name for change in promoted.changes] == ["frontend_image"]


def test_a_rollback_leaves_a_pin_that_a_person_changed_since(site: Site) -> None:
    repository = site.open("copy")
    good = site.head
    failed = bump(repository, "staging", [APP], "run-1").commit
    site.write({STAGING: site.show(STAGING).replace(str(APP_NEW), str(image("backend", "1.1.1", "c")))})
    with pytest.raises(PinChanged):
        rollback(repository, "staging", good, failed, "run-1", reason="broken", quarantine_on="2026-11-23")


def test_a_rollback_without_quarantine_and_without_differences(site: Site) -> None:
    repository = site.open("copy")
    good = site.head
    failed = bump(repository, "staging", [APP], "run-1").commit
    made = rollback(repository, "staging", good, failed, "run-2", reason="")
    assert repository.read(made.commit, layout.QUARANTINE) is None
    assert rollback(repository, "staging", good, made.commit, "run-3", reason="").already
