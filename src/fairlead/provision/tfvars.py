"""The plain values of a .tfvars file. Source: OpenTofu, Configuration Syntax, variable definitions (.tfvars) files.

OpenTofu itself reads the file for a plan; this is for what is said before there is one. Only values that are written
out are read: numbers, true, false, null, strings without templates, lists of them.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_TOKEN = re.compile(rf"(?P<text>{_STRING})|(?P<comment>#[^\n]*|//[^\n]*|/\*.*?\*/)|(?P<rest>.)", re.DOTALL)
_NAME = re.compile(r"^[ \t]*([A-Za-z_][\w-]*)[ \t]*=[ \t]*", re.MULTILINE | re.ASCII)


def plain_values(text: str) -> dict[str, Any]:
    """By name; a value that only OpenTofu can tell is left out."""
    bare = "".join(_without_comments(text))
    found = {}
    decoder = json.JSONDecoder()
    for match in _NAME.finditer(bare):
        try:
            value, _ = decoder.raw_decode(bare[match.end() :])
        except ValueError:
            continue
        if not _has_template(value):
            found[match[1]] = value
    return found


def _without_comments(text: str) -> Iterator[str]:
    """The text as JSON would have its values: no comments, no comma after the last item of a list."""
    held = ""
    for match in _TOKEN.finditer(text):
        if match["comment"]:
            continue
        part = match[0]
        if held and part == "]":
            held = held.replace(",", "")
        if held and not part.isspace():
            yield held
            held = ""
        if part == "," or held:
            held += part
        else:
            yield part
    yield held


def _has_template(value: Any) -> bool:
    texts = value if isinstance(value, list) else [value]
    return any(isinstance(text, str) and ("${" in text or "%{" in text) for text in texts)
