"""A deployment repository to deploy from."""

from pathlib import Path

import pytest

from tests.fixtures.git import Site, make_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A bare remote, and the working copy of a person."""
    return make_site(tmp_path)
