"""What the module would do, computed without an engine."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scaffold.ansible.module import fairlead_compose as module

DIGEST = "sha256:" + "a" * 64
START_FIRST = {"rollout": "start-first"}


def service(name: str = "backend", **settings: Any) -> Any:
    return module.Service(**{"name": name, "image": f"r/{name}:1@{DIGEST}", "hash": "new", **settings})


def container(identity: str = "c1", name: str = "backend", **settings: Any) -> Any:
    return module.Container(**{"id": identity, "service": name, "hash": "new", **settings})


def action(services: Any, containers: Any, force: bool = False) -> str:
    [step] = module.plan([services], containers, {}, force)
    return str(step.action)


@pytest.mark.parametrize(
    ("what", "containers", "in_place", "beside"),
    [
        ("nothing runs", [], "create", "create"),
        ("it runs already", [container()], "keep", "keep"),
        ("it runs, and is unhealthy: waiting tells", [container(health="unhealthy")], "keep", "keep"),
        ("it crashes again and again: waiting tells", [container(status="restarting")], "keep", "keep"),
        ("it was stopped", [container(status="exited", exit_code=137)], "start", "start"),
        ("it was created and never started", [container(status="created")], "start", "start"),
        ("another release runs", [container(hash="old")], "replace", "start-first"),
        ("another release crashed", [container(hash="old", status="exited", exit_code=1)], "replace", "replace"),
        ("half done: both run", [container("a", hash="old"), container("b")], "replace", "finish"),
        (
            "half done: not yet started",
            [container("a", hash="old"), container("b", status="created")],
            "replace",
            "start-first",
        ),
        ("two of this release", [container("a"), container("b")], "replace", "finish"),
        ("two of other releases", [container("a", hash="old"), container("b", hash="older")], "replace", "start-first"),
    ],
)
def test_what_happens_to_a_service(what: str, containers: list[Any], in_place: str, beside: str) -> None:
    assert action(service(), containers) == in_place, what
    assert action(service(marks=START_FIRST), containers) == beside, what


def test_a_migration_that_has_ended_well_is_kept() -> None:
    assert action(service(), [container(status="exited", restart_policy="no")]) == "keep"
    assert action(service(), [container(status="exited", restart_policy="no", exit_code=3)]) == "start"


def test_a_moved_tag_is_other_content_and_a_digest_never_is() -> None:
    moved = service(image="r/backend:1")
    [step] = module.plan([moved], [container(image_id="sha256:old")], {moved.image: "sha256:new"})
    assert step.action == "replace"
    assert action(service(), [container(image_id="sha256:other")]) == "keep"


def test_a_healthy_container_that_the_gateway_cannot_find_yet_is_finished() -> None:
    announced = service(marks={**START_FIRST, "announce": "front"}, networks={"front": ()}, announce_in="shop_front")
    assert action(announced, [container(networks=("shop_default",))]) == "finish"
    assert action(announced, [container(networks=("shop_default", "shop_front"))]) == "keep"


def test_force_recreate_is_plain_compose() -> None:
    assert action(service(marks=START_FIRST), [container()], force=True) == "replace"
    assert action(service(), [], force=True) == "create"


def test_the_healthiest_container_of_this_release_stays_and_the_others_go() -> None:
    sick, well, old = (
        container("sick", health="unhealthy"),
        container("well", health="healthy"),
        container("old", hash="old"),
    )
    [step] = module.plan([service(marks=START_FIRST)], [old, sick, well], {})
    assert (step.action, step.old) == ("finish", (old, sick))


def test_what_is_dead_is_removed_before_compose_can_start_it_again() -> None:
    dead = container("dead", hash="old", status="exited", exit_code=1)
    [step] = module.plan([service(marks=START_FIRST)], [container("live", hash="old"), dead], {})
    assert (step.action, [c.id for c in step.old], step.dead) == ("start-first", ["live"], (dead,))


def test_a_service_that_is_gone_from_the_file_is_removed() -> None:
    steps = module.plan([service()], [container(), container("x", "worker")], {})
    assert [(step.service, step.action) for step in steps] == [("backend", "keep"), ("worker", "remove")]


def test_dependencies_come_first_and_neighbours_of_one_kind_go_together() -> None:
    services = [
        service("gateway", depends_on=("frontend", "backend")),
        service("frontend", depends_on=("backend",), marks=START_FIRST),
        service("backend", depends_on=("cache", "db"), marks=START_FIRST),
        service("cache"),
        service("db"),
    ]
    running = [container(s.name, s.name, hash="old") for s in services]
    groups = module.batches(module.plan(services, running, {}))
    assert [[step.service for step in group] for group in groups] == [
        ["cache", "db"],
        ["backend", "frontend"],
        ["gateway"],
    ]
    assert [[step.service for step in group] for group in module.batches(module.plan(services, [], {}))] == [
        ["cache", "db", "backend", "frontend", "gateway"]
    ]


CONTAINERS = st.lists(
    st.builds(
        container,
        identity=st.uuids().map(str),
        hash=st.sampled_from(["new", "old", "older"]),
        status=st.sampled_from(["running", "exited", "created", "restarting", "dead"]),
        health=st.sampled_from(["", "starting", "healthy", "unhealthy"]),
        exit_code=st.integers(0, 2),
    ),
    max_size=4,
)


@given(CONTAINERS)
def test_start_first_never_stops_what_serves_before_something_new_does(containers: list[Any]) -> None:
    """Whatever is found, a running container is not among those that are removed before the new one is healthy."""
    [step] = module.plan([service(marks=START_FIRST)], containers, {})
    assert not any(c.running for c in step.dead)
    if step.beside:
        kept = [c for c in containers if c not in step.old and c not in step.dead]
        assert len(kept) == (1 if step.action == "finish" else 0)
        assert all(c.hash == "new" and c.running for c in kept)
    elif step.action == "replace":
        assert not any(c.running for c in containers)


@given(CONTAINERS)
def test_after_a_finished_rollout_nothing_is_left_to_do(containers: list[Any]) -> None:
    one = service(marks=START_FIRST)
    [step] = module.plan([one], containers, {})
    kept = [c for c in containers if c not in step.old and c not in step.dead][:1]
    after = [replace(kept[0], health="healthy")] if kept else [container("made")]
    assert action(one, after) == "keep"


@pytest.mark.parametrize(
    ("body", "obstacle"),
    [
        ({"ports": [{"target": 80, "published": "80"}]}, "it publishes host ports"),
        ({"container_name": "x"}, "it has a container_name"),
        ({"network_mode": "host"}, "its network_mode is host"),
        ({"networks": {"default": {"ipv4_address": "10.0.0.2"}}}, "it has a fixed address"),
        ({"deploy": {"replicas": 2}}, "it has 2 replicas"),
        ({"scale": 3}, "it has 3 replicas"),
        ({"deploy": {"replicas": 0}}, "it has 0 replicas"),
        ({"healthcheck": {"disable": True}}, "its health check is disabled"),
    ],
)
def test_start_first_is_refused_where_two_cannot_live_together(body: dict[str, Any], obstacle: str) -> None:
    model = {"services": {"backend": {"image": "i", **body}}}
    assert module.refusals([module.service_of("backend", model, "h", START_FIRST)]) == [
        f"backend: it cannot start first: {obstacle}"
    ]
    assert module.refusals([module.service_of("backend", model, "h", {})]) == []


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        ({"rollout": "blue-green"}, "unknown rollout 'blue-green'; it is start-first or in-place"),
        ({"rolout": "start-first"}, "x-fairlead has no setting 'rolout'; it has rollout and announce"),
        ({**START_FIRST, "announce": "frnt"}, "it cannot be announced in 'frnt', which is none of its networks"),
        (
            {**START_FIRST, "announce": "default"},
            "it cannot be announced in 'default', its only network: without one it would never become healthy",
        ),
    ],
)
def test_a_wrong_x_fairlead_is_refused(marks: dict[str, str], reason: str) -> None:
    model = {"services": {"backend": {"image": "i", "networks": {"default": None}}}}
    assert module.refusals([module.service_of("backend", model, "h", marks)]) == [f"backend: {reason}"]


@pytest.mark.parametrize(
    ("found", "watched", "opinion"),
    [
        (container(health="healthy"), 0.0, "good"),
        (container(health="starting"), 99.0, "wait"),
        (container(health="unhealthy"), 0.0, "is unhealthy"),
        (container(), 0.2, "wait"),
        (container(), 1.0, "good"),
        (container(status="created"), 99.0, "wait"),
        (container(status="restarting", restarts=1), 99.0, "wait"),
        (container(status="restarting", restarts=3), 0.0, "was restarted 3 times"),
        (container(status="exited", exit_code=2), 0.0, "ended with exit code 2"),
        (container(status="exited", exit_code=0, restart_policy="always"), 0.0, "ended with exit code 0"),
        (container(status="exited", exit_code=0, restart_policy="no"), 0.0, "good"),
        (container(status="dead", exit_code=137), 0.0, "ended with exit code 137"),
    ],
)
def test_the_verdict_on_a_container(found: Any, watched: float, opinion: str) -> None:
    assert module.verdict(found, watched, 1.0) == opinion


def test_the_report_names_old_and_new_with_their_digests() -> None:
    old = container(hash="old", image="r/backend:0@sha256:" + "b" * 64)
    steps = module.plan([service(marks=START_FIRST)], [old], {})
    assert module.changes(steps, [service()]) == {
        "backend": {
            "action": "start-first",
            "old": old.image,
            "new": f"r/backend:1@{DIGEST}",
            "old_digest": "sha256:" + "b" * 64,
            "new_digest": DIGEST,
        }
    }


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("r:5000/a/b:1.0@sha256:ab", "r:5000/a/b"),
        ("r:5000/a/b", "r:5000/a/b"),
        ("b:1", "b"),
        ("r/b@sha256:ab", "r/b"),
    ],
)
def test_the_repository_of_a_reference(reference: str, repository: str) -> None:
    assert module.repository_of(reference) == repository


def test_the_newest_releases_and_those_asked_for_keep_their_images() -> None:
    tags = [f"fairlead.keep/shop/db:{n}" for n in (3, 10, 9, 2, 1)]
    others = ["fairlead.keep/other/db:1", "fairlead.keep/shop/db:unfenced", "r/db:1", "fairlead.keep/shop/app:1"]
    assert module.superseded(tags + others, "shop", 2, [1]) == ["fairlead.keep/shop/db:3", "fairlead.keep/shop/db:2"]


def test_only_idle_images_of_this_application_are_pruned() -> None:
    images = [
        {"Id": "idle", "RepoTags": ["r/app:1"], "RepoDigests": ["r/app@sha256:1"]},
        {"Id": "used", "RepoTags": [], "RepoDigests": ["r/app@sha256:2"]},
        {"Id": "kept", "RepoTags": ["fairlead.keep/shop/app:1"], "RepoDigests": ["r/app@sha256:3"]},
        {"Id": "of-another", "RepoTags": ["fairlead.keep/other/app:1"], "RepoDigests": ["r/app@sha256:4"]},
        {"Id": "strange", "RepoTags": ["elsewhere/app:1"], "RepoDigests": None},
        {"Id": "shared", "RepoTags": ["<none>:<none>"], "RepoDigests": ["elsewhere/app@sha256:5", "r/app@sha256:5"]},
    ]
    assert module.prunable(images, {"r/app"}, {"used"}) == ["r/app:1", "r/app@sha256:1", "r/app@sha256:5"]
