"""images.yml: one variable and one image reference a line, edited byte by byte.

Only the bytes of changed values change: comments, order, quoting, line ends, a byte order mark and a missing final
newline stay. The values are located by the YAML parser's marks, and the result is parsed again and compared.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from fairlead.deployment_repo import plain
from fairlead.errors import InvalidPins, InvalidReference
from fairlead.images import ImageReference

LARGEST = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_QUOTED = ("'", '"')


@dataclass(frozen=True, slots=True)
class _Pin:
    """A value in the text: its characters are text[start:end], without quotes. column: where its key begins."""

    name: str
    value: str
    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class _Document:
    text: str
    pins: tuple[_Pin, ...]
    block: bool  # a mapping of lines, or nothing yet: another line can be added


def read_pins(text: bytes, source: str = "images.yml") -> dict[str, ImageReference]:
    """The pins by variable, in the file's order. source: the file's path, for messages.

    Variables without a value are left out. Raises InvalidPins, which names the line.
    """
    document = _parse(text, source)
    return {pin.name: _reference(pin, source) for pin in document.pins if pin.value}


def edit_pins(text: bytes, changes: Mapping[str, ImageReference], source: str = "images.yml") -> bytes:
    """The file with other references. Variables that it lacks are added behind the last one. Raises InvalidPins."""
    document = _parse(text, source)
    known = {pin.name: pin for pin in document.pins}
    places = [(known[name].start, known[name].end, _spliced(document.text, known[name], reference))
              for name, reference in changes.items() if name in known]  # fmt: skip
    missing = {name: reference for name, reference in changes.items() if name not in known}
    if missing:
        places.append(_addition(document, missing, source))
    edited = _splice(document.text, places).encode()
    _compare(text, edited, changes, source)
    return edited


def _splice(text: str, places: list[tuple[int, int, str]]) -> str:
    """Replace text[start:end] for each (start, end, new)."""
    ordered = sorted(places)
    cuts = [0, *(cut for start, end, _ in ordered for cut in (start, end)), len(text)]
    kept = [text[start:end] for start, end in list(pairwise(cuts))[::2]]
    return "".join(part for pair in zip(kept, [*(new for *_, new in ordered), ""], strict=True) for part in pair)


def _spliced(text: str, pin: _Pin, reference: ImageReference) -> str:
    """A value that was empty needs a space behind its colon."""
    return f" {reference}" if pin.start == pin.end and text[pin.start - 1 : pin.start] == ":" else str(reference)


def _addition(document: _Document, missing: Mapping[str, ImageReference], source: str) -> tuple[int, int, str]:
    """New lines behind the last pin's line, indented like it and with the file's line ends."""
    if not document.block:
        raise InvalidPins(
            f"{source} is written in braces", why="A new image needs a line of its own", remedy="Write name: reference"
        )
    text = document.text
    newline = "\r\n" if "\r\n" in text else "\n"
    last = document.pins[-1] if document.pins else None
    end = text.find("\n", last.end) if last else -1
    indent = " " * last.column if last else ""
    added = [f"{indent}{name}: {reference}" for name, reference in missing.items()]
    if end >= 0:
        return end + 1, end + 1, "".join(line + newline for line in added)
    before = newline if text.rstrip("\ufeff") and not text.endswith("\n") else ""
    return len(text), len(text), before + newline.join(added) + ("" if last else newline)


def _compare(before: bytes, after: bytes, changes: Mapping[str, ImageReference], source: str) -> None:
    """The edit did what it should and nothing else, by the parser's word."""
    expected = {**_values(_parse(before, source)), **{name: str(reference) for name, reference in changes.items()}}
    if _values(_parse(after, source)) != expected:
        raise InvalidPins(
            f"{source} cannot be edited in place",
            why="The edited file would not say what it should",
            remedy="Write every pin plainly on its own line: name: reference",
        )


def _values(document: _Document) -> dict[str, str]:
    return {pin.name: pin.value for pin in document.pins}


