"""Many releases in a row on one machine: what grows, and whether a release takes longer than at the beginning.

    python -m benchmarks.soak [--releases 100] [--json]

Each release is a push of a new backend and a `fairlead run` as a process of its own. After each one are read: on the
machine, the engine's disk, its images and containers; here, the state directory, what is left in the temporary
directory, and the most memory that the command and its children had. Two releases warm up and are not counted.
"""

import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, arguments, at_most, show
from benchmarks.site import Ground, Repository, say

LAB, APP, PORT, WARM_UP = "soak", "bench-soak", 8150, 2
# Bytes of the engine's data, images, containers, and open descriptors of the engine, one line each.
LOOK = """\
sudo du --summarize --block-size=1 /var/lib/docker | cut -f1
docker images --all --quiet | sort --unique | wc -l
docker ps --all --quiet | wc -l
sudo ls /proc/$(cat /run/docker.pid)/fd | wc -l
sudo find /opt /var/lib/fairlead /run/fairlead /tmp -name '*' 2> /dev/null | wc -l
"""


@dataclass(frozen=True)
class Look:
    """What is there after a release. disk, state: MiB. files: of Fairlead and in /tmp, there. left: in /tmp, here.

    processor: seconds that the command and its children took here, which other work on the machine does not change.
    memory: MiB, the most that any of the commands so far had, with its children.
    """

    seconds: float
    processor: float
    disk: float
    images: int
    containers: int
    descriptors: int
    files: int
    state: float
    left: int
    memory: float


def release(ground: Ground, repository: Repository, number: int) -> Look:
    """One release, and what is there afterwards."""
    ground.push(APP, f"1.{number}.0")
    began, taken = time.perf_counter(), processor()
    repository.fairlead("run", "-e", "staging", TMPDIR=str(temporary(ground)))
    seconds, taken = time.perf_counter() - began, processor() - taken
    disk, images, containers, descriptors, files = (int(line) for line in ground.on_machine(LOOK).split())
    state = sum(path.stat().st_size for path in (ground.directory / "state").rglob("*") if path.is_file())
    return Look(
        seconds=seconds,
        processor=taken,
        disk=disk / 2**20,
        images=images,
        containers=containers,
        descriptors=descriptors,
        files=files,
        state=state / 2**20,
        left=len(list(temporary(ground).iterdir())),
        memory=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    )


def processor() -> float:
    """Seconds of all commands so far, and of what they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def temporary(ground: Ground) -> Path:
    place = ground.directory / "tmp"
    place.mkdir(exist_ok=True)
    return place


def figures(looks: Sequence[Look]) -> list[Figure]:
    """First and last, and what lies between."""
    ends = looks[:10], looks[-10:]
    first, last = ([look.seconds for look in part] for part in ends)
    early, late = (median(look.processor for look in part) for part in ends)

    def grown(name: str, unit: str, of: str, bound: float | None = None) -> Figure:
        begun, ended = (float(getattr(look, of)) for look in (looks[0], looks[-1]))
        goal = None if bound is None else at_most(bound, of="value")
        return Figure(f"{name}, grown over {len(looks)} releases", unit, [ended - begun], goal=goal)

    return [
        Figure("seconds per release", "s", [look.seconds for look in looks]),
        Figure("seconds per release, the first ten", "s", first),
        Figure("seconds per release, the last ten", "s", last),
        Figure("last ten by first ten", "times", [median(last) / median(first)], goal=at_most(1.2, of="value")),
        Figure("processor per release, last ten by first ten", "times", [late / early], goal=at_most(1.2, of="value")),
        grown("the engine's disk", "MiB", "disk"),
        grown("images on the machine", "images", "images", 0),
        grown("containers on the machine", "containers", "containers", 0),
        grown("the engine's descriptors", "descriptors", "descriptors"),
        grown("files on the machine", "files", "files"),
        grown("state directory", "MiB", "state"),
        grown("entries left in the temporary directory", "entries", "left", 0),
        Figure("most memory of fairlead run and its children", "MiB", [look.memory for look in looks]),
    ]


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--releases", type=int, default=100, help="default: %(default)s")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as directory:
        ground = Ground.up(Path(directory), LAB)
        try:
            repository = ground.repository(APP, PORT)
            repository.pin(ground.push(APP, "0.1.0"))
            repository.fairlead("run", "-e", "staging")
            looks = []
            for number in range(1, given.releases + WARM_UP + 1):
                looks.append(release(ground, repository, number))
                say(f"{number}: {looks[-1]}")
        finally:
            ground.clear()
    show(figures(looks[WARM_UP:]), as_json=given.json)


if __name__ == "__main__":
    main()
