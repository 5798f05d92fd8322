"""One lab, one application and one operator for all stories, which run one after another on one worker."""

from collections.abc import Iterator

import pytest

from fairlead.lab.site import Lab
from tests.e2e.operator import Operator
from tests.fixtures.lab import PREFIX, remove_abandoned, session_process


@pytest.fixture(scope="package")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator with a site, on which 1.0.0 is proven in staging."""
    root = tmp_path_factory.mktemp("operator")
    remove_abandoned()
    made = Operator(Lab(f"{PREFIX}{session_process()}-e2e", root / "state"), root)
    try:
        made.begin()
        yield made
    finally:
        made.lab.down()


@pytest.fixture
def shop(operator: Operator) -> Operator:
    """The operator, whose staging serves a good release that is proven."""
    operator.settle()
    return operator
