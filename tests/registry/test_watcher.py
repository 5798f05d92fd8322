"""Looking at all images of an environment, against a real registry."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fairlead.config.models import Image, Registry
from fairlead.errors import ImageMissing, PlatformMissing, RegistryUnreachable
from fairlead.images import ImageReference
from fairlead.registry.client import RegistryClient
from fairlead.registry.connection import Bounds
from fairlead.registry.first_seen import FirstSeenFile
from fairlead.registry.policy import Rejection
from fairlead.registry.watcher import Look, Rules, Sighting, Watched, look, settled
from tests.fixtures.registry import RegistryServer, free_port
from tests.registry.clock import TurnedClock
from tests.registry.hostile import Reply, hostile

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
SEMVER: dict[str, Any] = {"semver": "*"}


def watched(name: str, image: ImageReference, pin: ImageReference | None = None, **more: Any) -> Watched:
    cooldown = more.pop("cooldown", timedelta(0))
    return Watched(name, Image(repository=image.name, policy=more.pop("policy", SEMVER), **more), pin, cooldown)


def look_once(server: RegistryServer, images: Sequence[Watched], state: Path | None = None, **rules: Any) -> Look:
    """One look by a client of its own, at NOW unless a clock is given."""
    return counted(server, images, state, **rules)[0]


def counted(
    server: RegistryServer, images: Sequence[Watched], state: Path | None = None, **rules: Any
) -> tuple[Look, int]:
    """The look and how many requests it took."""
    clock = rules.pop("clock", TurnedClock(NOW))
    settings = rules.pop("settings", server.settings)
    bounds = rules.pop("bounds", Bounds())

    async def asked() -> tuple[Look, int]:
        async with RegistryClient(settings, clock=clock, bounds=bounds) as client:
            seen = FirstSeenFile((state or Path("/nonexistent")) / "first-seen.json")
            return await look(client, images, Rules(**rules), seen), client.requests

    return asyncio.run(asked())


def test_a_new_tag_is_a_candidate_by_digest(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    old = registry_server.push(app, "1.0.0", content="old")
    new = registry_server.push(app, "1.1.0", content="new", labels={"org.opencontainers.image.revision": "abc"})
    seen = look_once(registry_server, [watched("app_image", app, app.with_tag("1.0.0", old))])
    assert seen.candidates == ("app_image",)
    assert not seen["app_image"].lost
    assert seen["app_image"].elected == app.with_tag("1.1.0", new)
    assert seen["app_image"].labels.revision == "abc"
    assert [(r.tag, r.reason) for r in seen["app_image"].rejected] == [("1.0.0", "is older than 1.1.0")]


def test_an_image_that_was_never_pinned_is_a_candidate(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    digest = registry_server.push(app, "1.0.0")
    seen = look_once(registry_server, [watched("app_image", app)])
    assert (seen.candidates, seen["app_image"].elected) == (("app_image",), app.with_tag("1.0.0", digest))


def test_nothing_new_is_one_request_for_each_image(registry_server: RegistryServer) -> None:
    images = []
    for number in range(5):
        app = registry_server.fresh()
        digest = registry_server.push(app, "1.0.0")
        policy = {"digest": "1.0.0"} if number == 0 else SEMVER
        images.append(watched(f"image_{number}", app, app.with_tag("1.0.0", digest), policy=policy))
    seen, requests = counted(registry_server, images)
    assert (seen.candidates, requests) == ((), 5)
    assert all(sighting.elected == sighting.pin for sighting in seen.sightings)


def test_a_moving_tag_is_followed_by_its_digest(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    old = registry_server.push(app, "17", content="old")
    new = registry_server.push(app, "17", content="new")
    seen = look_once(registry_server, [watched("db_image", app, app.with_tag("17", old), policy={"digest": "17"})])
    assert (seen.candidates, seen["db_image"].elected) == (("db_image",), app.with_tag("17", new))
    assert seen["db_image"].repushed is None


def test_a_version_tag_that_was_pushed_again_is_reported_and_the_pin_stands(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    old = registry_server.push(app, "1.0.0", content="old")
    new = registry_server.push(app, "1.0.0", content="new")
    seen = look_once(registry_server, [watched("app_image", app, app.with_tag("1.0.0", old))], recheck=True)
    sighting = seen["app_image"]
    assert (seen.candidates, sighting.elected, sighting.repushed) == ((), app.with_tag("1.0.0", old), new)


def test_another_index_over_the_same_image_is_the_same_content(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    old = registry_server.push(app, "17", index=True, annotations={"build": "1"})
    new = registry_server.push(app, "17", index=True, annotations={"build": "2"})
    assert old != new
    seen = look_once(registry_server, [watched("db_image", app, app.with_tag("17", old), policy={"digest": "17"})])
    assert (seen.candidates, seen["db_image"].same_content) == ((), True)
    assert seen["db_image"].elected == app.with_tag("17", new)


def test_a_pin_that_the_registry_has_lost_is_no_obstacle(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    old = registry_server.push(app, "1.0.0", content="old")
    registry_server.push(app, "1.1.0", content="new")
    registry_server.delete(app, old)
    seen = look_once(registry_server, [watched("app_image", app, app.with_tag("1.0.0", old))])
    assert (seen.candidates, seen["app_image"].same_content) == (("app_image",), False)
    assert seen["app_image"].lost, "a return would need the copy on the machine"


def test_an_image_for_another_platform_is_refused(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    registry_server.push(app, "1.0.0", platforms=("linux/arm64",), index=True)
    seen = look_once(registry_server, [watched("app_image", app)])
    assert seen.candidates == ()
    assert isinstance(seen["app_image"].error, PlatformMissing)


def test_quarantine_holds_for_the_digest_and_not_for_the_tag(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    first = registry_server.push(app, "1.0.0", content="first")
    bad = registry_server.push(app, "1.1.0", content="bad")
    image = watched("app_image", app, app.with_tag("1.0.0", first))
    quarantined = frozenset({app.with_tag("1.1.0", bad)})
    held = look_once(registry_server, [image], quarantined=quarantined)
    assert (held.candidates, held["app_image"].elected) == ((), image.pin)
    assert held["app_image"].rejected[0].reason == "is quarantined"
    mended = registry_server.push(app, "1.1.0", content="mended")
    seen = look_once(registry_server, [image], quarantined=quarantined)
    assert seen["app_image"].elected == app.with_tag("1.1.0", mended)


def test_a_quarantined_digest_of_a_moving_tag_is_not_followed(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    good = registry_server.push(app, "17", content="good")
    bad = registry_server.push(app, "17", content="bad")
    image = watched("db_image", app, app.with_tag("17", good), policy={"digest": "17"})
    seen = look_once(registry_server, [image], quarantined={app.with_tag("17", bad)})
    assert (seen.candidates, seen["db_image"].elected, seen["db_image"].why) == ((), None, "no tag fits")


def test_cooldown_waits_and_takes_the_older_one_meanwhile(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    old = registry_server.push(app, "1.0.0", created="2026-05-01T00:00:00Z", content="old")
    middle = registry_server.push(app, "1.1.0", created="2026-05-20T00:00:00Z", content="middle")
    registry_server.push(app, "1.2.0", created="2026-06-01T11:00:00Z", content="young")
    image = watched("app_image", app, app.with_tag("1.0.0", old), cooldown=timedelta(days=1))
    seen = look_once(registry_server, [image])
    assert seen["app_image"].elected == app.with_tag("1.1.0", middle)
    (wait,) = seen.waits
    assert (wait.reason, wait.tag, wait.images) == ("cooldown", "1.2.0", ("app_image",))
    assert wait.until == datetime(2026, 6, 2, 11, 0, tzinfo=UTC)
    assert Rejection("1.2.0", "is 1h old, the cooldown is 1d") in seen["app_image"].rejected


def test_an_image_without_a_time_is_as_old_as_its_first_sighting(
    registry_server: RegistryServer, tmp_path: Path
) -> None:
    app = registry_server.fresh()
    registry_server.push(app, "1.0.0", created="1970-01-01T00:00:00Z")
    image = watched("app_image", app, cooldown=timedelta(hours=1))
    assert look_once(registry_server, [image], tmp_path).candidates == ()
    later = TurnedClock(NOW + timedelta(minutes=61))
    assert look_once(registry_server, [image], tmp_path, clock=later).candidates == ("app_image",)


def test_what_one_registry_does_wrong_leaves_the_others_alone(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    registry_server.push(app, "1.0.0")
    down = ImageReference(f"127.0.0.1:{free_port()}", "shop/app")
    settings = {**registry_server.settings, down.registry: Registry(plain_http=True)}
    images = [watched("app_image", app), watched("down_image", down), watched("gone_image", registry_server.fresh())]
    seen = look_once(registry_server, images, settings=settings)
    assert seen.candidates == ("app_image",)
    assert [type(error) for error in seen.errors] == [RegistryUnreachable, ImageMissing]


def test_a_registry_that_hangs_ends_the_look_in_time(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    registry_server.push(app, "1.0.0")
    done: list[bool] = []

    def drip() -> Any:
        while not done:
            yield b" "

    with hostile(lambda _: Reply(200, {}, drip())) as server:
        settings = {**registry_server.settings, **server.settings}
        images = [watched("app_image", app), watched("slow_image", server.app)]
        bounds = Bounds(look=5.0, body=10**10)
        seen = look_once(registry_server, images, settings=settings, bounds=bounds)
        done.append(True)
    assert seen.candidates == ("app_image",)
    assert "did not answer in time" in str(seen["slow_image"].error)


def test_of_many_images_only_some_are_looked_at_at_once(registry_server: RegistryServer) -> None:
    """Memory does not grow with those that wait; and each has its time for itself, not for the whole line."""
    app = registry_server.fresh()
    digest = registry_server.push(app, "1.0.0")
    images = [watched(f"image_{number}", app, app.with_tag("1.0.0", digest)) for number in range(200)]

    async def at_most() -> int:
        async with RegistryClient(registry_server.settings, bounds=Bounds(at_once=2)) as client:
            looking = asyncio.create_task(look(client, images, Rules(), FirstSeenFile(Path("/nonexistent"))))
            most = 0
            while not looking.done():
                most = max(most, len(asyncio.all_tasks()))
                await asyncio.sleep(0)
        assert [sighting.name for sighting in looking.result().sightings] == [image.name for image in images]
        assert not looking.result().errors
        return most

    assert asyncio.run(at_most()) < 20


def test_behind_the_deadline_no_registry_is_asked_any_more(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    images = [watched(f"image_{number}", app) for number in range(50)]
    seen, requests = counted(registry_server, images, bounds=Bounds(look=0.0, look_each=0.0))
    assert (requests, len(seen.errors)) == (0, 50)
    assert {"did not answer in time" in str(error) for error in seen.errors} == {True}


def test_a_look_at_more_images_may_take_longer(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    registry_server.push(app, "1.0.0")
    seen = look_once(registry_server, [watched("app_image", app)] * 2, bounds=Bounds(look=0.0, look_each=30.0))
    assert not seen.errors


def test_a_list_that_was_cut_short_elects_nothing(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    for number in range(3):
        registry_server.push(app, f"1.0.{number}")
    seen = look_once(registry_server, [watched("app_image", app)], bounds=Bounds(tags=2))
    assert (seen.candidates, seen["app_image"].elected) == ((), None)
    assert "cut short: it has more than 2 tags" in seen["app_image"].why


# Together.


def pair(server: RegistryServer) -> tuple[ImageReference, ImageReference, list[Watched]]:
    """Two images released together, both pinned at 1.0."""
    app, web = server.fresh("app"), server.fresh("web")
    pins = {image: server.push(image, "1.0", content=f"{image} 1.0") for image in (app, web)}
    names = {app: "app_image", web: "web_image"}
    return app, web, [watched(names[image], image, image.with_tag("1.0", pins[image])) for image in (app, web)]


def test_half_a_release_is_waited_for_and_never_elected(registry_server: RegistryServer) -> None:
    app, _, images = pair(registry_server)
    registry_server.push(app, "1.1", created="2026-06-01T11:50:00Z")
    seen = look_once(registry_server, images, together=("app_image", "web_image"))
    assert seen.candidates == ()
    (wait,) = seen.waits
    assert (wait.reason, wait.tag, wait.missing, wait.overdue) == ("together", "1.1", ("web_image",), False)
    assert wait.since == datetime(2026, 6, 1, 11, 50, tzinfo=UTC)


def test_after_the_deadline_it_is_said_loudly(registry_server: RegistryServer) -> None:
    app, _, images = pair(registry_server)
    registry_server.push(app, "1.1", created="2026-06-01T11:40:00Z")
    seen = look_once(registry_server, images, together=("app_image", "web_image"))
    assert (seen.candidates, seen.waits[0].overdue) == ((), True)


def test_both_halves_are_one_release(registry_server: RegistryServer) -> None:
    app, web, images = pair(registry_server)
    digests = [registry_server.push(image, "1.1", content=f"{image} 1.1") for image in (app, web)]
    registry_server.push(app, "1.2", content="alone")
    seen = look_once(registry_server, images, together=("app_image", "web_image"))
    assert seen.candidates == ("app_image", "web_image")
    assert [sighting.elected for sighting in seen.sightings] == [
        app.with_tag("1.1", digests[0]),
        web.with_tag("1.1", digests[1]),
    ]
    assert seen.waits[0].missing == ("web_image",)


def test_a_half_with_the_same_content_keeps_up_with_the_tag(registry_server: RegistryServer) -> None:
    app, web, images = pair(registry_server)
    registry_server.push(app, "1.1", content=f"{app} 1.0")
    registry_server.push(web, "1.1", content="new")
    seen = look_once(registry_server, images, together=("app_image", "web_image"))
    assert (seen.candidates, seen["app_image"].same_content) == (("app_image", "web_image"), True)


def test_a_repository_that_is_not_there_yet_is_missing(registry_server: RegistryServer) -> None:
    app = registry_server.fresh("app")
    registry_server.push(app, "1.0")
    images = [watched("app_image", app), watched("web_image", registry_server.fresh("web"))]
    seen = look_once(registry_server, images, together=("app_image", "web_image"))
    assert (seen.candidates, seen.waits[0].missing, seen.errors) == ((), ("web_image",), ())


def test_an_error_of_one_half_stops_the_other(registry_server: RegistryServer) -> None:
    app, web, images = pair(registry_server)
    registry_server.push(app, "1.1", content="new")
    registry_server.push(web, "1.1", platforms=("linux/arm64",))
    seen = look_once(registry_server, images, together=("app_image", "web_image"))
    assert seen.candidates == ()
    assert isinstance(seen["web_image"].error, PlatformMissing)
    assert seen["app_image"].why == "waits for web_image"


def test_quarantine_of_one_half_holds_both(registry_server: RegistryServer) -> None:
    app, web, images = pair(registry_server)
    bad = registry_server.push(app, "1.1", content="bad")
    registry_server.push(web, "1.1", content="new")
    rules: dict[str, Any] = {"together": ("app_image", "web_image"), "quarantined": {app.with_tag("1.1", bad)}}
    seen = look_once(registry_server, images, **rules)
    assert (seen.candidates, [sighting.elected for sighting in seen.sightings]) == ((), [image.pin for image in images])


# Settling.


def looks(*candidates: str) -> list[Look]:
    """Looks that see one candidate each; the same name is the same tag."""
    plain = look_of("")
    return [look_of(name) if name else plain for name in candidates]


def look_of(tag: str) -> Look:
    reference = ImageReference("registry.example.com", "shop/app", tag or None)
    return Look((Sighting("app_image", None, reference if tag else None),), ("app_image",) if tag else ())


@pytest.mark.parametrize(
    ("seen", "waited", "result"),
    [
        (["", "1.1"], 0, ""),
        (["1.1", "1.1"], 1, "1.1"),
        (["1.1", "1.2", "1.2"], 2, "1.2"),
        (["1.1", ""], 1, ""),
    ],
)
def test_two_looks_have_to_agree(seen: list[str], waited: int, result: str) -> None:
    clock, coming = TurnedClock(), iter(looks(*seen))

    async def again() -> Look:
        return next(coming)

    found = asyncio.run(settled(again, timedelta(seconds=20), clock.sleep))
    assert (found, clock.slept) == (look_of(result), [20.0] * waited)


def test_looks_that_never_agree_come_back_unsettled() -> None:
    clock, numbers = TurnedClock(), iter(range(1000))

    async def again() -> Look:
        return look_of(str(next(numbers)))

    found = asyncio.run(settled(again, timedelta(seconds=20), clock.sleep))
    assert (found.unsettled, len(clock.slept)) == (True, 29)


def test_without_settle_one_look_is_enough() -> None:
    async def once() -> Look:
        return look_of("1.1")

    assert asyncio.run(settled(once, timedelta(0), TurnedClock().sleep)) == look_of("1.1")


def test_an_image_pushed_while_settling_belongs_to_the_release(registry_server: RegistryServer) -> None:
    app, web, images = pair(registry_server)
    registry_server.push(app, "1.1", content="new")
    clock = TurnedClock()

    async def push_while_waiting(seconds: float) -> None:
        if not clock.slept:
            await asyncio.to_thread(registry_server.push, web, "1.1", content="new")
        await clock.sleep(seconds)

    async def asked() -> Look:
        async with RegistryClient(registry_server.settings, clock=TurnedClock(NOW)) as client:
            first_seen = FirstSeenFile(Path("/nonexistent/first-seen.json"))
            return await settled(
                lambda: look(client, images, Rules(), first_seen), timedelta(seconds=20), push_while_waiting
            )

    assert asyncio.run(asked()).candidates == ("app_image", "web_image")
    assert clock.slept == [20.0, 20.0]


# First sightings.


def test_the_first_sighting_is_remembered(tmp_path: Path) -> None:
    seen = FirstSeenFile(tmp_path / "state" / "first-seen.json")
    assert seen.since("app:1", NOW) == NOW
    assert FirstSeenFile(tmp_path / "state" / "first-seen.json").since("app:1", NOW + timedelta(days=1)) == NOW


def test_a_clock_that_was_set_back_makes_nothing_younger_than_new(tmp_path: Path) -> None:
    seen = FirstSeenFile(tmp_path / "first-seen.json")
    seen.since("app:1", NOW)
    assert seen.since("app:1", NOW - timedelta(days=1)) == NOW - timedelta(days=1)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"app:1": 7}', '{"app:1": "yesterday"}', "\0"])
def test_a_broken_file_counts_as_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "first-seen.json"
    path.write_text(content)
    assert FirstSeenFile(path).since("app:1", NOW) == NOW
    assert json.loads(path.read_text()) == {"app:1": NOW.isoformat()}


def test_watched_values_are_never_changed(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    registry_server.push(app, "1.0.0")
    image = watched("app_image", app)
    before = replace(image)
    look_once(registry_server, [image])
    assert image == before
