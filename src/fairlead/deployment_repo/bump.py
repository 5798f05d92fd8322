"""Releases as commits: a bump, a promotion or a rollback is one commit, made once, whoever else pushes.

All three change pins by the same steps: fetch, look for the run's own commit, edit the head's files, commit, push with
compare-and-set; a lost race begins again on the new head. The names of the steps are told to `at`, which tests use to
kill the process between them.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fairlead.config import layout
from fairlead.deployment_repo import plain, quarantine
from fairlead.deployment_repo.message import ImageChange, ReleaseMessage, run_name
from fairlead.deployment_repo.pins import edit_pins, read_pins
from fairlead.deployment_repo.quarantine import Quarantined, is_quarantined
from fairlead.deployment_repo.repository import Commit, Entry, Repository
from fairlead.errors import ImageQuarantined, InvalidPins, PinChanged, PushContended
from fairlead.images import ImageReference

TRIES = 30  # eight writers at once, round after round, needed more than 5 (measured: tests/faults/contention.py)
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0  # seconds
_random = random.SystemRandom()


def _no_step(_: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Bump:
    """What became of a release.

    commit: the commit to deploy. message: what it says; without changes when every pin was already there. already:
    nothing was pushed now. tries: races run. advice: what the operator may do about the checkout, or "".
    """

    commit: str
    message: ReleaseMessage
    already: bool
    tries: int
    advice: str = ""

    @property
    def changes(self) -> tuple[ImageChange, ...]:
        """The pins that this call, or the run's earlier one, changed."""
        return self.message.changes


@dataclass(frozen=True, slots=True)
class Edit:
    """Files to change, and the commit's message."""

    files: Mapping[str, Entry | None]
    message: ReleaseMessage


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a lost race is run again, and who is told of each step.

    pause: sleeps for seconds; a test's clock. at: "fetched", "edited", "committed", "pushed", "caught-up".
    """

    tries: int = TRIES
    pause: Callable[[float], None] = time.sleep
    at: Callable[[str], None] = field(default=_no_step)

    def wait(self, attempt: int) -> None:
        """Longer after each race, and never in step with the others who lost."""
        self.pause(min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2**attempt) * _random.uniform(0.5, 1.0))


PACE = Pace()


def bump(
    repository: Repository, environment: str, changes: Sequence[ImageChange], run: str, *, pace: Pace = PACE
) -> Bump:
    """Commit and push the changes of an environment's pins as one release.

    run: the run's name; the same run never makes a second commit. Raises PinChanged when a pin is neither what a change
    starts from nor what it leads to, ImageQuarantined, PushContended, InvalidPins, InvalidQuarantine, and what
    Repository.fetch, commit and push raise.
    """
    message = ReleaseMessage(environment, run_name(run), tuple(changes))
    return _release(repository, message, None, pace)


def promote(repository: Repository, source: str, target: str, proven: str, run: str, *, pace: Pace = PACE) -> Bump:
    """Pin in `target` the digests that `source` has at its proven commit. Raises as `bump` does.

    Images that are quarantined in `target` are left where they are.
    """
    repository.fetch()
    head = repository.head()
    held = quarantine.read(repository.read(head, layout.QUARANTINE))
    wanted = pins_at(repository, proven, source).items()
    allowed = {name: pin for name, pin in wanted if not is_quarantined(held, target, pin)}
    changes = tuple(differences(pins_at(repository, head, target), allowed))
    message = ReleaseMessage(target, run_name(run), changes, promoted_from=source, proven=proven)
    return _release(repository, message, None, pace)


def rollback(
    repository: Repository,
    environment: str,
    to: str,
    failed: str,
    run: str,
    *,
    reason: str,
    quarantine_on: str | None = None,
    pace: Pace = PACE,
) -> Bump:
    """Return to the release of the commit `to` from the one of `failed`: its pins and its deployment code.

    quarantine_on: the day (YYYY-MM-DD) under which the images that failed are quarantined in the same commit; None to
    leave them electable. Images that `to` did not know stay. What a person changed since `failed` is left to that
    person: a pin raises as in `bump`, a file of the deployment code stays.
    """
    repository.fetch()
    changes = tuple(differences(pins_at(repository, failed, environment), pins_at(repository, to, environment)))
    code = [path for path in repository.changed_paths(to, failed) if layout.is_rolled_back(path, environment)]
    message = ReleaseMessage(environment, run_name(run), changes, rollback_of=failed, reason=reason)
    culprits = [
        Quarantined(environment, change.old, reason, run, quarantine_on)
        for change in changes
        if change.old and quarantine_on
    ]
    return _release(repository, message, _Return(culprits, to, failed, tuple(code)), pace)


@dataclass(frozen=True, slots=True)
class _Return:
    """What a rollback changes beside pins. culprits: to quarantine. code: paths that differ between the two commits."""

    culprits: Sequence[Quarantined]
    to: str
    failed: str
    code: tuple[str, ...]

    def restored(self, repository: Repository, head: str) -> dict[str, Entry | None]:
        """The files of `to`, where the head still has those of `failed`."""
        if not self.code:
            return {}
        proven, failed, current = (repository.entries(commit, self.code) for commit in (self.to, self.failed, head))
        rows = zip(self.code, proven, failed, current, strict=True)
        return {path: old for path, old, bad, now in rows if now == bad}


def made_by(repository: Repository, environment: str, run: str) -> Bump | None:
    """The bump or promotion that a run made already, as of the last fetch; it looks at the newest commits only."""
    commits = repository.recent()
    asked = ReleaseMessage(environment, run_name(run), ())
    return _own(commits, asked) or _own(commits, replace(asked, promoted_from="anywhere"))


def pins_at(repository: Repository, commit: str, environment: str) -> dict[str, ImageReference]:
    """An environment's pins in a commit. Raises InvalidPins (also for a missing file) and UnsafePath."""
    return read_pins(_files(repository, commit, environment)[0].content, layout.images_file(environment))


