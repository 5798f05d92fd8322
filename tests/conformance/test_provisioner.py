"""What every provisioner does."""

from pathlib import Path

import pytest

from fairlead.config.models import StaticProvision
from fairlead.provision.base import Provisioner, ProvisionRequest
from fairlead.provision.fake import FakeProvisioner
from fairlead.provision.static import StaticProvisioner

ADDRESSES = {"staging": "10.0.0.5", "production": "10.0.0.6"}


@pytest.fixture(params=["static", "fake"])
def provisioner(request: pytest.FixtureRequest) -> Provisioner:
    """Every provisioner, one after the other."""
    return (
        FakeProvisioner()
        if request.param == "fake"
        else StaticProvisioner(StaticProvision(by="static", addresses=ADDRESSES))
    )


def request_for(environment: str, *, plan_only: bool = False) -> ProvisionRequest:
    return ProvisionRequest(environment=environment, app="shop", commit="c" * 40, checkout=Path(), plan_only=plan_only)


def test_the_second_time_changes_nothing(provisioner: Provisioner) -> None:
    first = provisioner.provision(request_for("staging"))
    second = provisioner.provision(request_for("staging"))
    assert first.vm_ip
    assert (second.vm_ip, second.changed, second.changes) == (first.vm_ip, False, ())


def test_environments_have_machines_of_their_own(provisioner: Provisioner) -> None:
    assert provisioner.provision(request_for("staging")).vm_ip != provisioner.provision(request_for("production")).vm_ip


def test_a_plan_changes_nothing(provisioner: Provisioner) -> None:
    planned = provisioner.provision(request_for("staging", plan_only=True))
    made = provisioner.provision(request_for("staging"))
    assert planned.changed == made.changed
    assert planned.changes == made.changes
