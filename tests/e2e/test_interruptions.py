"""Runs that are killed, and sites that fail in the middle: run again, one commit, released once, proven."""

import re
import subprocess

import pytest

from demo.load import FAILED, Load
from fairlead.config import layout
from fairlead.images import ImageReference
from tests.e2e.operator import Operator, Said, kill_tree, wait_for

pytestmark = pytest.mark.lab
COMPOSE = "/opt/shop/docker-compose.yml"
# tests/pipeline has every step and every point, on a fake machine. These need a real one to be worth anything.
POINTS = ("deploy:before", "deploy:after-effect", "verify:after-effect")


def require_released_once(shop: Operator, before: str, new: ImageReference, said: Said) -> None:
    """One commit; the image runs in one container, and is proven; nothing is left to do."""
    assert (said.code, said.document["outcome"]) == (0, "proven"), said.text
    assert len(shop.since(before)) == 1
    assert new.digest is not None
    assert new.digest in shop.digests("backend")
    proof = shop.proof()
    assert proof is not None
    assert (shop.version(), proof.commit) == (new.tag, shop.head)
    assert shop.run().document["outcome"] == "none"


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_steps_boundary_it_goes_on_where_it_was(shop: Operator, point: str) -> None:
    before, new = shop.head, shop.push()
    shop.crash(point)
    said = shop.run()
    assert "resumed" in said.stderr
    require_released_once(shop, before, new, said)


def test_killed_in_the_middle_of_a_rollout_it_finishes(shop: Operator) -> None:
    """Everything here dies while the new container starts beside the old one; no request fails meanwhile."""
    before, new = shop.head, shop.push()
    with Load(shop.machine().address, lambda _line: None) as load:
        with shop.starts("backend") as started:
            child = shop.start("run", "-e", "staging")
            wait_for(started, child)
        kill_tree(child)
        said = shop.run()
    assert load.answers[FAILED] == 0, load.answers
    require_released_once(shop, before, new, said)


def test_killed_alone_the_machines_lock_keeps_order(shop: Operator) -> None:
    """Ansible, and its module on the machine, live on for a while; the next run waits for them."""
    before, new = shop.head, shop.push()
    with Load(shop.machine().address, lambda _line: None) as load:
        with shop.starts("backend") as started:
            child = shop.start("run", "-e", "staging")
            wait_for(started, child)
        child.kill()
        said = shop.run()
        child.communicate()
    assert load.answers[FAILED] == 0, load.answers
    require_released_once(shop, before, new, said)


def test_a_half_done_rollout_is_finished(shop: Operator) -> None:
    """What a machine's own death leaves: the new file, and a second container that nobody finds yet."""
    before, old, new = shop.head, shop.containers("backend"), shop.push()
    pinned = re.findall(r"backend:[^\s\"]+@[^\s\"]+", shop.on_machine("cat", COMPOSE))[0]
    shop.crash("deploy:before")
    shop.on_machine("sed", "-i", f"s#{pinned}#backend:{new.tag}@{new.digest}#", COMPOSE)
    compose = ("docker", "compose", "--project-directory", "/opt/shop")
    shop.on_machine(*compose, "up", "--no-start", "--no-recreate", "--scale", "backend=2", "backend")
    [second] = [container for container in shop.containers("backend") if container not in old]
    shop.on_machine("docker", "network", "disconnect", "shop_front", second)
    shop.on_machine("docker", "start", second)
    said = shop.run()
    require_released_once(shop, before, new, said)
    assert shop.containers("backend") == [second]


@pytest.mark.parametrize("during", ["login", "pull"])
def test_a_registry_that_is_gone_is_the_sites_fault(shop: Operator, during: str) -> None:
    if during == "pull":
        shop.commit("Log in no more", {layout.CONFIGURATION: ((", registry_password]", "]"),)})
    before, version, new = shop.head, shop.version(), shop.push()
    quarantine = shop.quarantine()
    shop.crash("deploy:before")
    subprocess.run(["docker", "stop", "--time", "1", shop.site.registry_container], check=True, capture_output=True)
    try:
        said = shop.run()
        assert said.code == 1, said.text
        assert shop.site.registry in said.stderr
        assert (shop.version(), shop.quarantine(), len(shop.since(before))) == (version, quarantine, 1)
    finally:
        subprocess.run(["docker", "start", shop.site.registry_container], check=True, capture_output=True)
    shop.lab.up()  # it waits until the registry answers
    require_released_once(shop, before, new, shop.run())
