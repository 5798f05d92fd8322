"""The kill matrix: every step of a run, three points of each, and every way in which a process can be lost there.

    python -m tests.faults.matrix [--way alone] [--step deploy]

runs the cells, prints a table and, when all of them were run, writes what came to kill-matrix.json, from which
`make docs` makes the page. The machine is the one of tests/pipeline, kept in a file; git and the processes are real.
"""

import argparse
import json
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.checker import Checker
from tests.pipeline.runner import Pipeline, Process, make_pipeline
from tools.faults import RECORDS, WAYS

POINTS = ("before", "after-effect", "after")
STEPS = ("detect", "bump", "provision", "deploy", "verify", "prove")
RETURN = ("rollback-commit", "rollback-deploy", "rollback-verify", "rollback-prove")
RECORD = RECORDS / "kill-matrix.json"


@dataclass(frozen=True)
class Cell:
    """One fault: at `step:point`, in one way."""

    step: str
    point: str
    way: str

    @property
    def place(self) -> str:
        return f"{self.step}:{self.point}"

    @property
    def ends(self) -> tuple[int, ...]:
        """The exit codes of an attempt that brings the story to its end: proven, or the one before proven again.

        Where two machines end it, one may find that nothing is left to do, or only to prove the way back.
        """
        if self.step not in RETURN:
            return (0,)
        return (0, 6) if self.way == "overtaken" else (6,)


def cells() -> list[Cell]:
    """All of them."""
    return [Cell(step, point, way) for way in WAYS for step in (*STEPS, *RETURN) for point in POINTS]


def violations(pipeline: Pipeline, cell: Cell) -> list[str]:
    """What is not as it should be after this fault, and after one more look."""
    new = pipeline.offer()
    if cell.step in RETURN:
        pipeline.behave(broken=[new.digest])
    elsewhere = pipeline.directory / "elsewhere"
    found = list(_suffer(pipeline, cell, elsewhere))
    code, text = pipeline.run()
    if (code, text) != (0, "outcome none\n"):
        found.append(f"the next look ended with {code}: {text}")
    return found + Checker(pipeline, "staging", (pipeline.state, elsewhere)).violations()


def _suffer(pipeline: Pipeline, cell: Cell, elsewhere: Path) -> Iterator[str]:
    """The fault and what is done about it; what ends otherwise than it should."""
    if cell.way in ("alone", "group"):
        asked = cell.place if cell.way == "alone" else f"{cell.place}@group"
        yield from _expect("the fault", pipeline.run(crash_at=asked), (-signal.SIGKILL,))
        yield from _expect("the second attempt", pipeline.run(), cell.ends)
        return
    stopped = pipeline.start(crash_at=f"{cell.place}@stop")
    wait_until_stopped(stopped)
    if cell.way == "stopped":
        yield from _expect("the second attempt", pipeline.run(), (4,))
    else:
        yield from _expect("the other machine", pipeline.run(FAIRLEAD_STATE_DIR=str(elsewhere)), cell.ends)
    stopped.signal(signal.SIGCONT)
    yield from _expect("the one that woke", (stopped.wait(), stopped.text), cell.ends)


def _expect(who: str, ended: tuple[int, str], codes: tuple[int, ...]) -> Iterator[str]:
    if ended[0] not in codes:
        yield f"{who} ended with {ended[0]}, not {codes}: {ended[1]}"


def wait_until_stopped(process: Process) -> None:
    """Until the kernel says that it is stopped (proc(5): state T)."""
    stat = Path(f"/proc/{process.child.pid}/stat")
    while stat.read_text().rpartition(") ")[2][0] != "T":
        assert process.child.is_alive(), process.text
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--step", choices=(*STEPS, *RETURN))
    options = parser.parse_args()
    chosen = [cell for cell in cells() if options.way in (None, cell.way) and options.step in (None, cell.step)]
    ended = dict(_run(chosen))
    if len(chosen) == len(cells()):
        RECORD.write_text(
            json.dumps({f"{cell.place} {cell.way}": found for cell, found in ended.items()}, indent=1) + "\n"
        )


def _run(chosen: Sequence[Cell]) -> Iterator[tuple[Cell, list[str]]]:
    for cell in chosen:
        with tempfile.TemporaryDirectory() as directory:
            found = violations(make_pipeline(Path(directory)), cell)
        print(f"{cell.place:30} {cell.way:10} {found or 'holds'}", flush=True)  # noqa: T201
        yield cell, found


if __name__ == "__main__":
    main()
