"""The pipeline whose runs are real processes, and the machine of the lab."""

from tests.fixtures.git import site
from tests.pipeline.conftest import pipeline
from tests.scaffold.ansible.conftest import checkout, images, machine, serving

__all__ = ["checkout", "images", "machine", "pipeline", "serving", "site"]
