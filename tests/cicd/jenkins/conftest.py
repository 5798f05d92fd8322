"""The harness, fetched and compiled once for all sessions."""

import os
from pathlib import Path

import pytest

from tests.cicd.jenkins.server import classpath


@pytest.fixture(scope="session")
def harness() -> str:
    """The class path of the harness."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return classpath(Path(home, "fairlead-tests", "jenkins"))
