"""`fairlead run` in real processes that can be killed: real git, a machine that is kept in a file.

The processes are forked from a server that has imported everything, so that one costs tens of milliseconds.
"""

import errno
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairlead.config import layout
from fairlead.config.variables import read_variables
from fairlead.deploy.base import DeployRequest, DeployResult, Event, Outcome, Running, RunningRequest
from fairlead.deploy.fake import FakeDeployer, FakeMachine
from fairlead.deployment_repo.proofs import Proof, Proofs
from fairlead.deployment_repo.repository import Repository
from fairlead.errors import FairleadError
from fairlead.images import ImageReference
from fairlead.pipeline import (
    rollout,  # noqa: F401 - for the fork server
    runtime,  # noqa: F401
    workflow,  # noqa: F401
)
from fairlead.pipeline.log import Entry
from fairlead.pipeline.runs import KEPT, Runs
from fairlead.pipeline.scope import Scope
from fairlead.pipeline.stages import RepositoryStages
from fairlead.provision.base import Machine
from tests.fixtures.git import Site, image, make_site
from tests.fixtures.shop import NOON

TEMPLATE = "deployment/ansible/templates/docker-compose.yml.j2"
VM_IP = "192.0.2.10"
LONGEST = 240  # seconds for one process on a machine that has much else to do
CONFIGURATION = """\
app: shop
images:
  app_image: {repository: registry.example.com/shop/backend, policy: {semver: "*"}}
  frontend_image: {repository: registry.example.com/shop/frontend, policy: {semver: "*"}}
environments: {source: {}, staging: {follows: source}, production: {follows: source}}
verify: {retries: 1, checks: [running_digests: {}]}
on_failure: rollback
"""
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


