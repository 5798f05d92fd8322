"""The releases of an environment, from git alone: three processes, however many releases."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fairlead.config import layout
from fairlead.deployment_repo import plain
from fairlead.deployment_repo.bump import differences
from fairlead.deployment_repo.message import ImageChange, Kind, ReleaseMessage
from fairlead.deployment_repo.pins import read_pins
from fairlead.deployment_repo.proofs import Proof, read_note
from fairlead.deployment_repo.repository import NOTES, Entry, Look, Repository
from fairlead.errors import InvalidPins
from fairlead.images import ImageReference

# A path never begins with a slash, so the id's begin marks where a commit's paths end.
_FORMAT = "//%H%x00%P%x00%cI%x00%an%x00%s%x00%B%x00%N%x00"
_FIELDS = 7

Pins = Mapping[str, ImageReference]


@dataclass(frozen=True, slots=True)
class Release:
    """A commit of the deployment branch as one environment sees it.

    images: its pins; empty where images.yml cannot be read. changes: against the commit before, with what the message
    says of each. kind: None for a commit that a person made. fence: see Repository.fence. proof: the newest.
    """

    commit: str
    time: datetime
    author: str
    subject: str
    images: Pins
    changes: tuple[ImageChange, ...]
    proof: Proof | None
    fence: int
    kind: Kind | None
    message: ReleaseMessage | None

    @property
    def revisions(self) -> dict[str, str]:
        """The source revision of each changed image, by variable, where its bump names one."""
        return {change.name: change.revision for change in self.changes if change.revision}

    def as_json(self) -> dict[str, object]:
        """For `--json` and the API."""
        return {
            "commit": self.commit,
            "time": self.time.isoformat(),
            "author": self.author,
            "subject": self.subject,
            "kind": self.kind,
            "run": self.message.run if self.message else None,
            "fence": self.fence,
            "images": {name: str(image) for name, image in self.images.items()},
            "changes": [_change_as_json(change) for change in self.changes],
            "proof": self.proof.model_dump(mode="json") if self.proof else None,
        }


def _change_as_json(change: ImageChange) -> dict[str, object]:
    return {
        "name": change.name,
        "old": str(change.old) if change.old else None,
        "new": str(change.new),
        "source": change.source,
        "revision": change.revision,
    }


@dataclass(frozen=True, slots=True)
class _Record:
    """A commit as `git log` tells it."""

    commit: str
    parents: str
    time: str
    author: str
    subject: str
    body: str
    note: str
    paths: tuple[str, ...]

    @property
    def parent(self) -> str:
        """The mainline's commit before this one; "" for the first."""
        return self.parents.split(" ")[0]


def releases(repository: Repository, environment: str, limit: int = 20) -> list[Release]:
    """The environment's newest releases, newest first: commits that change its pins or its deployment code."""
    concerning = (record for record in _records(repository) if _concerns(record, environment))
    records = [record for record, _ in zip(concerning, range(limit), strict=False)]
    fences, pins = _fences(repository), _pins(repository, records, environment)
    return [_release(record, environment, fences[record.commit], pins) for record in records]


def _concerns(record: _Record, environment: str) -> bool:
    return any(layout.concerns(path, environment) for path in record.paths)


def _records(repository: Repository) -> Iterator[_Record]:
    """The mainline's commits that touch the deployment code; a merge is one commit."""
    output = repository.git.run(
        "log",
        "--first-parent",
        "--diff-merges=first-parent",
        "--no-renames",
        "--name-only",
        "-z",
        f"--notes={NOTES.removeprefix('refs/notes/')}",
        f"--format={_FORMAT}",
        "--end-of-options",
        repository.tracking,
        "--",
        layout.DEPLOYMENT,
    ).stdout
    yield from _read_log(output.split("\0"))


def _read_log(tokens: Sequence[str]) -> Iterator[_Record]:
    """Seven fields, then paths up to the next commit."""
    position = 0
    while position + _FIELDS < len(tokens):
        end = position + _FIELDS
        identifier, parents, moment, author, subject, body, note = tokens[position:end]
        position = end
        while end < len(tokens) and not tokens[end].startswith("//"):
            end += 1
        paths = tuple(path for token in tokens[position:end] if (path := token.removeprefix("\n")))
        yield _Record(identifier.removeprefix("//"), parents, moment, author, subject, body, note, paths)
        position = end


def _fences(repository: Repository) -> dict[str, int]:
    """Every mainline commit's number of commits in its history, by one walk from the oldest on."""
    output = repository.git.run("rev-list", "--topo-order", "--parents", "--end-of-options", repository.tracking).stdout
    parents = {words[0]: words[1:] for line in output.splitlines() if (words := line.split())}
    mainline = list(_mainline(next(iter(parents)), parents))
    seen: set[str] = set()
    fences: dict[str, int] = {}
    for commit in reversed(mainline):
        _see(commit, parents, seen)
        fences[commit] = len(seen)
    return fences


def _mainline(head: str, parents: Mapping[str, Sequence[str]]) -> Iterator[str]:
    commits: Sequence[str] = (head,)
    while commits:
        yield commits[0]
        commits = parents[commits[0]]


def _see(commit: str, parents: Mapping[str, Sequence[str]], seen: set[str]) -> None:
    """Add a commit and all that is before it."""
    waiting = [commit]
    while waiting:
        found = waiting.pop()
        if found not in seen:
            seen.add(found)
            waiting.extend(parents[found])


def _pins(repository: Repository, records: Iterable[_Record], environment: str) -> dict[str, Pins]:
    """The pins of each commit and of the commit before it. Old commits may hold anything: what cannot be read is {}."""
    path = layout.images_file(environment)
    commits = dict.fromkeys(commit for record in records for commit in (record.commit, record.parent) if commit)
    looks = repository.look([(commit, path) for commit in commits]) if commits else []
    return {commit: _read(look) for commit, look in zip(commits, looks, strict=True)}


def _read(look: Look) -> Pins:
    try:
        return read_pins(look.content) if isinstance(look, Entry) else {}
    except InvalidPins:
        return {}


def _release(record: _Record, environment: str, fence: int, pins: Mapping[str, Pins]) -> Release:
    message = ReleaseMessage.parse(record.body)
    told = message if message and message.environment == environment else None
    proofs = [proof for proof in read_note(record.note, record.commit) if proof.environment == environment]
    return Release(
        commit=record.commit,
        time=datetime.fromisoformat(record.time),
        author=plain.one_line(record.author),
        subject=plain.one_line(record.subject),
        images=pins[record.commit],
        changes=tuple(_changes(pins.get(record.parent, {}), pins[record.commit], told)),
        proof=proofs[-1] if proofs else None,
        fence=fence,
        kind=told.kind if told else None,
        message=told,
    )


def _changes(before: Pins, after: Pins, message: ReleaseMessage | None) -> Iterator[ImageChange]:
    """What differs, by the files; the message adds where an image was built from, if it speaks of that very image."""
    told = {change.name: change for change in message.changes} if message else {}
    for change in differences(before, after):
        said = told.get(change.name)
        yield replace(said, old=change.old) if said and said.new == change.new else change
