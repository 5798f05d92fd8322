"""Reads fairlead.yaml and turns what is wrong with it into errors with file, line, path, value and remedy.

YAML 1.2 (ruamel.yaml): `on` and `no` are text. Refused before anything is built from them: files over 1 MiB, a second
document, duplicate keys, tags that would construct objects, aliases that expand to more than 100,000 nodes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.config import layout
from fairlead.errors import ConfigurationError, InvalidSetting, InvalidYaml, UnreadableFile

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from ruamel.yaml.nodes import Node

    from fairlead.config.models import Configuration

LARGEST_FILE = 1024 * 1024
MOST_NODES = 100_000
DEEPEST = 64
_SHOWN_ERRORS = 10
_TOO_DEEP = f"nested more than {DEEPEST} levels deep"
_MEND = "Mend the file there; git log --patch FILE tells what changed in it"
_EXAMPLE = "docs/reference/fairlead.yaml"
_KEYS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "merge")}
# By pydantic's types of errors, from their beginning: what the value is not, and what would be right.
_WRONG_TYPES = {
    "string": ("is not text", "Write text, in quotes where YAML would read something else"),
    "tuple": ("is not a list", "Write a list: [first, second]"),
    "dict": ("is not a mapping", "Write a mapping: {{key: value}}"),
    "model": ("is not a mapping", "Write a mapping: {{key: value}}"),
    "bool": ("is neither true nor false", "Write true or false"),
    "int": ("is not a whole number", "Write a whole number"),
    "too_short": ("is empty", f"Write at least one; {_EXAMPLE} has an example"),
    "greater_than_equal": ("is too small", "Write a number of at least {ge}"),
    "less_than_equal": ("is too large", "Write a number of at most {le}"),
    "literal_error": ("is not known", "Write {expected}"),
}

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A parsed YAML document that knows the line of each of its parts. data: plain Python values."""

    source: str
    data: Any
    node: "Node | None"

    def line(self, place: Place) -> int:
        """The line (from 1) of the deepest part of `place` that is there."""
        node, line = self.node, 1
        for part in place:
            found = _child(node, part)
            if found is None:
                break
            node, line = found
        return line


def load_configuration(text: bytes, source: str = layout.CONFIGURATION) -> "Configuration":
    """fairlead.yaml's content as a Configuration. source: its name for messages.

    Raises UnreadableFile, InvalidYaml, InvalidSetting.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - 100 ms that `--help` does not pay

    from fairlead.config.models import Configuration  # noqa: PLC0415

    document = parse_yaml(text, source)
    if not isinstance(document.data, dict):
        raise InvalidSetting(f"{source} holds no settings", remedy="Start from the example: fairlead init")
    try:
        return Configuration.model_validate(document.data)
    except ValidationError as error:
        raise _invalid_settings(document, error.errors(include_url=False)) from None


def read_file(path: Path) -> bytes:
    """A configuration file's content. Raises UnreadableFile."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise UnreadableFile(f"{path} does not exist", remedy="fairlead init writes one, or give --repo") from None
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read", why=error.strerror or str(error)) from error
    return content


def parse_yaml(text: bytes, source: str) -> Document:
    """One plain YAML document. Raises UnreadableFile and InvalidYaml, which name the line."""
    if len(text) > LARGEST_FILE:
        raise UnreadableFile(f"{source} is larger than 1 MiB", remedy="A configuration is a few hundred lines")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise UnreadableFile(f"{source}:{line}: is not UTF-8 text", remedy="Save the file as UTF-8") from None
    return _parse(decoded, source)


def _parse(text: str, source: str) -> Document:
    from ruamel.yaml import YAML  # noqa: PLC0415 - 60 ms
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415

    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
        _refuse_bomb(node, source)
        data = yaml.constructor.construct_document(node) if node is not None else None
    except MarkedYAMLError as error:
        raise _invalid_yaml(error, source) from None
    except RecursionError:
        raise InvalidYaml(f"{source}: {_TOO_DEEP}", remedy=_MEND) from None
    except (YAMLError, ValueError) as error:
        raise InvalidYaml(
            f"{source} is not a YAML document", why=str(error).splitlines()[0][:200], remedy=_MEND
        ) from None
    return Document(source, data, node)


def _invalid_yaml(error: Any, source: str) -> InvalidYaml:
    mark = error.problem_mark or error.context_mark
    place = f"{source}:{mark.line + 1}" if mark else source
    problem = str(error.problem or error.context).splitlines()[0]
    if "another document" in problem:
        return InvalidYaml(f"{place}: a second YAML document", remedy="Keep one document in the file: remove the ---")
    if "duplicate key" in problem:
        return InvalidYaml(f"{place}: {problem}", remedy="Keep one of the two")
    if "'\\t'" in problem:
        return InvalidYaml(f"{place}: {problem}", remedy="Indent with spaces")
    return InvalidYaml(f"{place}: {problem}", why=str(error.context or ""), remedy=_MEND)


