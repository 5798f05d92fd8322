"""What releases do: an image is pushed, and runs, proven; nothing else changes."""

import pytest

from demo.load import FAILED, Load
from tests.e2e.operator import TEMPLATE, Operator

pytestmark = pytest.mark.lab


def test_a_new_tag_reaches_the_machine_by_digest(shop: Operator) -> None:
    before, new = shop.head, shop.push()
    said = shop.run()
    assert (said.code, said.document["outcome"]) == (0, "proven"), said.text
    assert [subject.rpartition(" → ")[2] for subject in shop.since(before)] == [new.tag]
    assert new.digest is not None
    assert new.digest in shop.digests("backend")
    assert shop.version() == new.tag
    proof = shop.proof()
    assert proof is not None
    assert (proof.commit, proof.digests["app_image"]) == (shop.head, new.digest)


def test_nothing_changed_nothing_done(shop: Operator) -> None:
    before = shop.head, shop.containers("backend"), shop.proof()
    said = shop.run()
    assert (said.code, said.document["outcome"], said.document["run"]) == (0, "none", "")
    assert (shop.head, shop.containers("backend"), shop.proof()) == before


def test_a_changed_template_alone_is_deployed(shop: Operator) -> None:
    version, database = shop.version(), shop.containers("db")
    commit = shop.commit("Greet", {TEMPLATE: (("      PGHOST: db\n", "      PGHOST: db\n      GREETING: hello\n"),)})
    said = shop.run()
    assert (said.code, said.document["outcome"], said.document["commit"]) == (0, "proven", commit), said.text
    [backend] = shop.containers("backend")
    assert "GREETING=hello" in shop.on_machine("docker", "inspect", backend)
    assert (shop.version(), shop.containers("db"), shop.head) == (version, database, commit)


def test_notes_and_the_database_container_outlive_a_deploy(shop: Operator) -> None:
    note, database, backend = shop.write_note(), shop.containers("db"), shop.containers("backend")
    shop.push()
    assert shop.run().code == 0
    assert note in shop.ask("/api/notes")
    assert shop.containers("db") == database
    assert shop.containers("backend") != backend


def test_no_request_fails_while_a_release_replaces_another(shop: Operator) -> None:
    old, new = shop.version(), shop.push()
    with Load(shop.machine().address, lambda _line: None) as load:
        assert shop.run().code == 0
    assert load.answers[FAILED] == 0, load.answers
    assert set(load.answers) == {old, new.tag}


def test_production_gets_what_staging_has_proven_by_the_same_digests(shop: Operator) -> None:
    new = shop.push()
    assert shop.run().code == 0
    before, staging = shop.head, shop.containers("backend")
    promoted = shop.fairlead("promote", "-e", "production", "--from", "staging")
    assert promoted.code == 0, promoted.text
    said = shop.run("production")
    assert (said.code, said.document["outcome"]) == (0, "proven"), said.text
    assert len(shop.since(before)) == 1
    for service in ("backend", "db", "gateway"):
        assert shop.digests(service, "production") == shop.digests(service)
    assert new.digest is not None
    assert new.digest in shop.digests("backend", "production")
    assert (shop.version("production"), shop.containers("backend")) == (new.tag, staging)
    assert shop.run().document["outcome"] == "none"
