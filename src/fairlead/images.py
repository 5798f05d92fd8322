"""Image references, tags and digests: parse, compare, print.

Grammar: OCI distribution specification 1.1, "Pulling manifests" (names, tags), and OCI image specification,
descriptor.md (digests). Docker's short names (`nginx`, `team/app`) are read as Docker reads them.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from fairlead.errors import InvalidReference

# re.ASCII and fullmatch everywhere: `$` would accept a trailing newline, and `\d` or `\w` other scripts' digits.
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
REPOSITORY = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII)
_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
REGISTRY = re.compile(rf"({_LABEL}(\.{_LABEL})*|\[[0-9a-fA-F:]+\])(:[0-9]{{1,5}})?", re.ASCII)
LONGEST_REPOSITORY = 255
DOCKER_HUB = "docker.io"


def is_tag(text: str) -> bool:
    """Whether the text is a tag by the OCI grammar."""
    return TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether the text is a sha256 digest; no other algorithm is accepted."""
    return DIGEST.fullmatch(text) is not None


def is_registry(text: str) -> bool:
    """Whether the text is `host` or `host:port`."""
    return REGISTRY.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class ImageReference:
    """`registry/repository[:tag][@digest]`.

    registry: `host` or `host:port`; Docker Hub is `docker.io`. repository: the path below it, `library/nginx`.
    A reference with a tag and a digest is a pin.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference. Raises InvalidReference, which names the part that is wrong."""
        rest, at, digest = text.partition("@")
        if at and not is_digest(digest):
            raise _invalid(text, f"the digest {digest!r} is not sha256: and 64 lower-case hexadecimal digits")
        name, tag = _split_tag(rest)
        if tag is not None and not is_tag(tag):
            raise _invalid(text, f"the tag {tag!r} is not 1 to 128 of a-z A-Z 0-9 _ . - (not starting with . or -)")
        registry, repository = _split_registry(name)
        if not is_registry(registry):
            raise _invalid(text, f"the registry {registry!r} is not host or host:port")
        if len(repository) > LONGEST_REPOSITORY or not REPOSITORY.fullmatch(repository):
            raise _invalid(text, f"the repository {repository!r} is not lower-case path components")
        return cls(registry, repository, tag, digest or None)

    @property
    def name(self) -> str:
        """`registry/repository`."""
        return f"{self.registry}/{self.repository}"

    @property
    def is_pin(self) -> bool:
        """Whether both tag and digest are there."""
        return self.tag is not None and self.digest is not None

    @property
    def short(self) -> str:
        """For people: the last component of the repository, the tag, and twelve digits of the digest."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest[7:19]}" if self.digest else ""
        return f"{self.repository.rsplit('/', 1)[-1]}{tag}{digest}"

    def with_tag(self, tag: str, digest: str | None = None) -> Self:
        """The same repository at another tag and digest."""
        return replace(self, tag=tag, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def _split_tag(text: str) -> tuple[str, str | None]:
    """A colon after the last slash starts a tag; one before it belongs to the registry's port."""
    head, colon, tail = text.rpartition(":")
    return (text, None) if not colon or "/" in tail else (head, tail)


def _split_registry(name: str) -> tuple[str, str]:
    """Docker's rule: the first component is a registry if it has a dot or a colon, or is localhost."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return DOCKER_HUB, name if slash else f"library/{name}"


def _invalid(text: str, why: str) -> InvalidReference:
    return InvalidReference(
        f"{text!r} is not an image reference",
        why=why,
        remedy="Write registry.example.com/team/app:1.2.3@sha256:…",
    )
