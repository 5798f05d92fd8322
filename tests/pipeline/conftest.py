"""A pipeline whose runs are real processes."""

from pathlib import Path

import pytest

from tests.pipeline.runner import Pipeline, make_pipeline
from tests.registry.conftest import basic_registry, tls_registry

__all__ = ["basic_registry", "tls_registry"]


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """Fresh: there is nothing to do."""
    return make_pipeline(tmp_path)