def differences(current: Mapping[str, ImageReference], wanted: Mapping[str, ImageReference]) -> Iterator[ImageChange]:
    """The changes that lead from one set of pins to another; pins that are not wanted stay."""
    for name, new in wanted.items():
        if current.get(name) != new:
            yield ImageChange(name, current.get(name), new)


def _release(repository: Repository, message: ReleaseMessage, back: _Return | None, pace: Pace) -> Bump:
    def build(commits: Sequence[Commit]) -> Edit | None:
        return _edit(repository, message, back, commits)

    return publish(repository, message, build, pace)


def publish(
    repository: Repository,
    message: ReleaseMessage,
    build: Callable[[Sequence[Commit]], Edit | None],
    pace: Pace = PACE,
) -> Bump:
    """Push one commit, or find that it is there. build: makes the edit for the newest commits, head first; None when
    the head needs no change. Raises PushContended after `pace.tries` lost races.
    """
    for attempt in range(1, pace.tries + 1):
        repository.fetch()
        pace.at("fetched")
        commits = repository.recent()
        head = commits[0].id
        if made := _own(commits, message):
            return replace(made, tries=attempt, advice=repository.catch_up(head))
        edit = build(commits)
        if edit is None:
            return Bump(head, replace(message, changes=()), already=True, tries=attempt)
        pace.at("edited")
        commit = repository.commit(head, edit.files, edit.message.text())
        pace.at("committed")
        if repository.push(commit, head):
            pace.at("pushed")
            advice = repository.catch_up(commit)
            pace.at("caught-up")
            return Bump(commit, edit.message, already=False, tries=attempt, advice=advice)
        pace.wait(attempt)
    raise _contended(repository, pace.tries)


def _own(commits: Sequence[Commit], message: ReleaseMessage) -> Bump | None:
    """The commit that this run made already, by its trailers."""
    wanted = (message.run, message.environment, message.kind, message.rollback_of)
    for commit in commits:
        made = ReleaseMessage.parse(commit.message) if message.run in commit.message else None
        if made and (made.run, made.environment, made.kind, made.rollback_of) == wanted:
            return Bump(commit.id, made, already=True, tries=0)
    return None


