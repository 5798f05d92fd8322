"""Contention: several processes, each with a clone and an environment of its own, bump in one repository at once.

    python -m tests.faults.contention [--processes 8] [--rounds 20]

prints how many pushes each bump needed and how long it took.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

from benchmarks.figures import Figure, at_most, show
from fairlead.config import layout
from fairlead.deployment_repo.bump import TRIES, bump
from fairlead.deployment_repo.message import ImageChange
from fairlead.deployment_repo.repository import Repository
from tests.fixtures.git import Site, image, make_site

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Landed:
    """One bump: of which environment, in which round, after how many pushes and seconds."""

    environment: str
    round: int
    commit: str
    tries: int
    seconds: float


def environments(number: int) -> list[str]:
    return [f"place-{place}" for place in range(number)]


def prepare(root: Path, number: int) -> Site:
    """A repository with so many environments, each at 1.0.0, and a clone for each."""
    site = make_site(root)
    pins = f"app_image: {image('backend', '1.0.0')}\n"
    site.write({layout.images_file(name): pins for name in environments(number)}, "Begin")
    for name in environments(number):
        site.clone(name)
    return site


def contend(site: Site, number: int, rounds: int) -> list[Landed]:
    """Bump every environment at the same moment, round after round. Raises what any of them raised."""
    names, barrier = environments(number), _PROCESSES.Barrier(number)
    processes = [
        _PROCESSES.Process(target=_bumper, args=(site.root, name, rounds, barrier), daemon=True) for name in names
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120 + 20 * rounds)
    failed = [name for name, process in zip(names, processes, strict=True) if process.exitcode != 0]
    assert not failed, f"did not end well: {failed}"
    return [Landed(**json.loads(line)) for name in names for line in _record(site.root, name).read_text().splitlines()]


def _bumper(root: Path, name: str, rounds: int, barrier: Barrier) -> None:
    """The process of one environment."""
    repository = Repository.open(root / name)
    with _record(root, name).open("w") as record:
        for number in range(1, rounds + 1):
            old, new = (image("backend", f"1.{minor}.0") for minor in (number - 1, number))
            barrier.wait(120)
            began = time.monotonic()
            made = bump(repository, name, [ImageChange("app_image", old, new)], f"{name}-{number}")
            landed = Landed(name, number, made.commit, made.tries, time.monotonic() - began)
            record.write(json.dumps(asdict(landed)) + "\n")


def _record(root: Path, name: str) -> Path:
    return root / f"{name}.landed"


def astray(site: Site, number: int, rounds: int) -> list[str]:
    """The bumps that are not in the history, and what is there besides: a second one too."""
    wanted = Counter(
        f"build({name}): backend 1.{bumped - 1}.0 → 1.{bumped}.0"
        for name in environments(number)
        for bumped in range(1, rounds + 1)
    )
    made = Counter(site.commits()[:-2])
    return sorted(((wanted - made) + (made - wanted)).elements())


def figures(landed: Sequence[Landed], lost: Sequence[str]) -> list[Figure]:
    """Whether each bump landed exactly once, and what that took."""
    tries, seconds = [one.tries for one in landed], [one.seconds for one in landed]
    return [
        Figure("bumps", "bumps", [len(landed)]),
        Figure("bumps that landed not at all or twice", "bumps", [len(lost)], goal=at_most(0, of="value")),
        Figure("pushes of one bump, median", "pushes", [statistics.median(tries)]),
        Figure("pushes of one bump, most", "pushes", [max(tries)], goal=at_most(TRIES, of="value")),
        Figure("time of one bump, median", "s", [statistics.median(seconds)]),
        Figure("time of one bump, longest", "s", [max(seconds)]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        site = prepare(Path(directory), options.processes)
        landed = contend(site, options.processes, options.rounds)
        show(figures(landed, astray(site, options.processes, options.rounds)), as_json=options.json)


if __name__ == "__main__":
    main()
