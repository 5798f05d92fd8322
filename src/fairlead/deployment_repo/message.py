"""The commit message of a release: a subject and a body for people, trailers for programs (git-interpret-trailers(1)).

The format is docs/reference/commit-format.md. Everything that comes from an image's labels is text of strangers: it
becomes one inert line before it is written, and links are made only of what passes a grammar.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import quote, urlsplit

from fairlead.config.values import RUN
from fairlead.deployment_repo import plain
from fairlead.errors import InvalidReference, UsageError
from fairlead.images import ImageReference

LONGEST_SUBJECT = 72
_REVISION = re.compile(r"(?!.*\.\.)[0-9A-Za-z][0-9A-Za-z._/-]{0,99}", re.ASCII)
_SOURCE = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)+/?", re.ASCII)
_SCP = re.compile(r"(?:ssh://)?[A-Za-z0-9._-]+@([A-Za-z0-9.-]+)[:/]([A-Za-z0-9._~/-]+)", re.ASCII)
_TRAILER = re.compile(r"(Fairlead-[A-Z][A-Za-z-]*): (.*)")
_RUN = re.compile(RUN, re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.ASCII)


class Kind(StrEnum):
    """Why pins change."""

    BUMP = "bump"
    PROMOTION = "promotion"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class ImageChange:
    """One pin that changes.

    name: the Ansible variable. old: None for an image that was not pinned. source, revision: from the image's
    `org.opencontainers.image.*` labels, as they came. previous_revision: the old image's, for the compare link.
    """

    name: str
    old: ImageReference | None
    new: ImageReference
    policy: str = ""
    source: str | None = None
    revision: str | None = None
    previous_revision: str | None = None

    @property
    def title(self) -> str:
        """`backend 1.0.0 → 1.1.0`."""
        return f"{self.new.repository.rsplit('/', 1)[-1]} {self.step}"

    @property
    def step(self) -> str:
        """`1.0.0 → 1.1.0`; the tag and seven digits of the digest where only that is new."""
        if self.old is None or self.old.tag == self.new.tag:
            return _tagged(self.new)
        return f"{self.old.tag or _tagged(self.old)} → {self.new.tag or _tagged(self.new)}"

    @property
    def link(self) -> str | None:
        """Where the source host shows what is between the two images."""
        return compare_link(self.source or "", self.previous_revision or "", self.revision or "")


def _tagged(reference: ImageReference) -> str:
    return f"{reference.tag or ''}@{reference.digest[7:14]}" if reference.digest else str(reference.tag)


@dataclass(frozen=True, slots=True)
class ReleaseMessage:
    """What a release's commit says.

    rollback_of, reason: the commit that failed, and why. promoted_from, proven: the environment whose pins these are,
    and the commit that it had proven. restored: files of the deployment code that a rollback puts back.
    """

    environment: str
    run: str
    changes: tuple[ImageChange, ...]
    rollback_of: str | None = None
    reason: str = ""
    promoted_from: str | None = None
    proven: str | None = None
    restored: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """Why pins change."""
        if self.rollback_of:
            return Kind.ROLLBACK
        return Kind.PROMOTION if self.promoted_from else Kind.BUMP

    @property
    def subject(self) -> str:
        """A Conventional Commit's first line, of at most 72 characters where names allow."""
        verb = "revert" if self.kind is Kind.ROLLBACK else "build"
        if not self.changes:
            return f"{verb}({self.environment}): {'deployment code' if self.restored else 'no image changes'}"
        titles = (f"{verb}({self.environment}): {title}" for title in _titles(self.changes))
        return next((title for title in titles if len(title) <= LONGEST_SUBJECT), _last(self, verb))

    def text(self) -> str:
        """The whole message. Raises UsageError for a run's name that is not one plain line."""
        parts = [self.subject, *self._introduction(), *(_paragraph(change) for change in self.changes)]
        trailers = "".join(f"{key}: {value}\n" for key, value in self._trailers() if value)
        return "\n\n".join([*parts, trailers])

    def _introduction(self) -> Iterator[str]:
        if self.rollback_of:
            yield f"Back to the release that was proven before. Reason: {plain.inert(self.reason) or 'not given'}"
        if self.restored:
            yield "Deployment code as it was then:\n" + "\n".join(f"  {path}" for path in self.restored)
        if self.promoted_from:
            proven = f" by {self.proven[:12]}" if self.proven else ""
            yield f"Promoted from {self.promoted_from}, where it was proven{proven}."

    def _trailers(self) -> Iterator[tuple[str, str]]:
        yield "Fairlead-Run", run_name(self.run)
        yield "Fairlead-Environment", plain.one_line(self.environment)
        yield "Fairlead-Rollback-Of", self.rollback_of or ""
        yield "Fairlead-Reason", plain.inert(self.reason)
        yield "Fairlead-Promoted-From", " ".join(filter(None, (self.promoted_from, self.proven)))
        for path in self.restored:
            yield "Fairlead-Restored", plain.one_line(path)
        for change in self.changes:
            yield from _image_trailers(change)

    @classmethod
    def parse(cls, message: str) -> Self | None:
        """Read a commit's message; None for commits that Fairlead did not make."""
        trailers = list(_trailers(message))
        head = dict(reversed(trailers))
        if not head.get("Fairlead-Run") or not head.get("Fairlead-Environment"):
            return None
        promoted_from, _, proven = head.get("Fairlead-Promoted-From", "").partition(" ")
        return cls(
            environment=head["Fairlead-Environment"],
            run=head["Fairlead-Run"],
            changes=tuple(_changes(trailers)),
            rollback_of=head.get("Fairlead-Rollback-Of"),
            reason=head.get("Fairlead-Reason", ""),
            promoted_from=promoted_from or None,
            proven=proven if _COMMIT.fullmatch(proven) else None,
            restored=tuple(value for key, value in trailers if key == "Fairlead-Restored"),
        )


