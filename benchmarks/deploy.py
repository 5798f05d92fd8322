"""One new backend on one lab machine under 100 requests a second: Fairlead, the floor, and what others use.

All deploy the small application (backend, database, gateway), each with a gateway and images of its own, on the same
machine, in turn. Per contender: the wall time, the seconds until the new version answers, and the failed requests.

- fairlead: the deploy stage on an opened scope. fairlead-command: `fairlead deploy`, the whole process.
- floor: start-first by hand over one ssh connection: pull, start beside, wait, stop the old one.
- compose: `docker compose pull` and `up --wait`, in place. playbook: command tasks in a plain playbook.
- kamal: `kamal deploy --skip-push`, behind its own proxy.

With `--stack shop`: the five services, and Fairlead alone, which replaces their backend again and again under one load
until so many requests were sent. How many failed? Which other container was touched?
"""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.by_hand import IN_PLACE, START_FIRST, OverSsh, PlainPlaybook
from benchmarks.figures import Figure, Goal, arguments, at_least, at_most, show
from benchmarks.kamal import Kamal
from benchmarks.load import RATE, Load
from benchmarks.site import Ground, Repository, say
from fairlead.images import ImageReference
from fairlead.lab import demo
from fairlead.pipeline import rollout
from fairlead.provision.base import Machine

FLOOR, GOAL = "floor", "fairlead"
ENOUGH = 10_000  # requests while the shop's backend is replaced
SHOP_PORT = 8200
CONTENDERS = (GOAL, "fairlead-command", FLOOR, "kamal", "compose", "playbook")


class Contender(Protocol):
    """A way to deploy. address: where its gateway answers."""

    @property
    def address(self) -> str: ...

    def begin(self, backend: ImageReference) -> None:
        """The whole application, for the first time."""

    def prepare(self, backend: ImageReference) -> None:
        """What is there before a deploy begins, such as the commit."""

    def deploy(self, backend: ImageReference) -> None:
        """What is measured."""


@dataclass
class Stage:
    """Fairlead's deploy stage. phases: seconds by phase, per deploy."""

    repository: Repository
    phases: list[dict[str, float]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.repository.address

    def begin(self, backend: ImageReference) -> None:
        self.prepare(backend)
        self.deploy(backend)
        self.phases.clear()

    def prepare(self, backend: ImageReference) -> None:
        self.repository.pin(backend)
        self._scope = self.repository.scope()
        self._machine = Machine(self.repository.ground.machine.address)

    def deploy(self, backend: ImageReference) -> None:
        began = time.monotonic()
        result = rollout.deploy(self._scope, self._machine, "bench")
        seconds = time.monotonic() - began
        if not result.ok:
            raise SystemExit(f"{backend} was not deployed: {result.reason} {result.log}")
        tasks = sum(taken for name, taken in result.timings.items() if not name.startswith("machine: "))
        self.phases.append({"before the first task, and after the last": seconds - tasks, **result.timings})


@dataclass
class Command(Stage):
    """`fairlead deploy` as a process of its own."""

    def deploy(self, backend: ImageReference) -> None:  # noqa: ARG002 - the commit says it
        self.repository.fairlead("deploy", "-e", "staging", "--vm-ip", self.repository.ground.machine.address)


@dataclass
class Measured:
    """What one contender's rounds gave."""

    wall: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)

    def add(self, load: Load, version: str) -> None:
        self.wall.append(load.seconds)
        self.answers.append(load.first(version))
        self.failed.append(load.failed)


def contenders(ground: Ground, names: Sequence[str]) -> dict[str, Contender]:
    """Those that are asked for, each with the first release running."""
    made: dict[str, Contender] = {}
    for position, name in enumerate(names):
        app, port = f"bench-{name}", 8100 + position
        if name == "fairlead":
            made[name] = Stage(ground.repository(app, port))
        elif name == "fairlead-command":
            made[name] = Command(ground.repository(app, port))
        elif name == "kamal":
            made[name] = Kamal(ground, app, port)
        elif name == "playbook":
            made[name] = PlainPlaybook(ground, app, port)
        else:
            made[name] = OverSsh(ground, app, port, {"floor": START_FIRST, "compose": IN_PLACE}[name])
    for name, contender in made.items():
        say(f"{name}: the first release")
        contender.begin(ground.push(f"bench-{name}", "1.0.0"))
    return made


