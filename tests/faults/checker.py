"""One checker of the design's invariants. It reads git, the notes, the machine and the runs' databases.

It knows nothing of what was killed or when, so it holds for every story that a pipeline can have.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fairlead.config import layout
from fairlead.deploy.base import Outcome
from fairlead.deployment_repo import quarantine
from fairlead.deployment_repo.bump import pins_at
from fairlead.deployment_repo.message import ReleaseMessage
from fairlead.deployment_repo.proofs import Proof, Proofs
from fairlead.deployment_repo.repository import Repository
from fairlead.errors import RepositoryError
from fairlead.images import ImageReference
from fairlead.pipeline import log
from tests.pipeline.runner import Pipeline

# The states of a run of DBOS that are an end. Source: dbos.WorkflowStatusString.
ENDED = {"SUCCESS", "ERROR", "CANCELLED"}


@dataclass(frozen=True)
class Checker:
    """What must hold in one environment after any story. states: the state directories of all machines that ran."""

    pipeline: Pipeline
    environment: str
    states: tuple[Path, ...]

    def violations(self) -> list[str]:
        """Everything that is not as the design says, each with the invariant's number."""
        return [
            f"{number}: {found}"
            for number, rule in enumerate(
                (
                    self.unpinned,
                    self.out_of_turn,
                    self.bumped_twice,
                    self.wrongly_proven,
                    self.deployed_from_quarantine,
                    self.never_ended,
                    self.pickled,
                    self.not_serving,
                ),
                1,
            )
            for found in rule()
        ]

    # --- one invariant each, in the design's order

    def unpinned(self) -> Iterator[str]:
        """A digest runs only if a commit of the branch pins it."""
        pinned = {str(pin) for commit in self.commits for pin in self.pins(commit).values()}
        yield from (
            f"{running} runs, and no commit pins it" for running in self.running.values() if running not in pinned
        )
        yield from (
            f"{commit} was deployed, and is on no branch" for commit, _ in self.deploys if commit not in self.commits
        )

    def out_of_turn(self) -> Iterator[str]:
        """What a machine accepted, it accepted in the order of the branch."""
        order = [self.commits.index(commit) for commit, _ in self.deploys if commit in self.commits]
        yield from (f"deploys went back in history: {order}" for _ in range(order != sorted(order, reverse=True)))

    def bumped_twice(self) -> Iterator[str]:
        """One release is one commit: no run made two of a kind, and no pins were set twice in a row."""
        made = [message for text in self.messages if (message := ReleaseMessage.parse(text))]
        here = [message for message in made if message.environment == self.environment]
        for (run, kind), count in Counter((message.run, message.kind) for message in here).items():
            if count > 1:
                yield f"run {run} made {count} commits ({kind})"
        for change, count in Counter(
            str((one.name, one.old, one.new)) for message in here for one in message.changes
        ).items():
            if count > 1:
                yield f"{change} was committed {count} times"

    def wrongly_proven(self) -> Iterator[str]:
        """A proof has the digests of its commit (the fixture's own have none); the newest one's run on the machine."""
        for proof in self.proofs:
            if proof.digests and dict(proof.digests) != {
                name: pin.digest for name, pin in self.pins(proof.commit).items()
            }:
                yield f"the proof of {proof.commit} has other digests than the commit"
        if self.proofs and self.deploys and self.pins_as_text(self.proofs[0].commit) != self.running:
            yield f"{self.proofs[0].commit} is the last proven, and {self.running} runs"

    def deployed_from_quarantine(self) -> Iterator[str]:
        """What runs is not what failed."""
        held = quarantine.read(self.repository.read(self.commits[0], layout.QUARANTINE))
        for text in self.running.values():
            if quarantine.is_quarantined(held, self.environment, ImageReference.parse(text)):
                yield f"{text} is quarantined, and runs"

    def never_ended(self) -> Iterator[str]:
        """Every run has an end, in DBOS and in its log."""
        for state in self.states:
            for file in state.rglob("runs.sqlite"):
                yield from (f"the run {run} is {status}" for run, status in _runs(file) if status not in ENDED)
            for file in state.glob(f"runs/*/{self.environment}/*.jsonl"):
                if (entries := list(log.read(file))) and entries[-1].state is not log.State.ENDED:
                    yield f"the log {file.name} ends with {entries[-1].stage} {entries[-1].state}"

    def pickled(self) -> Iterator[str]:
        """No database holds what could run code when it is read, nor does anything left in its place a secret."""
        for state in self.states:
            yield from (
                f"{file} holds a pickle" for file in state.rglob("runs.sqlite") if b"py_pickle" in file.read_bytes()
            )

    def not_serving(self) -> Iterator[str]:
        """The head is proven, and serves: a failed release has been replaced by the one before it."""
        if not self.proofs:
            yield "nothing is proven"
        elif self.pins_as_text(self.proofs[0].commit) != self.pins_as_text(self.commits[0]):
            yield f"the head is {self.commits[0]}, and {self.proofs[0].commit} is the last proven"
        if self.deploys and self.deploys[-1][1] not in (Outcome.DEPLOYED, Outcome.UNCHANGED):
            yield f"the last deploy ended as {self.deploys[-1][1]}"

    # --- what it reads

    @cached_property
    def repository(self) -> Repository:
        repository = Repository.open(self.pipeline.site.person)
        repository.fetch()
        return repository

    @cached_property
    def commits(self) -> list[str]:
        """The branch, newest first."""
        return [commit.id for commit in self.repository.recent()]

    @cached_property
    def messages(self) -> list[str]:
        return [commit.message for commit in self.repository.recent()]

    @cached_property
    def proofs(self) -> list[Proof]:
        """The environment's, of the newest commit first, the newest of each commit first."""
        found = Proofs(self.repository).all().values()
        return [proof for of_commit in found for proof in reversed(of_commit) if proof.environment == self.environment]

    @cached_property
    def deploys(self) -> list[tuple[str, Outcome]]:
        return self.pipeline.deploys(self.environment)

    @cached_property
    def running(self) -> dict[str, str]:
        return self.pipeline.running(self.environment)

    def pins(self, commit: str) -> dict[str, ImageReference]:
        try:
            return pins_at(self.repository, commit, self.environment)
        except RepositoryError:
            return {}

    def pins_as_text(self, commit: str) -> dict[str, str]:
        return {name: str(pin) for name, pin in self.pins(commit).items()}


def _runs(file: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        return list(database.execute("SELECT workflow_uuid, status FROM workflow_status WHERE name = 'run'"))


def require(pipeline: Pipeline, *states: Path, environment: str = "staging") -> None:
    """Fail where an invariant does not hold. states: further state directories than the pipeline's own."""
    found = Checker(pipeline, environment, (pipeline.state, *states)).violations()
    assert found == [], json.dumps(found, indent=1)
