"""Each target with a few hundred inputs, the same in every run; `python -m tests.fuzz` goes on for hours if asked."""

import pytest

from tests.fuzz.fuzzing import run
from tests.fuzz.targets import TARGETS, Target, pure

FEW = {"registry-json": 60, "fairlead.yaml": 60}  # a connection, or a long file, for each


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_it(name: str) -> None:
    run(TARGETS[name], FEW.get(name, 300), derandomize=True)


def test_a_finding_is_found() -> None:
    """The harness sees an error that is not allowed."""

    def fragile(text: str) -> None:
        if "{{" in text:
            raise KeyError(text)

    with pytest.raises(KeyError):
        run(Target(TARGETS["references"].inputs, pure(fragile)), 300, derandomize=True)
