"""What every provisioner does: the shipped fake, addresses that are given, and the real OpenTofu."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fairlead.provision.base import Machine, Provisioner, ProvisionRequest
from fairlead.provision.fake import FakeProvisioner
from fairlead.provision.static import StaticProvisioner
from tests.provision.conftest import workshop  # noqa: F401 - a fixture
from tests.provision.workshop import Workshop

ADDRESSES = {"staging": "10.0.0.5", "production": "10.0.0.6"}


@dataclass
class Site:
    """A provisioner, and what is asked of it. learn: what a commit would do with what it says."""

    provisioner: Provisioner
    ask: Callable[..., ProvisionRequest]
    learn: Callable[[Machine], None] = lambda _machine: None

    def provision(self, environment: str, *, plan_only: bool = False) -> Machine:
        machine = self.provisioner.provision(self.ask(environment, plan_only=plan_only))
        self.learn(machine)
        return machine


@dataclass
class ByEnvironment:
    """OpenTofu, with a directory for each environment, as rollout makes it."""

    workshop: Workshop

    def provision(self, request: ProvisionRequest) -> Machine:
        return self.workshop.provisioner(f"state/{request.environment}").provision(request)


@pytest.fixture(params=["static", "fake", "opentofu"])
def site(request: pytest.FixtureRequest) -> Site:
    """Every provisioner, one after the other."""
    if request.param == "fake":
        return Site(FakeProvisioner(), request_for)
    if request.param == "static":
        return Site(StaticProvisioner(ADDRESSES), request_for)
    shop: Workshop = request.getfixturevalue("workshop")
    return Site(ByEnvironment(shop), shop.request, shop.learn)


def request_for(environment: str, *, plan_only: bool = False) -> ProvisionRequest:
    return ProvisionRequest(environment=environment, app="shop", commit="c" * 40, checkout=Path(), plan_only=plan_only)


def test_the_second_time_changes_nothing(site: Site) -> None:
    first = site.provision("staging")
    second = site.provision("staging")
    assert first.vm_ip
    assert (second.vm_ip, second.changed, second.changes) == (first.vm_ip, False, ())


def test_environments_have_machines_of_their_own(site: Site) -> None:
    assert site.provision("staging").vm_ip != site.provision("production").vm_ip


def test_a_plan_changes_nothing(site: Site) -> None:
    planned = site.provision("staging", plan_only=True)
    assert site.provision("staging", plan_only=True) == planned
    made = site.provision("staging")
    assert planned.changed == made.changed
    assert planned.changes == made.changes
