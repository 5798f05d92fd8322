"""Is there work? Real registry, real git."""

from datetime import timedelta
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.deployment_repo import quarantine
from fairlead.deployment_repo.quarantine import Quarantined
from fairlead.errors import InvalidPins, InvalidSetting, RegistryUnreachable, UnreadableFile
from fairlead.pipeline.detect import Answer, detect
from tests.fixtures.git import git
from tests.fixtures.shop import NOON, Shop


def test_a_new_tag_is_a_candidate_with_its_digest_and_labels(shop: Shop) -> None:
    labels = {
        "org.opencontainers.image.source": "https://git.example.com/shop",
        "org.opencontainers.image.revision": "4be1",
    }
    pushed = shop.push("app", "1.1.0", labels=labels)
    detection = detect(shop.scope())
    assert detection.answer is Answer.CANDIDATES
    (change,) = detection.changes
    assert (change.name, change.new, change.revision) == ("app_image", pushed, "4be1")


def test_proven_head_and_no_new_image_is_no_work(shop: Shop) -> None:
    shop.prove("staging")
    assert detect(shop.scope()).answer is Answer.NONE


def test_unproven_head_is_work(shop: Shop) -> None:
    detection = detect(shop.scope())
    assert (detection.answer, detection.reason) == (Answer.UNPROVEN, "nothing is proven here yet")


def test_pins_that_cannot_be_read_are_named_by_their_whole_path(shop: Shop) -> None:
    shop.site.write({layout.images_file("staging"): "app_image: [a]\n"})
    with pytest.raises(InvalidPins, match=r"^deployment/ansible/group_vars/staging/images\.yml:1: a nested value"):
        detect(shop.scope())


def test_a_changed_template_alone_is_work(shop: Shop) -> None:
    shop.prove("staging")
    shop.site.write({"deployment/ansible/templates/docker-compose.yml.j2": "services: {}\n"})
    detection = detect(shop.scope())
    assert detection.answer is Answer.UNPROVEN
    assert detection.reason.startswith("deployment/ansible/templates/docker-compose.yml.j2 changed since")


@pytest.mark.parametrize("path", ["README.md", layout.images_file("production"), "deployment/cicd/Jenkinsfile"])
def test_what_concerns_others_is_no_work(shop: Shop, path: str) -> None:
    shop.prove("staging")
    text = "".join(f"{name}: {pin}\n" for name, pin in shop.scope().pins.items()) + "# a comment\n"
    shop.site.write({path: text})
    assert detect(shop.scope()).answer is Answer.NONE


def test_a_quarantined_head_is_not_tried_again(shop: Shop) -> None:
    pins = shop.scope().pins
    line = quarantine.add(None, [Quarantined("staging", pins["app_image"], reason="never healthy")])
    shop.site.write({layout.QUARANTINE: line.decode()})
    assert detect(shop.scope()).answer is Answer.NONE


def test_a_quarantined_candidate_is_not_elected_but_a_newer_one_is(shop: Shop) -> None:
    shop.prove("staging")
    failed = shop.push("app", "1.1.0")
    shop.site.write({layout.QUARANTINE: quarantine.add(None, [Quarantined("staging", failed)]).decode()})
    assert detect(shop.scope()).answer is Answer.NONE
    newer = shop.push("app", "1.2.0")
    assert [change.new for change in detect(shop.scope()).changes] == [newer]


def test_quarantine_of_another_environment_does_not_matter(shop: Shop) -> None:
    pushed = shop.push("app", "1.1.0")
    shop.site.write({layout.QUARANTINE: quarantine.add(None, [Quarantined("production", pushed)]).decode()})
    assert [change.new for change in detect(shop.scope()).changes] == [pushed]


def test_half_a_release_waits_and_names_who_is_missing(shop: Shop) -> None:
    shop.prove("staging")
    shop.configure(("settle: 0s", "settle: 0s, together: [app_image, frontend_image]"))
    shop.prove("staging")
    shop.push("app", "1.1.0", created="2026-11-23T11:59:00Z")
    detection = detect(shop.scope())
    assert not detection.changes
    (wait,) = detection.waits
    assert wait.key == "release.together"
    assert "1.1.0 is missing for frontend_image" in str(wait)
    shop.push("frontend", "1.1.0")
    assert {change.new.tag for change in detect(shop.scope()).changes} == {"1.1.0"}


