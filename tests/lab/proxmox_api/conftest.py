"""Clients of the lab's Proxmox API, with all privileges and with those that a deployment gets."""

from collections.abc import Iterator

import pytest

from fairlead.lab.proxmox_api.api import ProxmoxApi
from tests.lab.proxmox_api.client import Client, client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxmoxApi]:
    """A node for tests that leave nothing behind."""
    with ProxmoxApi.start(tmp_path_factory.mktemp("shared-proxmox")) as api:
        yield api


@pytest.fixture(scope="module")
def visitor(shared: ProxmoxApi) -> Iterator[Client]:
    """May do everything on the shared node, and changes nothing."""
    with client(shared) as made:
        yield made


@pytest.fixture
def root(proxmox: ProxmoxApi) -> Iterator[Client]:
    """May do everything."""
    with client(proxmox) as made:
        yield made


@pytest.fixture
def deployer(proxmox: ProxmoxApi) -> Iterator[Client]:
    """Has the token that the lab hands out."""
    with client(proxmox, proxmox.token) as made:
        yield made
