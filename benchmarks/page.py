"""The page of figures, from what benchmarks printed with --json.

    python -m benchmarks.page deploy.json run.json > docs/reference/figures.md

A file's name is its benchmark's.
"""

import json
import sys
from pathlib import Path

HEAD = """\
# Figures

Written by `python -m benchmarks.page` from what `python -m benchmarks.NAME --json` printed, and
`python -m tests.faults.contention`. Values are medians of the rounds. A floor is what the bare tools cost, measured in
turn with Fairlead on the same machine (2 cores, which also carry the load and the lab). Ratios carry over to other
machines, seconds do not. bump, contention, orchestrators and registry_checks were measured beside other tests, with
some eight processes waiting for the two cores: there seconds vary.
"""
COLUMNS = ("figure", "value", "floor", "ratio", "goal", "met", "rounds")
MET = {True: "yes", False: "**no**", None: ""}


def page(paths: list[Path]) -> str:
    return HEAD + "".join(f"\n## {path.stem}\n\n{table(json.loads(path.read_text()))}" for path in paths)


def table(figures: dict[str, dict[str, object]]) -> str:
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(row(name, figure) for name, figure in figures.items())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def row(name: str, figure: dict[str, object]) -> tuple[str, ...]:
    rounds = figure["rounds"]
    assert isinstance(rounds, list)
    told = [figure["value"], figure["floor"], figure["ratio"], figure["goal"]]
    cells = ["" if value is None else str(value) for value in told]
    cells[0] = f"{cells[0]} {figure['unit']}".strip()
    met = MET[figure["met"]]  # type: ignore[index]
    return (name, *cells, met, _told(rounds))


def _told(rounds: list[float]) -> str:
    """All of them, or where they are many the least and the most."""
    return f"{min(rounds)} to {max(rounds)} ({len(rounds)})" if len(rounds) > 10 else ", ".join(map(str, rounds))


if __name__ == "__main__":
    print(page([Path(name) for name in sys.argv[1:]]), end="")
