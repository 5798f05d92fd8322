"""The API as a process of its own: it answers when its starter returns, is alone, and ends when told."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead import process
from fairlead.lab import background
from fairlead.lab.proxmox_api.cluster import tokens_at
from tests.fixtures.registry import free_port
from tests.lab.proxmox_api.client import connected


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """For its state."""
    yield tmp_path / "proxmox"
    background.end(tmp_path / "proxmox")


def start(directory: Path, port: int, expect: int = 0) -> process.Completed:
    """As a lab does, with no machine behind it yet."""
    argv = [sys.executable, "-m", "fairlead.lab.proxmox_api", "--directory", str(directory), "--address", "127.0.0.1",
            "--port", str(port), "--lab", "x", "--registry", "127.0.0.1:1", "--image", "none",
            "--lab-directory", str(directory.parent)]  # fmt: skip
    return process.run(argv, timeout=60, expect=[expect])


def test_it_answers_when_its_starter_returns_and_ends_when_told(directory: Path) -> None:
    """Its number is believed only while it lives."""
    port = free_port()
    start(directory, port)
    number = background.serving(directory)
    assert number not in (None, os.getpid())
    tokens = tokens_at(directory)
    assert tokens is not None
    with connected(f"https://127.0.0.1:{port}/", directory / "ca.pem", tokens.lab) as client:
        assert client.get("/version")["release"] == "9.1"

    second = start(directory, free_port(), expect=1)
    assert "Another process serves it" in second.stderr
    assert background.serving(directory) == number

    assert background.end(directory)
    assert background.serving(directory) is None
    assert not background.end(directory)


def test_a_port_that_is_taken_is_said(directory: Path) -> None:
    """By the starter."""
    port = free_port()
    start(directory, port)
    other = directory.with_name("other")
    assert "Address already in use" in start(other, port, expect=1).stderr
    assert background.serving(other) is None
