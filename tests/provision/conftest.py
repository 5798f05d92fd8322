"""Fixtures for provisioning."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.lab.proxmox_api.api import ProxmoxApi
from tests.fixtures.machines import answering
from tests.fixtures.postgresql import PostgreSQL, free_port
from tests.provision.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path, postgresql: PostgreSQL) -> Iterator[Workshop]:
    """OpenTofu's whole surroundings, with a database and a Proxmox API of this test's own."""
    port = free_port()
    with answering(tmp_path / "keys", port) as backend, ProxmoxApi.start(tmp_path / "proxmox", backend) as api:
        yield Workshop(tmp_path, api, postgresql.database(), port)
