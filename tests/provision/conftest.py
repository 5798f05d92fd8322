"""Fixtures for provisioning."""

import contextlib
import os
import signal
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
        end_providers(tmp_path)


def end_providers(directory: Path) -> None:
    """A provider whose OpenTofu was killed before they had greeted each other waits for ever."""
    mark = os.fsencode(directory)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            words = (process / "cmdline").read_bytes()
            if words.startswith(mark) and b"terraform-provider-" in words:
                os.kill(int(process.name), signal.SIGKILL)
