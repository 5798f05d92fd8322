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
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

from fairlead.config import layout
from fairlead.deployment_repo.bump import bump
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        site = prepare(Path(directory), options.processes)
        landed = contend(site, options.processes, options.rounds)
        tries, seconds = [one.tries for one in landed], [one.seconds for one in landed]
        told = {
            "bumps": len(landed),
            "commits": len(site.commits()) - 2,
            "tries": {"median": statistics.median(tries), "most": max(tries)},
            "seconds": {"median": round(statistics.median(seconds), 2), "most": round(max(seconds), 2)},
        }
        print(json.dumps(told, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
