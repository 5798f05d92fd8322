"""deployment/quarantine.yml: the images that failed in an environment, one line each.

A line is a YAML mapping in braces, so that a person lifts one by deleting a line. Lines are added byte by byte:
comments and everything else stay.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.config import layout
from fairlead.config.load import Document, parse_yaml
from fairlead.deployment_repo import plain
from fairlead.errors import ConfigurationError, InvalidQuarantine, InvalidReference
from fairlead.images import ImageReference

_KEYS = ("environment", "image", "reason", "run", "date")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An image that failed in an environment. image: as it was pinned. date: the day, YYYY-MM-DD."""

    environment: str
    image: ImageReference
    reason: str = ""
    run: str = ""
    date: str = ""

    def holds(self, environment: str, image: ImageReference) -> bool:
        """Whether `image` must not be elected there: the same content of the same repository, whatever its tag."""
        if (self.environment, self.image.name) != (environment, image.name):
            return False
        return self.image.digest == image.digest if self.image.digest else self.image.tag == image.tag

    def line(self) -> str:
        """The line in the file, without its end."""
        texts = (self.environment, str(self.image), plain.inert(self.reason), self.run, self.date)
        pairs = zip(_KEYS, texts, strict=True)
        quoted = (f"{key}: {json.dumps(plain.one_line(text, 500), ensure_ascii=False)}" for key, text in pairs if text)
        return f"- {{{', '.join(quoted)}}}"


def read(text: bytes | None, source: str = layout.QUARANTINE) -> tuple[Quarantined, ...]:
    """The quarantined images, in the file's order; none for a missing file. Raises InvalidQuarantine with the line."""
    document = _parse(text or b"", source)
    return tuple(_entry(document, index, item) for index, item in enumerate(document.data or ()))


def is_quarantined(entries: Iterable[Quarantined], environment: str, image: ImageReference) -> Quarantined | None:
    """The entry that keeps `image` from `environment`, if there is one."""
    return next((entry for entry in entries if entry.holds(environment, image)), None)


def add(text: bytes | None, entries: Sequence[Quarantined], source: str = layout.QUARANTINE) -> bytes:
    """The file with a line for each entry that it does not hold yet. Raises InvalidQuarantine."""
    before = read(text, source)
    new = [entry for entry in entries if not is_quarantined(before, entry.environment, entry.image)]
    decoded = _without_empty_list(text or b"", source)
    newline = "\r\n" if "\r\n" in decoded else "\n"
    start = newline if decoded and not decoded.endswith("\n") else ""
    edited = (decoded + (start if new else "") + "".join(entry.line() + newline for entry in new)).encode()
    _require(len(read(edited, source)) == len(before) + len(new), source)
    return edited


def lift(text: bytes, environment: str, image: ImageReference, source: str = layout.QUARANTINE) -> bytes:
    """The file without the lines that keep `image` from `environment`. Raises InvalidQuarantine."""
    entries = read(text, source)
    node = _parse(text, source).node
    lines = text.decode().splitlines(keepends=True)
    for entry, item in zip(entries, node.value if node else (), strict=True):
        if entry.holds(environment, image):
            last = item.end_mark.line if item.end_mark.column else item.end_mark.line - 1
            for number in range(item.start_mark.line, last + 1):
                lines[number] = ""
    edited = "".join(lines).encode()
    kept = tuple(entry for entry in entries if not entry.holds(environment, image))
    _require(read(edited, source) == kept, source)
    return edited


def _parse(text: bytes, source: str) -> Document:
    try:
        document = parse_yaml(text, source)
    except ConfigurationError as error:
        raise InvalidQuarantine(error.what, why=error.why, remedy=error.remedy) from None
    if document.data is not None and not isinstance(document.data, list):
        raise _invalid(f"{source} is not a list")
    return document


def _without_empty_list(text: bytes, source: str) -> str:
    """A file that says `[]` cannot be added to by lines."""
    decoded, document = text.decode(), _parse(text, source)
    if document.data != []:
        return decoded
    marks: Any = document.node
    return decoded[: marks.start_mark.index] + decoded[marks.end_mark.index :].lstrip()


def _entry(document: Document, index: int, item: Any) -> Quarantined:
    place = f"{document.source}:{document.line((index,))}"
    if not isinstance(item, dict):
        raise _invalid(f"{place}: {plain.one_line(str(item))!r} is not a mapping")
    if unknown := [str(key) for key in item if key not in _KEYS]:
        raise _invalid(f"{place}: {plain.one_line(unknown[0])!r} is not known here")
    if not item.get("environment") or not item.get("image"):
        raise _invalid(f"{place}: environment or image is missing")
    try:
        image = ImageReference.parse(str(item["image"]))
    except InvalidReference as error:
        raise InvalidQuarantine(f"{place}: {error.what}", why=error.why, remedy=error.remedy) from None
    reason, run, date = (plain.one_line(str(item.get(key) or "")) for key in ("reason", "run", "date"))
    return Quarantined(str(item["environment"]), image, reason, run, date)


def _require(held: bool, source: str) -> None:
    if not held:
        raise _invalid(f"{source} cannot be edited in place")


def _invalid(what: str) -> InvalidQuarantine:
    return InvalidQuarantine(
        what,
        why="The file is a list with one line for each image",
        remedy='Write - {environment: "staging", image: "registry.example.com/team/app:1.2.3@sha256:…"}',
    )
