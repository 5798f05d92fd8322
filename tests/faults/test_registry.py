"""Registries that change or go away between a look and a release."""

import tempfile
from pathlib import Path

import pytest

from fairlead.config.models import Registry
from fairlead.errors import RegistryUnreachable
from fairlead.pipeline import release
from fairlead.pipeline.detect import Answer, detect
from tests.cli.test_detect_and_bump import fairlead
from tests.fixtures.registry import RegistryServer, docker_registry
from tests.fixtures.shop import Shop

PINNED = "deployment/ansible/group_vars/staging/images.yml"


def test_a_tag_that_moves_after_the_look_is_deployed_as_it_was_seen(shop: Shop) -> None:
    seen = shop.push("app", "1.1.0")
    found = detect(shop.scope())
    moved = shop.registry.push(shop.app, "1.1.0", content="something else")
    assert moved != seen.digest
    [change] = found.changes
    release.bump(shop.scope(), [change], "run-1")
    assert f"@{seen.digest}" in shop.site.show(PINNED)
    assert moved not in shop.site.show(PINNED)


def test_a_way_back_that_the_registry_has_lost_is_told_before_the_deploy(shop: Shop) -> None:
    old = shop.scope().pins["app_image"]
    shop.prove("staging")
    shop.push("app", "1.1.0")
    assert "no way back" not in fairlead(shop, "detect", "-e", "staging").stderr
    shop.registry.delete(shop.app, str(old.digest))
    told = fairlead(shop, "detect", "-e", "staging")
    assert (told.returncode, "app_image: the registry has lost the pinned image: no way back" in told.stderr) == (
        0,
        True,
    )
    assert f"the registry has lost {old.short}: no way back but by the copy" in detect(shop.scope()).lost
    run = fairlead(shop, "run", "-e", "staging").stderr
    assert 0 < run.index(f"the registry has lost {old.short}: no way back") < run.index(" bump"), run


def test_a_registry_that_was_gone_for_a_day_changes_nothing_and_comes_back_by_itself(
    shop: Shop,
) -> None:
    """The same address, gone for several looks, then there again with a new image."""
    with tempfile.TemporaryDirectory() as directory:
        with docker_registry(Path(directory)) as host:
            server = RegistryServer(host, Registry(plain_http=True))
            gone = Shop(shop.site, server, server.fresh("backend"), server.fresh("frontend"), shop.state)
            gone.configure()
            gone.pin(
                "staging", {"app_image": gone.push("app", "1.0.0"), "frontend_image": gone.push("frontend", "1.0.0")}
            )
            gone.prove("staging")
            assert detect(gone.scope()).answer is Answer.NONE
            gone.push("app", "1.1.0")
        head = gone.site.head
        for _ in range(2):
            with pytest.raises(RegistryUnreachable) as caught:
                detect(gone.scope())
            assert caught.value.retryable
        assert gone.site.head == head
        with docker_registry(Path(directory), port=int(host.rpartition(":")[2])):
            assert [change.new.tag for change in detect(gone.scope()).changes] == ["1.1.0"]