def _reference(pin: _Pin, source: str) -> ImageReference:
    try:
        reference = ImageReference.parse(pin.value)
    except InvalidReference as error:
        raise InvalidPins(
            f"{source}:{pin.line}: {pin.name}: {error.what}", why=error.why, remedy=error.remedy
        ) from None
    if reference.tag is None and reference.digest is None:
        raise InvalidPins(
            f"{source}:{pin.line}: {pin.name}: {plain.one_line(pin.value)!r} has neither a tag nor a digest",
            remedy="Write registry.example.com/team/app:1.2.3@sha256:…",
        )
    return reference


def _parse(text: bytes, source: str) -> _Document:
    if len(text) > LARGEST:
        raise InvalidPins(f"{source} is larger than 1 MiB", remedy="It holds one line for each image")
    try:
        decoded = text.decode("utf-8")
        return _document(decoded, list(_events(decoded, source)), source)
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise InvalidPins(f"{source}:{line}: is not UTF-8 text", remedy="Save the file as UTF-8") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _unreadable(source, mark, plain.one_line(str(error.problem or error.context))) from None
    except (YAMLError, RecursionError) as error:
        raise InvalidPins(f"{source} is not YAML", why=plain.one_line(str(error))) from None


def _events(text: str, source: str) -> Iterator[Event]:
    """The parser's events, without what no list of pins holds."""
    documents = 0
    for event in YAML(typ="rt", pure=True).parse(text):
        documents += isinstance(event, DocumentStartEvent)
        if documents > 1:
            raise _unreadable(source, event.start_mark, "a second YAML document")
        if isinstance(event, AliasEvent):
            raise _unreadable(source, event.start_mark, "an alias")
        if isinstance(event, NodeEvent) and (event.anchor or getattr(event, "tag", None)):
            raise _unreadable(source, event.start_mark, "an anchor or a tag")
        yield event


def _document(text: str, events: list[Event], source: str) -> _Document:
    """Read StreamStart, DocumentStart, MappingStart, (key, value)…, MappingEnd; anything else is no list of pins."""
    nodes = [event for event in events if isinstance(event, (NodeEvent, MappingEndEvent))]
    if not nodes or (isinstance(nodes[0], ScalarEvent) and not nodes[0].value):
        return _Document(text, (), block=True)
    if not isinstance(nodes[0], MappingStartEvent):
        raise _unreadable(source, nodes[0].start_mark, "not a mapping of variables to images")
    inner = nodes[1:-1]
    for event in inner:
        if not isinstance(event, ScalarEvent):
            raise _unreadable(source, event.start_mark, "a nested value")
    pins = tuple(_pin(text, key, value, source) for key, value in zip(inner[::2], inner[1::2], strict=True))
    _refuse_duplicates(pins, source)
    return _Document(text, pins, block=not nodes[0].flow_style)


def _pin(text: str, key: Any, value: Any, source: str) -> _Pin:
    if not _NAME.fullmatch(key.value):
        raise _unreadable(source, key.start_mark, f"{plain.one_line(key.value)!r}, which is no variable's name")
    if value.style not in (None, *_QUOTED):
        raise _unreadable(source, value.start_mark, "a value of several lines")
    start, end = value.start_mark.index, value.end_mark.index
    if value.style in _QUOTED:
        start, end = start + 1, end - 1
    elif not value.value:
        start = end = text.find(":", key.end_mark.index) + 1
        if not start:
            raise _unreadable(source, key.start_mark, "a key without a colon")
    return _Pin(key.value, value.value, start, end, key.start_mark.line + 1, key.start_mark.column)


def _refuse_duplicates(pins: tuple[_Pin, ...], source: str) -> None:
    seen: dict[str, int] = {}
    for pin in pins:
        if pin.name in seen:
            raise InvalidPins(
                f"{source}:{pin.line}: {pin.name} is pinned twice",
                why=f"Line {seen[pin.name]} pins it too",
                remedy="Delete one of the two",
            )
        seen[pin.name] = pin.line


def _unreadable(source: str, mark: Any, found: str) -> InvalidPins:
    place = f"{source}:{mark.line + 1}" if mark else source
    return InvalidPins(
        f"{place}: {found}",
        why="The file is a plain list of pins, which Ansible and Fairlead read alike",
        remedy="Write every pin on its own line: app_image: registry.example.com/team/app:1.2.3@sha256:…",
    )
