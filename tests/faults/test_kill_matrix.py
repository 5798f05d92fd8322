"""The kill matrix, as far as it fits into every test run; `python -m tests.faults.matrix` goes through all of it."""

import json

import pytest

from tests.faults.checker import Checker
from tests.faults.matrix import RECORD, RETURN, STEPS, Cell, cells, violations
from tests.pipeline.runner import Pipeline

# Where a zombie could do the most harm, and one of each other way.
CHOSEN = (
    Cell("detect", "after", "overtaken"),
    Cell("bump", "before", "overtaken"),
    Cell("deploy", "before", "overtaken"),
    Cell("deploy", "after-effect", "overtaken"),
    Cell("prove", "before", "overtaken"),
    Cell("rollback-commit", "before", "overtaken"),
    Cell("rollback-deploy", "before", "overtaken"),
    Cell("bump", "after-effect", "stopped"),
    Cell("rollback-verify", "after", "stopped"),
    Cell("deploy", "after-effect", "group"),
)
# After one step is before the next one, and a look has no effect: the same moment is tried once.
TWICE = {f"{step}:after" for step in (*STEPS[1:-1], *RETURN[:-1])} | {"detect:before", "detect:after-effect"}
ALONE = tuple(cell for cell in cells() if cell.way == "alone" and cell.place not in TWICE)


@pytest.mark.parametrize("cell", [*ALONE, *CHOSEN], ids=lambda cell: f"{cell.place}-{cell.way}")
def test_whatever_is_lost_the_invariants_hold(pipeline: Pipeline, cell: Cell) -> None:
    assert violations(pipeline, cell) == []


def test_every_cell_has_been_tried_and_holds() -> None:
    """The record of the whole matrix, from which the page is made."""
    record = json.loads(RECORD.read_text())
    assert set(record) == {f"{cell.place} {cell.way}" for cell in cells()}
    assert {place: found for place, found in record.items() if found} == {}


def test_the_checker_sees_what_is_wrong(pipeline: Pipeline) -> None:
    """A run that was killed and never taken up again, on a machine that runs something else."""
    pipeline.offer()
    pipeline.run(crash_at="deploy:after-effect")
    machine = pipeline.machine("staging") / "machines.json"
    machine.write_text(machine.read_text().replace("1.1.0", "6.6.6"))
    found = Checker(pipeline, "staging", (pipeline.state,)).violations()
    numbers = {line.partition(":")[0] for line in found}
    assert {"1", "4", "6", "8"} <= numbers, found
    assert any("6.6.6" in line for line in found)
    assert any("is PENDING" in line for line in found)
