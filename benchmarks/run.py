"""`fairlead run` as a whole process, on one lab machine: with nothing to do, from a push to the proof, back, resumed.

- nothing to do: the head is proven, and no newer image is there.
- push to proof: a new backend is in the registry; detect, bump, provision, deploy, verify, prove. Floor: the stage
  commands by hand, one after the other. With `stable_for` the release is looked at again after so long.
- failed verification to proven old release: a backend that answers another version than its own is rolled back;
  counted from the end of the failed verification to the proof of the release before, whose image is on the machine.
- resumed after a kill: `fairlead run` after a kill -9 at the end of the deploy, from its start to the proof.
"""

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from benchmarks.figures import Figure, arguments, at_most, show, timed
from benchmarks.site import Ground, Repository, say
from fairlead.images import ImageReference
from fairlead.pipeline.log import Entry, State, read
from fairlead.pipeline.runs import directory_of

ROLLED_BACK, KILLED = 6, -9
STABLE = "5s"
RUN = ("run", "-e", "staging")
BY_HAND = (("bump", "-e", "staging"), ("deploy", "-e", "staging"), ("verify", "-e", "staging"))


class Site:
    """An application with its repository, and the next version of its backend."""

    def __init__(self, ground: Ground, app: str, port: int, stable_for: str) -> None:
        self.app, self.ground = app, ground
        self.repository = ground.repository(app, port, stable_for)
        self.taken: dict[str, list[float]] = {}
        self._number = 0
        self.repository.pin(self.push())
        self.repository.fairlead(*RUN)

    def push(self, variant: str = "") -> ImageReference:
        """A new version of the backend in the registry."""
        self._number += 1
        return self.ground.push(self.app, f"1.{self._number}.0", variant)

    def measure(self, name: str, *commands: Sequence[str], expect: int = 0) -> None:
        """The seconds of these commands, one after the other."""

        def each() -> None:
            for words in commands:
                self.repository.fairlead(*words, expect=expect)

        self.add(name, timed(each))

    def add(self, name: str, seconds: float) -> None:
        self.taken.setdefault(name, []).append(seconds)
        say(f"{self.app}: {name}: {seconds:.2f} s")

    def round(self) -> None:
        """Everything once."""
        self.measure("nothing to do", RUN)
        self.push()
        self.measure("push to proof", RUN)
        self.push()
        self.measure("floor", *BY_HAND)
        self.push()
        self.repository.fairlead(*RUN, expect=KILLED, FAIRLEAD_CRASH_AT="deploy:after")
        self.measure("resumed after a kill", RUN)
        self.push("wrong-version")
        self.measure("push to rolled back", RUN, expect=ROLLED_BACK)
        self.add("failed verification to proven old release", way_back(newest_log(self.repository, self.app)))


def newest_log(repository: Repository, app: str) -> list[Entry]:
    """What the last run did."""
    directory = directory_of(Path(repository.environment["FAIRLEAD_STATE_DIR"]), app, "staging")
    return list(read(max(directory.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)))


def way_back(entries: Sequence[Entry]) -> float:
    """Seconds from the end of the failed verification to the old release's proof."""
    ends = {entry.stage: datetime.fromisoformat(entry.time) for entry in entries if entry.state is not State.STARTED}
    return (ends["rollback-prove"] - ends["verify"]).total_seconds()


def figures(taken: dict[str, list[float]], suffix: str) -> list[Figure]:
    """What is told of one site."""
    back = "failed verification to proven old release"
    return [
        Figure(f"nothing to do{suffix}", "s", taken["nothing to do"], goal=at_most(1.5, of="value")),
        Figure(f"push to proof{suffix}", "s", taken["push to proof"], taken["floor"]),
        Figure(f"resumed after a kill{suffix}", "s", taken["resumed after a kill"]),
        Figure(f"{back}{suffix}", "s", taken[back], goal=at_most(10, of="value")),
    ]


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__, rounds=3).parse_args()
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as directory:
        ground = Ground.up(Path(directory))
        try:
            plain = Site(ground, "bench-run", 8140, "0s")
            stable = Site(ground, "bench-stable", 8141, STABLE)
            for _ in range(given.rounds):
                plain.round()
                stable.round()
        finally:
            ground.clear()
    show(figures(plain.taken, "") + figures(stable.taken, f", stable_for {STABLE}"), as_json=given.json)


if __name__ == "__main__":
    main()