def _edit(
    repository: Repository, message: ReleaseMessage, back: _Return | None, commits: Sequence[Commit]
) -> Edit | None:
    """The head's files with the changes that are still to be made."""
    path, head = layout.images_file(message.environment), commits[0].id
    images, listed = _files(repository, head, message.environment)
    open_changes = tuple(_outstanding(message.changes, read_pins(images.content, path), path))
    restored = back.restored(repository, head) if back else {}
    if not open_changes and not restored:
        return None
    _refuse_quarantined(open_changes, quarantine.read(listed.content), message.environment)
    edited = edit_pins(images.content, {change.name: change.new for change in open_changes}, path)
    files = {**restored, path: replace(images, content=edited)}
    if back and back.culprits:
        files[layout.QUARANTINE] = replace(listed, content=quarantine.add(listed.content, back.culprits))
    described = tuple(_described(change, commits) for change in open_changes)
    return Edit(files, replace(message, changes=described, restored=tuple(restored)))


def _files(repository: Repository, commit: str, environment: str) -> tuple[Entry, Entry]:
    """The environment's images.yml and the quarantine (empty where there is none)."""
    path = layout.images_file(environment)
    images, listed = repository.entries(commit, (path, layout.QUARANTINE))
    if images is None:
        raise InvalidPins(
            f"{path} does not exist at {commit[:12]} of {repository.branch}",
            why=f"It holds the pins of {environment}",
            remedy=f"fairlead init writes it; or commit an empty {path}",
        )
    return images, listed or Entry(b"")


def _refuse_quarantined(changes: Sequence[ImageChange], held: Sequence[Quarantined], environment: str) -> None:
    for change in changes:
        if entry := is_quarantined(held, environment, change.new):
            raise ImageQuarantined(
                f"{change.name}: {change.new} is quarantined in {environment}",
                why=f"It failed there{f' on {entry.date}' if entry.date else ''}: {entry.reason or 'no reason given'}",
                remedy=f"Push a mended image; or delete its line in {layout.QUARANTINE}, commit and push",
            )


def _outstanding(
    changes: Sequence[ImageChange], pins: Mapping[str, ImageReference], path: str
) -> Iterator[ImageChange]:
    """What is still to change. A pin that is neither old nor new was changed by somebody, who wins."""
    for change in changes:
        current = pins.get(change.name)
        if current == change.new:
            continue
        if current != change.old:
            raise _pin_changed(change, current, path)
        yield change


def _described(change: ImageChange, commits: Sequence[Commit]) -> ImageChange:
    """Fill in what earlier commits said of the old and the new image: where they were built from."""
    if new := _told(change.new, commits):
        change = replace(change, source=change.source or new.source, revision=change.revision or new.revision)
    if old := _told(change.old, commits):
        change = replace(change, previous_revision=change.previous_revision or old.revision)
    return change


def _told(image: ImageReference | None, commits: Sequence[Commit]) -> ImageChange | None:
    """The newest bump that pinned this very image."""
    wanted = f"Fairlead-Image: {image}"
    for commit in commits:
        if image and wanted in commit.message and (message := ReleaseMessage.parse(commit.message)):
            return next((change for change in message.changes if change.new == image), None)
    return None


def _pin_changed(change: ImageChange, current: ImageReference | None, path: str) -> PinChanged:
    return PinChanged(
        f"{change.name} is pinned to {plain.one_line(str(current)) if current else 'nothing'}, not to {change.old}",
        why=f"Somebody changed {path} meanwhile. That change stands, and nothing was pushed",
        remedy="fairlead detect looks again from there",
    )


def _contended(repository: Repository, tries: int) -> PushContended:
    return PushContended(
        f"{repository.place} took {tries} other pushes to {repository.branch} first",
        why="Each time the branch had moved between the fetch and the push; nothing was pushed",
        remedy="Run the same command again",
    )
