"""What every deployer does. An implementation joins by a field of its own in conftest.py."""

import pytest

from fairlead.deploy.base import Event, Outcome
from fairlead.errors import SiteFault
from tests.conformance.fields import CANARY, IMAGE, Field, deploy_request, running_request


def test_a_release_is_deployed_once(field: Field) -> None:
    first = field.deployer.deploy(deploy_request(field, field.images.old))
    assert (first.outcome, first.reason) == (Outcome.DEPLOYED, "")
    assert [(change.service, change.old, change.new) for change in first.changes] == [(IMAGE, None, field.images.old)]
    again = field.deployer.deploy(deploy_request(field, field.images.old))
    assert (again.outcome, again.changes) == (Outcome.UNCHANGED, ())


def test_a_newer_release_replaces_the_older(field: Field) -> None:
    field.deployer.deploy(deploy_request(field, field.images.old, fence=1))
    result = field.deployer.deploy(deploy_request(field, field.images.new, fence=2))
    assert result.outcome is Outcome.DEPLOYED
    assert [(change.old, change.new) for change in result.changes] == [(field.images.old, field.images.new)]
    assert field.deployer.check_running(running_request(field, field.images.new)).matches


def test_what_runs_is_compared_with_the_pins(field: Field) -> None:
    assert not field.deployer.check_running(running_request(field, field.images.old)).matches
    field.deployer.deploy(deploy_request(field, field.images.old))
    running = field.deployer.check_running(running_request(field, field.images.old))
    assert running.matches
    assert [field.images.old.digest in container.digests for container in running.containers] == [True]
    other = field.deployer.check_running(running_request(field, field.images.new))
    assert IMAGE in " ".join(other.differences)


def test_a_stale_release_is_refused(field: Field) -> None:
    field.deployer.deploy(deploy_request(field, field.images.new, fence=7))
    result = field.deployer.deploy(deploy_request(field, field.images.old, fence=6))
    assert (result.outcome, result.code, result.changes) == (Outcome.SITE_FAULT, "stale", ())
    assert "number 6" in result.reason
    assert "number 7" in result.reason
    assert field.deployer.check_running(running_request(field, field.images.new)).matches


def test_a_broken_image_leaves_the_old_one_serving(field: Field) -> None:
    field.deployer.deploy(deploy_request(field, field.images.old, fence=1))
    result = field.deployer.deploy(deploy_request(field, field.images.broken, fence=2))
    assert (result.outcome, result.code, result.restored) == (Outcome.RELEASE_FAULT, "unhealthy", "yes")
    assert (result.service, IMAGE in result.reason, bool(result.log)) == (IMAGE, True, True)
    assert field.deployer.check_running(running_request(field, field.images.old)).matches


def test_an_image_that_no_registry_has_is_the_releases_fault(field: Field) -> None:
    field.deployer.deploy(deploy_request(field, field.images.old, fence=1))
    result = field.deployer.deploy(deploy_request(field, field.images.missing, fence=2))
    assert (result.outcome, result.code) == (Outcome.RELEASE_FAULT, "image-missing")
    assert field.deployer.check_running(running_request(field, field.images.old)).matches


def test_a_machine_that_does_not_answer_is_the_sites_fault(field: Field) -> None:
    result = field.deployer.deploy(deploy_request(field, field.images.old, vm_ip=field.silent))
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "unreachable")
    assert field.silent in result.reason
    with pytest.raises(SiteFault, match=field.silent):
        field.deployer.check_running(running_request(field, field.images.old, vm_ip=field.silent))


def test_a_dry_run_tells_the_changes_and_makes_none(field: Field) -> None:
    field.deployer.deploy(deploy_request(field, field.images.old, fence=1))
    result = field.deployer.deploy(deploy_request(field, field.images.new, fence=2, dry_run=True))
    assert [(change.old, change.new) for change in result.changes] == [(field.images.old, field.images.new)]
    assert field.deployer.check_running(running_request(field, field.images.old)).matches
    assert field.deployer.deploy(deploy_request(field, field.images.old, fence=1)).outcome is Outcome.UNCHANGED


def test_every_event_has_a_name_and_no_secret(field: Field) -> None:
    events: list[Event] = []
    result = field.deployer.deploy(deploy_request(field, field.images.old, on_event=events.append))
    assert result.ok
    assert events[0].state == "started"
    assert events[-1].state in ("ok", "changed", "skipped")
    assert all(event.name and event.seconds >= 0 for event in events)
    assert CANARY not in repr((events, result))