class FileDeployer(FakeDeployer):
    """A fake machine that outlives the process. `behaviour.json` says what is wrong with which digest.

    broken: never becomes healthy; neither does anything that a template with this word in it starts. wrong: is healthy,
    and not what it should be. site: the machine does not answer. disk: the one of Fairlead's own computer is full.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        behaviour = _json(directory / "behaviour.json")
        machines = {name: _machine(kept) for name, kept in _json(directory / "machines.json").items()}
        super().__init__(machines)
        self.always_broken = set(behaviour.get("broken", ()))
        self.wrong = set(behaviour.get("wrong", ()))
        self.unreachable = {VM_IP} if behaviour.get("site") else set()
        self.full = bool(behaviour.get("disk"))

    def deploy(self, request: DeployRequest) -> DeployResult:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "values.json")
        while (self.directory / "pause").exists():
            (self.directory / "paused").touch()
            time.sleep(0.02)
        template = request.checkout / TEMPLATE
        all_of_them = template.exists() and "broken" in template.read_text()
        self.broken = {pin.digest or "" for pin in request.pins.values()} if all_of_them else self.always_broken
        result = super().deploy(request)
        kept = {name: _kept(machine) for name, machine in self.machines.items()}
        (self.directory / "machines.json").write_text(json.dumps(kept))
        with (self.directory / "deploys").open("a") as file:
            file.write(f"{request.commit} {result.outcome}\n")
        return result

    def check_running(self, request: RunningRequest) -> Running:
        running = super().check_running(request)
        wrong = tuple(f"{name} answers wrongly" for name, pin in request.pins.items() if pin.digest in self.wrong)
        return Running(running.containers, (*running.differences, *wrong))


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _machine(kept: Mapping[str, Any]) -> FakeMachine:
    return FakeMachine(kept["fence"], {name: ImageReference.parse(text) for name, text in kept["running"].items()})


def _kept(machine: FakeMachine) -> dict[str, Any]:
    return {"fence": machine.fence, "running": {name: str(pin) for name, pin in machine.running.items()}}


def _main(
    checkout: Path, environment: str, machine: Path, variables: Mapping[str, str], *, abandon: bool, kept: int
) -> None:
    """The process: prints as a command would, into a file."""
    os.setpgid(0, 0)  # as a shell starts a command
    out = (machine / f"{os.getpid()}.out").open("w", buffering=1)

    def tell(entry: Entry) -> None:
        print(entry.stage or "run", entry.state, entry.text, file=out)

    def tell_event(event: Event) -> None:
        print(event.name, event.state, event.detail, file=out)

    def stages(scope: Scope) -> RepositoryStages:
        return RepositoryStages(scope, FileDeployer(machine), Machine(VM_IP), tell_event)

    values = read_variables(variables)
    runs = Runs(lambda: Scope.open(checkout, environment, None, values), stages, tell, kept)
    try:
        print("outcome", runs.run(abandon=abandon).end, file=out)
    except FairleadError as error:
        print("error", error.code, error, file=out)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=out)
        out.flush()
        os._exit(130)


@dataclass
class Process:
    """One `fairlead run`."""

    child: Any
    output: Path

    def wait(self) -> int:
        """The exit code; -9 for one that was killed."""
        self.child.join(LONGEST)
        assert self.child.exitcode is not None, f"still running: {self.text}"
        return int(self.child.exitcode)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.child.pid, number)

    @property
    def text(self) -> str:
        return self.output.read_text() if self.output.exists() else ""


@dataclass
class Pipeline:
    """A site whose `source` environment has proven 1.1.0, and staging and production that pin 1.0.0 and follow it."""

    site: Site
    directory: Path
    machines: dict[str, Path] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def machine(self, environment: str) -> Path:
        path = self.directory / environment
        path.mkdir(exist_ok=True)
        return path

    def start(
        self, environment: str = "staging", *, crash_at: str = "", abandon: bool = False, kept: int = KEPT, **more: str
    ) -> Process:
        """Start `fairlead run` and return at once."""
        variables = {"FAIRLEAD_STATE_DIR": str(self.state), "FAIRLEAD_CRASH_AT": crash_at, **more}
        checkout, machine = self.site.root / f"{environment}-checkout", self.machine(environment)
        if not checkout.exists():
            self.site.clone(checkout.name)
        child = _FORKS.Process(
            target=_main, args=(checkout, environment, machine, variables), kwargs={"abandon": abandon, "kept": kept}
        )
        child.start()
        return Process(child, machine / f"{child.pid}.out")

    def run(self, environment: str = "staging", *, crash_at: str = "", **options: Any) -> tuple[int, str]:
        """`fairlead run` to its end: exit code and output."""
        process = self.start(environment, crash_at=crash_at, **options)
        return process.wait(), process.text

    def offer(self, *, tag: str = "1.1.0", digit: str = "c") -> ImageReference:
        """The source environment proves a new backend, which the others then want."""
        new = image("backend", tag, digit)
        pins = f"app_image: {new}\nfrontend_image: {image('frontend', '1.0.0', 'a')}\n"
        self.site.write({layout.images_file("source"): pins}, f"Pin {tag} in source")
        self.prove("source")
        return new

    def prove(self, environment: str) -> None:
        """Record a proof of the head."""
        repository = Repository.open(self.site.person)
        repository.fetch()
        head = repository.head()
        proof = Proof(environment=environment, run="1", commit=head, digests={}, started=NOON, finished=NOON)
        Proofs(repository).add(proof)

    def behave(self, environment: str = "staging", **behaviour: Any) -> None:
        """What is wrong on the environment's machine from now on."""
        (self.machine(environment) / "behaviour.json").write_text(json.dumps(behaviour))

    def deploys(self, environment: str = "staging") -> list[tuple[str, Outcome]]:
        """Every deploy that a machine saw: commit and outcome."""
        path = self.machine(environment) / "deploys"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(commit, Outcome(outcome)) for commit, outcome in (line.split() for line in lines)]

    def running(self, environment: str = "staging") -> dict[str, str]:
        """What a machine runs."""
        kept = _json(self.machine(environment) / "machines.json")
        return dict(kept[VM_IP]["running"]) if kept else {}

    def proofs(self, environment: str = "staging") -> list[str]:
        """The commits that are proven there, newest first."""
        repository = Repository.open(self.site.person)
        repository.fetch()
        found = Proofs(repository).all()
        return [commit for commit, proofs in found.items() if any(one.environment == environment for one in proofs)]

    def releases(self, environment: str = "staging") -> list[str]:
        """The subjects of the commits that Fairlead made for an environment, newest first."""
        return [subject for subject in self.site.commits() if f"({environment})" in subject]


def make_pipeline(root: Path) -> Pipeline:
    """1.0.0 is pinned and proven everywhere; 1.1.0 is proven in source."""
    pipeline = Pipeline(make_site(root), root)
    pins = f"app_image: {image('backend', '1.0.0', 'a')}\nfrontend_image: {image('frontend', '1.0.0', 'a')}\n"
    files = {layout.images_file(name): pins for name in ("source", "staging", "production")}
    pipeline.site.write({**files, layout.CONFIGURATION: CONFIGURATION}, "Configure")
    for environment in ("source", "staging", "production"):
        pipeline.prove(environment)
    return pipeline