def test_production_takes_what_staging_has_proven(shop: Shop) -> None:
    pushed = shop.push("app", "1.1.0")
    shop.pin("staging", {**shop.scope().pins, "app_image": pushed})
    assert not detect(shop.scope("production")).changes
    shop.prove("staging")
    detection = detect(shop.scope("production"))
    assert [(change.name, change.new) for change in detection.changes] == [("app_image", pushed)]


@pytest.mark.parametrize(
    ("setting", "key", "later"),
    [
        ("soak: 1h", "environments.production.soak", timedelta(minutes=59)),
        ("approval: required", "environments.production.approval", timedelta(days=9)),
        ('freeze: ["Mon 11:00 - Mon 13:00 UTC"]', "environments.production.freeze", timedelta(minutes=5)),
    ],
)
def test_what_stands_in_the_way_is_named(shop: Shop, setting: str, key: str, later: timedelta) -> None:
    shop.configure(("follows: staging", f"follows: staging, {setting}"))
    shop.pin("staging", {**shop.scope().pins, "app_image": shop.push("app", "1.1.0")})
    shop.prove("staging")
    detection = detect(shop.scope("production"), now=lambda: NOON + later)
    assert not detection.changes
    assert [wait.key for wait in detection.waits] == [key]


def test_soak_ends(shop: Shop) -> None:
    shop.configure(("follows: staging", "follows: staging, soak: 1h"))
    shop.pin("staging", {**shop.scope().pins, "app_image": shop.push("app", "1.1.0")})
    shop.prove("staging")
    assert detect(shop.scope("production"), now=lambda: NOON + timedelta(hours=1)).changes


def test_registry_that_does_not_answer_is_an_error_and_changes_nothing(shop: Shop) -> None:
    shop.configure((shop.registry.host, "127.0.0.1:9"))
    with pytest.raises(RegistryUnreachable):
        detect(shop.scope())


def test_a_ci_checkout_is_enough(shop: Shop, tmp_path: Path) -> None:
    """Shallow, detached, older than the branch, without notes."""
    place = shop.site.clone("ci", "--depth=1")
    git(place, "checkout", "--quiet", "--detach")
    shop.site.write({"README.md": "newer\n"})
    shop.prove("staging")
    pushed = shop.push("app", "1.1.0")
    detection = detect(shop.scope(place=place))
    assert [change.new for change in detection.changes] == [pushed]
    assert detection.commit == shop.site.head


def test_unknown_environment_names_the_known_ones(shop: Shop) -> None:
    with pytest.raises(InvalidSetting) as caught:
        shop.scope("stagin")
    assert "staging, production" in caught.value.remedy


def test_configuration_that_was_not_committed_is_said_so(shop: Shop) -> None:
    git(shop.site.person, "rm", "--quiet", layout.CONFIGURATION)
    git(shop.site.person, "commit", "--quiet", "-m", "Remove")
    git(shop.site.person, "push", "--quiet", "origin", "main")
    (shop.site.person / layout.CONFIGURATION).write_text("app: shop\n")
    with pytest.raises(UnreadableFile, match=r"no fairlead\.yaml in commit"):
        shop.scope()


def test_authority_of_a_registry_is_read_from_the_commit(shop: Shop) -> None:
    shop.configure(("plain_http: true", "plain_http: true, ca: certs/ca.pem"))
    with pytest.raises(UnreadableFile, match=r"certs/ca\.pem does not exist in commit"):
        detect(shop.scope())


def test_a_version_tag_that_was_pushed_again_is_reported_and_never_elected(shop: Shop) -> None:
    shop.prove("staging")
    again = shop.registry.push(shop.app, "1.0.0", content="other")
    assert detect(shop.scope()).sightings[0].repushed is None, "an ordinary look makes one request for each image"
    detection = detect(shop.scope(), recheck=True)
    assert detection.answer is Answer.NONE
    assert detection.sightings[0].repushed == again


def test_quarantined_content_is_not_elected_under_another_tag(shop: Shop) -> None:
    shop.prove("staging")
    failed = shop.push("app", "1.1.0")
    shop.site.write({layout.QUARANTINE: quarantine.add(None, [Quarantined("staging", failed)]).decode()})
    assert shop.registry.push(shop.app, "1.1.1", content="app 1.1.0") == failed.digest
    assert detect(shop.scope()).answer is Answer.NONE
