"""The site that these tests work on."""

from tests.fixtures.git import site

__all__ = ["site"]