def measure(ground: Ground, made: Mapping[str, Contender], rounds: int) -> dict[str, Measured]:
    """Every contender once per round, with a version that nobody has pulled."""
    measured = {name: Measured() for name in made}
    for number in range(1, rounds + 1):
        for name, contender in made.items():
            version = f"1.{number}.0"
            image = ground.push(f"bench-{name}", version)
            contender.prepare(image)
            with Load(contender.address) as load:
                contender.deploy(image)
            measured[name].add(load, version)
            told = f"{load.seconds:.2f} s, new version after {load.first(version):.2f} s"
            say(f"round {number}: {name}: {told}, {load.failed} of {load.sent} requests failed")
    return measured


def figures(measured: Mapping[str, Measured]) -> list[Figure]:
    """Three per contender. The deploy stage has goals: the floor, and no failed request."""
    floor = measured.get(FLOOR, Measured())
    found = []
    for name, taken in measured.items():
        own = name.startswith(GOAL)
        beside = Measured() if name == FLOOR else floor
        goal: Goal | None = at_most(1.3) if name == GOAL else None
        found += [
            Figure(f"{name}: wall", "s", taken.wall, beside.wall, goal),
            Figure(f"{name}: new version answers", "s", taken.answers, beside.answers),
            Figure(f"{name}: failed requests", "", taken.failed, goal=at_most(0, of="value") if own else None),
        ]
    return found


@dataclass
class Replacements:
    """What came of replacing one service of many. wall: seconds per deploy."""

    wall: list[float] = field(default_factory=list)
    sent: int = 0
    failed: int = 0
    touched: int = 0

    def figures(self) -> list[Figure]:
        prefix = "five services, backend replaced"
        return [
            Figure(f"{prefix}: wall", "s", self.wall),
            Figure(f"{prefix}: requests", "", [self.sent], goal=at_least(ENOUGH, of="value")),
            Figure(f"{prefix}: failed requests", "", [self.failed], goal=at_most(0, of="value")),
            Figure(f"{prefix}: other containers touched", "", [self.touched], goal=at_most(0, of="value")),
        ]


def replace_backend(ground: Ground, app: str = "bench-shop") -> Replacements:
    """New versions of the backend, one after another, under one load."""
    stage, taken = Stage(ground.repository(app, SHOP_PORT)), Replacements()
    say("the first release: Keycloak makes its tables")
    stage.begin(ground.push(app, "1.0.0"))
    before, began = other_containers(ground, app), time.monotonic()
    with Load(stage.address) as load:
        while (time.monotonic() - began) * RATE < ENOUGH * 1.05:
            image = ground.push(app, f"1.{len(taken.wall) + 1}.0")
            stage.prepare(image)
            begun = time.monotonic()
            stage.deploy(image)
            taken.wall.append(time.monotonic() - begun)
            say(f"{image.tag}: {taken.wall[-1]:.2f} s")
    taken.sent, taken.failed = load.sent, load.failed
    taken.touched = len(before ^ other_containers(ground, app))
    return taken


def other_containers(ground: Ground, app: str) -> set[str]:
    """Service and id of everything but the backend."""
    listed = f"docker ps --all --no-trunc --filter label=com.docker.compose.project={app} --format"
    said = ground.on_machine(f"{listed} '{{{{.Label \"com.docker.compose.service\"}}}} {{{{.ID}}}}'")
    return {line for line in said.splitlines() if not line.startswith("backend ")}


def phase_table(phases: Sequence[Mapping[str, float]]) -> str:
    """Where the deploy stage's time goes: the median of each phase. `machine:` is inside the task Deploy."""
    names = dict.fromkeys(name for one in phases for name in one)
    medians = {name: statistics.median(one.get(name, 0.0) for one in phases) for name in names}
    return "\n".join(f"  {name:44}{seconds:6.2f} s" for name, seconds in medians.items())


def compare(ground: Ground, names: Sequence[str], rounds: int) -> list[Figure]:
    """The contenders, with the small application."""
    made = contenders(ground, names)
    measured = measure(ground, made, rounds)
    if isinstance(stage := made.get(GOAL), Stage):
        say(f"Where the deploy stage's time goes:\n{phase_table(stage.phases)}")
    return figures(measured)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--only", default=",".join(CONTENDERS), help="contenders with commas between (%(default)s)")
    parser.add_argument("--stack", choices=tuple(demo.STACKS), default=demo.SMALL, help="which application")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as directory:
        ground = Ground.up(Path(directory), stack=given.stack)
        try:
            if ground.stack == demo.SHOP:
                found = replace_backend(ground).figures()
            else:
                found = compare(ground, given.only.split(","), given.rounds)
        finally:
            ground.clear()
    show(found, as_json=given.json)


if __name__ == "__main__":
    main()
