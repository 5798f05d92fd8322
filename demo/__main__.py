"""`make demo`: see demo/story.py. In `<state directory>/labs/<lab>/demo`, which `fairlead lab down` removes."""

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from demo.story import tell
from demo.terminal import Say, Terminal, variables_of
from fairlead.config.directories import state_directory
from fairlead.lab.demo import SHOP, SMALL
from fairlead.lab.existing import DEFAULT_NAME
from fairlead.lab.site import Lab

INTERRUPTED = 130


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--small", action="store_true", help="backend, database and gateway alone: quicker")
    parser.add_argument("--lab", default=DEFAULT_NAME, help="the lab's name, for a second demo beside the first")
    began = time.monotonic()
    try:
        given = parser.parse_args()
        stack = SMALL if given.small else SHOP
        play(given.lab, stack, lambda line: print(line, flush=True), os.environ, colour=sys.stdout.isatty())  # noqa: T201
    except KeyboardInterrupt:
        sys.stderr.write("\ndemo: interrupted; make demo goes on where it was, fairlead lab down removes all of it\n")
        return INTERRUPTED
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    sys.stderr.write(f"demo: {minutes} min {seconds} s\n")
    return 0


def play(lab: str, stack: str, say: Say, person: Mapping[str, str], *, colour: bool = False) -> None:
    """The whole story. stack: which application. say: gets each line. person: whose environment it is."""
    place = Lab(lab, state_directory(person))
    with alone(place.directory / "demo") as directory:
        keep_to(stack, directory / "stack", place)
        tell(Terminal(directory, say, variables_of(person, colour=colour)), place, stack)


def keep_to(stack: str, note: Path, lab: Lab) -> None:
    """One lab shows one application, from the first command to the last."""
    begun = note.read_text() if note.exists() else stack
    if begun != stack:
        raise SystemExit(f"demo: this lab shows the {begun} application; first: fairlead lab down{lab.option}")
    note.write_text(stack)


@contextmanager
def alone(directory: Path) -> Iterator[Path]:
    """The demo's directory, for one demo at a time; also a killed one lets go of it."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"demo: another make demo is at work in {directory}") from None
        yield directory


if __name__ == "__main__":
    sys.exit(main())
