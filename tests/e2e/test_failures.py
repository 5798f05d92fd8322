"""What becomes of releases that fail: the one before serves, what failed is not tried again, nothing loops."""

import pytest

from demo.load import FAILED, Load
from fairlead.config import layout
from fairlead.images import ImageReference
from tests.e2e.operator import TEMPLATE, Operator
from tests.fixtures.git import git

pytestmark = pytest.mark.lab
ROLLED_BACK, STANDS = 6, 3


def require_return(shop: Operator, before: str, version: str, failed: ImageReference) -> None:
    """One release and one way back; the old version serves and is proven; what failed is in quarantine, and stays."""
    assert [subject.partition(":")[0] for subject in shop.since(before)] == ["build(staging)", "revert(staging)"]
    assert shop.version() == version
    proof = shop.proof()
    assert proof is not None
    assert proof.commit == shop.head
    assert str(failed) in shop.quarantine()
    head = shop.head
    again = shop.run()
    assert (again.code, again.document["outcome"], shop.head) == (0, "none", head), again.text


def test_a_broken_image_leaves_the_old_one_serving_and_is_not_tried_again(shop: Operator) -> None:
    before, version, backend = shop.head, shop.version(), shop.containers("backend")
    new = shop.push("broken")
    with Load(shop.machine().address, lambda _line: None) as load:
        said = shop.run()
    assert said.code == ROLLED_BACK, said.text
    assert "unhealthy" in said.stderr
    assert (load.answers[FAILED], set(load.answers)) == (0, {version}), load.answers
    assert shop.containers("backend") == backend
    require_return(shop, before, version, new)


def test_a_wrong_version_is_caught_and_notes_outlive_the_way_back(shop: Operator) -> None:
    before, version, database = shop.head, shop.version(), shop.containers("db")
    note = shop.write_note()
    new = shop.push("wrong-version")
    said = shop.run()
    assert said.code == ROLLED_BACK, said.text
    assert "/api/version: expected" in said.stderr
    require_return(shop, before, version, new)
    assert note in shop.ask("/api/notes")
    assert shop.containers("db") == database


def test_an_image_that_crashes_later_is_caught(shop: Operator) -> None:
    shop.commit("Look longer", {layout.CONFIGURATION: (("stable_for: 1s", "stable_for: 12s"),)})
    before, version = shop.head, shop.version()
    new = shop.push("crash-later")
    said = shop.run()
    assert said.code == ROLLED_BACK, said.text
    require_return(shop, before, version, new)


def test_a_broken_template_is_taken_back(shop: Operator) -> None:
    version, database = shop.version(), shop.containers("db")
    good = git(shop.remote, "show", f"refs/heads/main:{TEMPLATE}")
    before = shop.commit("Break", {TEMPLATE: (("test: [CMD, python3, -IS,", "test: [CMD, python2, -IS,"),)})
    said = shop.run()
    assert said.code == ROLLED_BACK, said.text
    assert [subject.partition(":")[0] for subject in shop.since(before)] == ["revert(staging)"]
    assert git(shop.remote, "show", f"refs/heads/main:{TEMPLATE}") == good
    assert (shop.version(), shop.containers("db")) == (version, database)
    assert shop.run().document["outcome"] == "none"


def test_a_way_back_that_fails_too_ends_and_says_so(shop: Operator) -> None:
    """What no release of ours can pass; mended, the run after it proves what serves."""
    impossible = (('/up", status: 200', '/up", status: 418'),)
    before = shop.commit("Ask for the impossible", {layout.CONFIGURATION: impossible})
    version = shop.version()
    new = shop.push()
    said = shop.run()
    assert said.code == STANDS, said.text
    assert "and so did the return to" in said.stderr
    assert [subject.partition(":")[0] for subject in shop.since(before)] == ["build(staging)", "revert(staging)"]
    assert (shop.version(), str(new) in shop.quarantine()) == (version, True)
    head = shop.head
    assert (shop.run().code, shop.head) == (STANDS, head)
    mended = shop.commit("Mend", {layout.CONFIGURATION: (impossible[0][::-1],)})
    said = shop.run()
    assert (said.code, said.document["outcome"], shop.head) == (0, "proven", mended), said.text