def run_name(run: str) -> str:
    """A run's name: a word that git, the machine and the pages take alike. Raises UsageError."""
    if not _RUN.fullmatch(run):
        raise UsageError(
            f"{plain.one_line(run)!r} cannot name a run",
            why="A run's name is up to 200 of A-Z a-z 0-9 . _ : @ + - and begins with a letter or digit",
            remedy="Give --run a name such as 42 or staging-42",
        )
    return run


def _titles(changes: tuple[ImageChange, ...]) -> Iterator[str]:
    """What a subject can say, the best first."""
    if len({change.step for change in changes}) == 1:
        names = ", ".join(change.title.removesuffix(f" {change.step}") for change in changes)
        yield f"{names} {changes[0].step}"
    yield ", ".join(change.title for change in changes)


def _last(message: ReleaseMessage, verb: str) -> str:
    count = len(message.changes)
    return f"{verb}({message.environment}): {count} image{'' if count == 1 else 's'}"


def _paragraph(change: ImageChange) -> str:
    """An image for people: what, which content, from which source, and where to read the difference."""
    built = _built_from(change)
    lines = [f"{change.new.name} {change.step}", f"  {change.new.digest or 'no digest'}{', ' if built else ''}{built}"]
    return "\n".join([*lines, *([f"  {change.link}"] if change.link else [])])


def _built_from(change: ImageChange) -> str:
    source, revision = _shown_source(change.source), plain.inert(change.revision or "")
    return (
        f"built from {source or 'revision'}{' at' if source else ''} {revision}".strip() if source or revision else ""
    )


def _shown_source(source: str | None) -> str:
    """Never with the credentials that an address may hold."""
    return source_url(source or "") or re.sub(r"//[^/@\s]*@", "//", plain.inert(source or ""))


def _image_trailers(change: ImageChange) -> Iterator[tuple[str, str]]:
    yield "Fairlead-Pin", change.name
    yield "Fairlead-Image", str(change.new)
    yield "Fairlead-Previous", str(change.old) if change.old else ""
    yield "Fairlead-Policy", plain.one_line(change.policy)
    yield "Fairlead-Source", _shown_source(change.source)
    yield "Fairlead-Revision", plain.inert(change.revision or "")
    yield "Fairlead-Compare", change.link or ""


def _trailers(message: str) -> Iterator[tuple[str, str]]:
    """The trailers of the last paragraph, in order."""
    last = re.split(r"\n[ \t]*\n", message.rstrip())[-1]
    for line in last.split("\n"):
        if match := _TRAILER.fullmatch(line.rstrip()):
            yield match[1], plain.one_line(match[2], 1000)


def _changes(trailers: Iterable[tuple[str, str]]) -> Iterator[ImageChange]:
    """Fairlead-Pin begins an image; what follows up to the next one belongs to it. What cannot be read is left out."""
    groups: list[dict[str, str]] = []
    for key, value in trailers:
        if key == "Fairlead-Pin":
            groups.append({})
        if groups:
            groups[-1].setdefault(key, value)
    for group in groups:
        if (new := _reference(group.get("Fairlead-Image"))) is not None:
            yield ImageChange(
                name=group["Fairlead-Pin"],
                old=_reference(group.get("Fairlead-Previous")),
                new=new,
                policy=group.get("Fairlead-Policy", ""),
                source=group.get("Fairlead-Source"),
                revision=group.get("Fairlead-Revision"),
            )


def _reference(text: str | None) -> ImageReference | None:
    try:
        return ImageReference.parse(text) if text else None
    except InvalidReference:
        return None


def source_url(text: str) -> str | None:
    """The web address of a source repository, without credentials and `.git`; None for what is no such address."""
    scp = _SCP.fullmatch(text)
    address = f"https://{scp[1]}/{scp[2].lstrip('/')}" if scp else re.sub(r"^(https?://)[^/@\s]*@", r"\1", text)
    if not _SOURCE.fullmatch(address):
        return None
    return address.rstrip("/").removesuffix(".git")


def compare_link(source: str, old: str, new: str) -> str | None:
    """The page of the source host that compares two revisions; None for hosts whose addresses are not known."""
    address = source_url(source)
    if address is None or old == new or not (_REVISION.fullmatch(old) and _REVISION.fullmatch(new)):
        return None
    shape = _compare_shape((urlsplit(address).hostname or "").split("."))
    return shape.format(source=address, old=quote(old), new=quote(new)) if shape else None


def _compare_shape(labels: list[str]) -> str | None:
    """By the host's name: `gitlab.com` and `gitlab.example.com` alike."""
    if "gitlab" in labels:
        return "{source}/-/compare/{old}...{new}"
    if {"github", "gitea", "forgejo", "codeberg"} & set(labels):
        return "{source}/compare/{old}...{new}"
    return "{source}/branches/compare/{new}..{old}" if labels[-2:] == ["bitbucket", "org"] else None
