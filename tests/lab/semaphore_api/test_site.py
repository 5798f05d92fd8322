"""`fairlead lab up --semaphore`: a part of the lab, started again where it is gone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.lab import semaphore
from fairlead.lab.semaphore import Semaphore, SemaphorePlan
from fairlead.lab.site import Lab, Site
from fairlead.lab.status import status_of

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def deployer(lab_site: Site, session_lab: Lab) -> Iterator[Semaphore]:
    """The shared lab with a Semaphore, for a while."""
    made = session_lab.up(with_semaphore=True).semaphore
    assert made
    yield made
    assert semaphore.end(session_lab.directory)
    for path in sorted(semaphore.place_in(session_lab.directory).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    semaphore.place_in(session_lab.directory).rmdir()


def test_its_command_line_holds_places_and_no_secret(tmp_path: Path, lab_site: Site, session_lab: Lab) -> None:
    network = session_lab.existing.network()
    assert network
    plan = SemaphorePlan(tmp_path, network)
    assert plan.start_argv()[-6:] == [
        "fairlead.lab.semaphore_api",
        str(tmp_path / "semaphore"),
        "--address",
        str(network[1]),
        "--port",
        "3000",
    ]


def test_it_is_a_part_of_the_lab_and_is_started_again(deployer: Semaphore, session_lab: Lab) -> None:
    assert session_lab.site().semaphore == deployer
    assert deployer.token_file.stat().st_mode & 0o777 == 0o600
    token = deployer.token_file.read_text()
    assert (session_lab.site().secrets / "control" / "semaphore_token").read_text() == token
    assert token not in json.dumps(session_lab.site().as_document())
    assert semaphore.end(session_lab.directory)
    [part] = [part for part in status_of(session_lab).infrastructure if part.name == "semaphore"]
    assert (part.state, part.healthy) == ("exited", False)
    assert session_lab.up().semaphore == deployer
    [part] = [part for part in status_of(session_lab).infrastructure if part.name == "semaphore"]
    assert (part.state, part.healthy) == ("running", True)
    assert deployer.token_file.read_text() == token
