"""Fixtures for every test folder, and which tests share a worker."""

import signal
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from fairlead.config.directories import state_directory
from fairlead.lab import demo, engine, postgresql
from fairlead.lab.images import REGISTRY
from fairlead.lab.progress import at_once
from fairlead.lab.site import Lab

pytest_plugins = [
    "tests.fixtures.lab",
    "tests.fixtures.postgresql",
    "tests.fixtures.proxmox",
    "tests.fixtures.registry",
    "tests.fixtures.shop",
]

# A run that a script started with `&` or nohup ignores SIGINT or SIGHUP, and so would every program under test.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# An example takes as long as a machine that has much else to do needs for it.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Tests that use one machine run one after another: by the beginning of their path, the name of their group.
TOGETHER = {
    "tests/docs/": "docs",  # one recorded session
    "tests/cicd/": "cicd",
    "tests/e2e/test_demo.py": "demo",
    "tests/e2e/test_shop.py": "shop",
    "tests/e2e/test_real_infrastructure.py": "infrastructure",
    "tests/e2e/": "stories",
    "tests/lab/proxmox_api/": "proxmox",
    "tests/lab/": "machine",
    "tests/conformance/": "machine",
    "tests/deploy/test_machine.py": "machine",
    "tests/faults/test_machine.py": "machine",
    "tests/pipeline/test_doctor.py": "machine",
    "tests/cli/test_init.py": "machine",
    "tests/provision/test_ready.py": "machine",
    "tests/scaffold/ansible/test_on_machine.py": "machine",
}
# What takes long begins first, so that the workers end together: groups, then tests that take seconds, then the others.
LONGEST_FIRST = ("machine", "stories", "cicd", "shop", "demo", "infrastructure", "docs", "proxmox")
SECONDS = ("tests/faults/", "tests/provision/", "tests/pipeline/", "tests/cli/")


def group_of(nodeid: str) -> str:
    """The group's name, or the test's own."""
    return next((group for path, group in TOGETHER.items() if nodeid.startswith(path)), nodeid)


def turn_of(nodeid: str) -> int:
    """When a test begins, among the others: the lowest first."""
    group = group_of(nodeid)
    if group in LONGEST_FIRST:
        return LONGEST_FIRST.index(group)
    return len(LONGEST_FIRST) + (not nodeid.startswith(SECONDS))


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """One group on one worker, every other test on whichever is free. (xdist's own marks fail with pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the groups, and leave pytest-randomly's order within them."""
    items.sort(key=lambda item: turn_of(item.nodeid))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start a Docker engine where none answers, as `fairlead lab up` does; `fairlead lab down --engine` stops it."""
    if not hasattr(session.config, "workerinput"):
        lab = Lab("lab", state_directory())
        engine.ensure(lab.docker, lab.own_engine, lab.progress, lab.may_install)
        if session.config.getoption("numprocesses", None):
            make_images(lab)


def make_images(lab: Lab) -> None:
    """Make what several labs need before any worker begins: on a fresh engine each lab would make it for itself."""
    bases = (REGISTRY, postgresql.BASE, *demo.bases(demo.sources(demo.SMALL)))
    makers: list[Callable[[], str]] = [partial(lab.images.base, base) for base in bases]
    at_once([lab.images.machine, *makers], lab.progress.note)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Give pytest-xdist our order, and keep it from sorting by the number of tests."""
    config.option.loadscopereorder = False
    return Scheduling(config, log)
