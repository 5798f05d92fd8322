"""A deployment repository to deploy from, and the machine and images of tests/conformance to deploy to."""

from pathlib import Path

import pytest

from tests.conformance.conftest import ansible_field, lab_images
from tests.fixtures.git import Site, make_site

__all__ = ["ansible_field", "lab_images"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A bare remote, and the working copy of a person."""
    return make_site(tmp_path)
