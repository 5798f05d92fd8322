"""How long `fairlead --help` takes, beside a Python that does nothing and one that only imports typer.

Floor: `python -c pass`. "import typer" is what the command line's framework alone costs: what lies between the two
lines is Fairlead's own share.
"""

import sys
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, alternate, arguments, at_most, show
from fairlead.process import run

FLOOR = "python -c pass"
STARTS = {
    FLOOR: (sys.executable, "-c", "pass"),
    "python -c import typer": (sys.executable, "-c", "import typer"),
    "fairlead --help": (str(Path(sys.executable).with_name("fairlead")), "--help"),
    "fairlead --version": (str(Path(sys.executable).with_name("fairlead")), "--version"),
}
GOALS = {"fairlead --help": at_most(200, of="value")}


def main() -> None:
    given = arguments(__doc__, rounds=15).parse_args()
    calls = {name: partial(run, argv) for name, argv in STARTS.items()}
    alternate(calls, rounds=1)  # the first start writes bytecode and fills the page cache
    seconds = alternate(calls, rounds=given.rounds)
    took = {name: [1000 * second for second in times] for name, times in seconds.items()}
    starts = [name for name in STARTS if name != FLOOR]
    show(
        [Figure(name, "ms", took[name], floor=took[FLOOR], goal=GOALS.get(name)) for name in starts], as_json=given.json
    )


if __name__ == "__main__":
    main()