def _refuse_bomb(node: "Node | None", source: str) -> None:
    """Count what the document would expand to, before anything is built from it."""
    sizes: dict[int, int] = {}

    def size(node: Any, depth: int) -> int:
        if depth > DEEPEST:
            raise InvalidYaml(f"{source}:{node.start_mark.line + 1}: {_TOO_DEEP}", remedy=_MEND)
        _refuse_half_characters(node, source)
        _refuse_odd_keys(node, source)
        if id(node) not in sizes:
            sizes[id(node)] = MOST_NODES + 1  # a node inside itself never ends
            sizes[id(node)] = 1 + sum(size(child, depth + 1) for child in _children(node))
        return sizes[id(node)]

    if node is not None and size(node, 0) > MOST_NODES:
        raise InvalidYaml(
            f"{source}: its aliases expand to more than {MOST_NODES} parts",
            remedy="Write the parts out instead of nesting anchors",
        )


def _refuse_half_characters(node: Any, source: str) -> None:
    """YAML's escapes can write half of a UTF-16 pair, which no file, terminal or database takes."""
    if isinstance(node.value, str) and any("\ud800" <= character <= "\udfff" for character in node.value):
        raise InvalidYaml(
            f"{source}:{node.start_mark.line + 1}: an escape that is half of a character", remedy="Write the character"
        )


def _refuse_odd_keys(node: Any, source: str) -> None:
    """A key is text: 1, true or nothing at all would be something else."""
    for item in node.value if isinstance(node.value, list) else ():
        if isinstance(item, tuple) and item[0].tag not in _KEYS:
            key, line = item[0], item[0].start_mark.line + 1
            shown = repr(key.value) if isinstance(key.value, str) else "that is no text"
            raise InvalidYaml(f"{source}:{line}: the key {shown} is not text", remedy="Write it in quotes, or a name")


def _children(node: Any) -> list[Any]:
    if not isinstance(node.value, list):
        return []
    return [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]


def _child(node: Any, part: str | int) -> "tuple[Any, int] | None":
    """The part of a node, and the line of its key."""
    for position, item in enumerate(node.value if node is not None and isinstance(node.value, list) else ()):
        if isinstance(item, tuple) and item[0].value == str(part):
            return item[1], item[0].start_mark.line + 1
        if not isinstance(item, tuple) and position == part:
            return item, item.start_mark.line + 1
    return None


def _invalid_settings(document: Document, problems: "list[ErrorDetails]") -> InvalidSetting:
    """One error that tells of every wrong setting; the first one with its remedy in full."""
    lines, remedies = zip(*(_describe(document, problem) for problem in problems), strict=True)
    more = len(lines) - _SHOWN_ERRORS
    also = [*lines[1:_SHOWN_ERRORS], *([f"and {more} more"] if more > 0 else [])]
    return InvalidSetting(lines[0], why="\n".join(also), remedy=remedies[0])


def _describe(document: Document, problem: "ErrorDetails") -> tuple[str, str]:
    """`fairlead.yaml:41: environments.production.soak: 'soon' is not a duration`, and what would be right."""
    context: Mapping[str, Any] = problem.get("ctx", {})
    place = _place(document.data, (*problem["loc"], *context.get("place", ())))
    if problem["type"] == "unknown_key":
        place = (*_holder(document.data, place, context["key"]), context["key"])
    where = f"{document.source}:{document.line(place)}: {_path(place)}"
    about_key = problem["loc"][-1:] == ("[key]",)  # as pydantic says that a mapping's key is wrong, not what it holds
    told = f'"{place[-1]}"' if about_key else _value(document.data, place)
    match problem["type"]:
        case "missing":
            return f"{where}: {problem['loc'][-1]} is missing", f"Add {problem['loc'][-1]}:"
        case "unknown_key":
            return f"{where} {context['why']}", context["remedy"]
        case "value":
            return f"{where}: {told} {context['why']}", context["remedy"]
    for kind, (why, remedy) in _WRONG_TYPES.items():
        if problem["type"].startswith(kind):
            return f"{where}: {told} {why}", remedy.format(**context)
    return f"{where}: {told}: {problem['msg']}", f"See {_EXAMPLE}"


def _place(data: Any, location: Place) -> Place:
    """pydantic's location without the parts that name a branch of a union instead of a part of the file."""
    place: list[str | int] = []
    for part in location:
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and part in range(len(data))
        if inside:
            data = data[part]
            place.append(part)
    return tuple(place)


def _holder(data: Any, place: Place, key: str) -> Place:
    """Where an unknown key stands: `{semver: "1", semvr: x}` is of the kind semver, but nothing is inside of that."""
    found = data
    for part in place:
        found = found[part]
    inside = isinstance(found, dict) and key in map(str, found)
    return place if inside or not place else _holder(data, place[:-1], key)


def _path(place: Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".") or "the file"


def _value(data: Any, place: Place) -> str:
    for part in place:
        data = data[part]
    shown = json.dumps(data, default=str, ensure_ascii=False)
    shown = re.sub(r'//[^/@"\s]*@', "//…@", shown)  # an address may hold a password
    return shown if len(shown) <= 80 else shown[:79] + "…"


__all__ = ["ConfigurationError", "Document", "load_configuration", "parse_yaml", "read_file"]
