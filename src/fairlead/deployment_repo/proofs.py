"""Proofs: that a release was verified in an environment, as git notes (`refs/notes/fairlead`).

A note is lines of canonical JSON, one for each proof, sorted and without doubles: what git's `cat_sort_uniq` merge
makes of two notes. Lines are only added. Readers ignore lines that they do not understand and versions that they do
not know. The format is docs/reference/proofs.md.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from fairlead.deployment_repo.bump import Pace
from fairlead.deployment_repo.git import commit_id
from fairlead.deployment_repo.repository import NOTES, Repository
from fairlead.errors import PushContended

TRIES = 30  # eight writers at once needed up to 17 (measured)
LONGEST_LINE = 64 * 1024
PATIENT = Pace(tries=TRIES)
_NOTES_NAME = NOTES.removeprefix("refs/notes/")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
CommitId = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
Text = Annotated[str, Field(max_length=500)]


class Proof(BaseModel):
    """A release that was verified.

    digests: by variable, as read on the machine. checks: what passed, in words. started, finished: of the
    verification. by: who verified, for people.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    environment: Name
    run: Text
    commit: CommitId
    digests: Mapping[Name, Digest]
    checks: tuple[Text, ...] = ()
    started: AwareDatetime
    finished: AwareDatetime
    by: Text = ""

    def line(self) -> str:
        """Canonical JSON: sorted keys, no spaces, ASCII, times in UTC; the same proof is always the same line."""
        fields = self.model_dump(mode="json")
        for name in ("started", "finished"):
            fields[name] = getattr(self, name).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def read_note(note: str, commit: str) -> tuple[Proof, ...]:
    """The proofs in a commit's note, the oldest first. Anything else in it is ignored."""
    found = [proof for line in note.splitlines() if (proof := _read(line)) and proof.commit == commit]
    return tuple(sorted(found, key=lambda proof: proof.finished))


def _read(line: str) -> Proof | None:
    if not re.match(r"\{.*\}$", line) or len(line) > LONGEST_LINE:
        return None
    try:
        return Proof.model_validate_json(line)
    except ValidationError:
        return None


@dataclass(frozen=True)
class Proofs:
    """The proofs of a deployment repository, as of its last fetch.

    pace: how often a lost race is run again, and who is told of the steps "fetched", "committed", "noted".
    """

    repository: Repository
    pace: Pace = PATIENT

    def add(self, proof: Proof) -> None:
        """Record a proof on its commit and push it. The same proof again changes nothing.

        Raises PushContended, and what Repository.fetch and push raise.
        """
        for attempt in range(1, self.pace.tries + 1):
            self.repository.fetch()
            self.pace.at("fetched")
            head = self.repository.notes_head()
            lines = self._lines(proof.commit)
            if proof.line() in lines:
                return
            text = "".join(f"{line}\n" for line in sorted({*lines, proof.line()}))
            subject = f"Prove {proof.commit[:12]} in {proof.environment}\n"
            note = self.repository.commit_note(head, proof.commit, text, subject)
            self.pace.at("committed")
            if self.repository.push_notes(note, head):
                self.pace.at("noted")
                self.repository.tidy()
                return
            self.pace.wait(attempt)
        raise PushContended(
            f"{self.repository.place} took {self.pace.tries} other proofs first",
            why="The release is verified, but its proof is not recorded",
            remedy="Run fairlead verify again",
        )

    def read(self, commit: str) -> tuple[Proof, ...]:
        """The proofs of one commit, the oldest first."""
        return read_note("\n".join(self._lines(commit)), commit)

    def all(self) -> dict[str, tuple[Proof, ...]]:
        """Every proven commit of the branch, newest first, with its proofs."""
        return dict(self._walk(self.repository.tracking))

    def last_proven(self, environment: str, before: str | None = None) -> Proof | None:
        """The newest proof of the environment on the branch. before: only older commits than this one."""
        start = commit_id(before) if before else self.repository.tracking
        for commit, proofs in self._walk(start):
            there = [proof for proof in proofs if proof.environment == environment]
            if there and commit != before:
                return there[-1]
        return None

    def _lines(self, commit: str) -> list[str]:
        output = self._log("--no-walk", commit_id(commit))
        return [line for _, note in output for line in note.splitlines() if line]

    def _walk(self, start: str) -> Iterator[tuple[str, tuple[Proof, ...]]]:
        for commit, note in self._log("--topo-order", start):
            if note and (proofs := read_note(note, commit)):
                yield commit, proofs

    def _log(self, order: str, start: str) -> Iterable[tuple[str, str]]:
        words = ("log", order, f"--notes={_NOTES_NAME}", "-z", "--format=%H%x00%N", "--end-of-options", start)
        fields = self.repository.git.run(*words).stdout.split("\0")
        return zip(fields[::2], fields[1::2], strict=False)
