"""The fields that deployers are tested on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.lab.site import Lab, Site
from tests.conformance.fields import AnsibleField, FakeField, Field, Images, SemaphoreField, push_images
from tests.fixtures.lab import remove_application
from tests.lab.semaphore_api.running import Running, running


@pytest.fixture(scope="session")
def lab_images(lab_site: Site, session_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Images for the lab's machines, in its registry."""
    return push_images(session_lab, tmp_path_factory.mktemp("image"))


@pytest.fixture
def ansible_field(lab_site: Site, session_lab: Lab, lab_images: Images, tmp_path: Path) -> Iterator[AnsibleField]:
    """The built-in deployer and the lab's machine of staging."""
    made = AnsibleField(tmp_path, lab_site, lab_images)
    yield made
    remove_application(session_lab, lab_site, made.app)


@pytest.fixture(scope="session")
def semaphore_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The lab's stand-in for Semaphore."""
    with running(tmp_path_factory.mktemp("semaphore")) as made:
        yield made


@pytest.fixture
def semaphore_field(
    lab_site: Site, session_lab: Lab, lab_images: Images, semaphore_server: Running, tmp_path: Path
) -> Iterator[SemaphoreField]:
    """The deployer by Semaphore and the lab's machine of staging."""
    made = SemaphoreField(tmp_path, lab_site, lab_images, semaphore_server)
    yield made
    semaphore_server.plan()
    remove_application(session_lab, lab_site, made.app)


@pytest.fixture(params=["fake", *(pytest.param(name, marks=pytest.mark.lab) for name in ("ansible", "semaphore"))])
def field(request: pytest.FixtureRequest, tmp_path: Path) -> Field:
    """Every deployer, one after the other."""
    if request.param == "fake":
        return FakeField(tmp_path)
    made: Field = request.getfixturevalue(f"{request.param}_field")
    return made
