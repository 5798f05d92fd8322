"""The pipeline whose runs are real processes, and the machine of the lab."""

from tests.fixtures.git import site
from tests.pipeline.conftest import pipeline

__all__ = ["pipeline", "site"]
