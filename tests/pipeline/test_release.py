"""Ways back: one commit that returns pins and deployment code, and quarantines what failed."""

import pytest

from fairlead.config import layout
from fairlead.deployment_repo import quarantine
from fairlead.errors import ImageQuarantined, ReleaseFailed, Superseded
from fairlead.images import ImageReference
from fairlead.pipeline import release
from fairlead.pipeline.detect import detect
from tests.fixtures.shop import Shop

TEMPLATE = "deployment/ansible/templates/docker-compose.yml.j2"
OPENTOFU = "deployment/opentofu/main.tf"


def _bumped(shop: Shop, tag: str) -> ImageReference:
    """Push an image and pin it, as a bump would."""
    pushed = shop.push("app", tag)
    shop.pin("staging", {**shop.scope().pins, "app_image": pushed})
    return pushed


def test_rollback_returns_pins_and_quarantines_what_failed_in_one_commit(shop: Shop) -> None:
    proven = shop.prove("staging")
    before = shop.scope().pins["app_image"]
    failed = _bumped(shop, "1.1.0")
    count = len(shop.site.commits())
    scope = shop.scope()
    made = release.roll_back(scope, scope.commit, proven, "7", "never healthy", quarantine_on="2026-11-23")
    assert len(shop.site.commits()) == count + 1
    after = shop.scope()
    assert after.commit == made.commit
    assert after.pins["app_image"] == before
    (entry,) = quarantine.read(shop.site.show(layout.QUARANTINE).encode())
    assert (entry.image, entry.reason) == (failed, "never healthy")


def test_the_same_run_rolls_back_once(shop: Shop) -> None:
    proven = shop.prove("staging")
    _bumped(shop, "1.1.0")
    scope = shop.scope()
    first = release.roll_back(scope, scope.commit, proven, "7", "never healthy")
    again = release.roll_back(scope, scope.commit, proven, "7", "never healthy")
    assert (again.commit, again.already) == (first.commit, True)


def test_rollback_puts_deployment_code_back_but_not_infrastructure(shop: Shop) -> None:
    shop.site.write({TEMPLATE: "services: {}\n", OPENTOFU: "# old\n"})
    proven = shop.prove("staging")
    shop.site.write({TEMPLATE: "services: {broken}\n", OPENTOFU: "# new\n", "deployment/ansible/added.yml": "a: 1\n"})
    scope = shop.scope()
    made = release.roll_back(scope, scope.commit, proven, "7", "the template is broken")
    assert shop.site.show(TEMPLATE) == "services: {}\n"
    assert shop.site.show(OPENTOFU) == "# new\n"
    assert "deployment/ansible/added.yml" not in shop.scope().repository.changed_paths(proven, made.commit)
    assert sorted(made.message.restored) == ["deployment/ansible/added.yml", TEMPLATE]


def test_code_that_a_person_mended_meanwhile_stays(shop: Shop) -> None:
    shop.site.write({TEMPLATE: "services: {}\n"})
    proven = shop.prove("staging")
    shop.site.write({TEMPLATE: "services: {broken}\n"})
    _bumped(shop, "1.1.0")
    scope = shop.scope()
    shop.site.write({TEMPLATE: "services: {mended}\n"})
    release.roll_back(scope, scope.commit, proven, "7", "never healthy")
    assert shop.site.show(TEMPLATE) == "services: {mended}\n"


def test_production_keeps_its_own_files(shop: Shop) -> None:
    proven = shop.prove("staging")
    _bumped(shop, "1.1.0")
    own = "deployment/ansible/group_vars/production/own.yml"
    shop.site.write({own: "a: 1\n"})
    scope = shop.scope()
    release.roll_back(scope, scope.commit, proven, "7", "never healthy")
    assert shop.site.show(own) == "a: 1\n"


def test_the_same_release_cannot_be_rolled_back_to(shop: Shop) -> None:
    proven = shop.prove("staging")
    shop.site.write({"README.md": "other\n"})
    scope = shop.scope()
    with pytest.raises(ReleaseFailed, match="same pins and deployment code"):
        release.roll_back(scope, scope.commit, proven, "7", "asked for")


def test_the_way_back_skips_releases_whose_images_were_quarantined(shop: Shop) -> None:
    good = shop.prove("staging")
    bad = _bumped(shop, "1.1.0")
    shop.prove("staging")
    _bumped(shop, "1.2.0")
    line = quarantine.add(None, [quarantine.Quarantined("staging", bad, reason="leaks")])
    head = shop.site.write({layout.QUARANTINE: line.decode()})
    assert release.last_proven(shop.scope(), head).commit == good


def test_nothing_proven_is_no_way_back(shop: Shop) -> None:
    scope = shop.scope()
    with pytest.raises(ReleaseFailed, match="No release before"):
        release.last_proven(scope, scope.commit)


def test_returning_to_a_quarantined_image_is_refused(shop: Shop) -> None:
    proven = shop.prove("staging")
    old = shop.scope().pins["app_image"]
    _bumped(shop, "1.1.0")
    shop.site.write({layout.QUARANTINE: quarantine.add(None, [quarantine.Quarantined("staging", old)]).decode()})
    scope = shop.scope()
    with pytest.raises(ImageQuarantined):
        release.roll_back(scope, scope.commit, proven, "7", "asked for")


def test_who_overtook_a_release_is_named(shop: Shop) -> None:
    scope = shop.scope()
    release.require_newest(scope)
    shop.site.write({"README.md": "Not of this environment\n"}, "Explain")
    release.require_newest(scope)
    shop.push("app", "1.1.0")
    newer = shop.scope()
    made = release.bump(newer, detect(newer).changes, "jenkins-8")
    with pytest.raises(Superseded) as caught:
        release.require_newest(scope)
    assert f"by the run jenkins-8 ({made.commit[:9]})" in caught.value.why
    release.require_newest(scope.in_environment("production"))


def test_a_person_who_overtook_is_told_by_the_commit(shop: Shop) -> None:
    scope = shop.scope()
    head = shop.pin("staging", {"app_image": shop.push("app", "1.1.0")})
    with pytest.raises(Superseded, match="is not the newest release any more") as caught:
        release.require_newest(scope)
    assert f"images.yml was changed; {head[:9]}" in caught.value.why
