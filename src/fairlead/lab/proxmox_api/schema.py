"""Every request is checked as Proxmox checks it: against its own schema, in its own words.

`endpoints.json` is the extract for what the lab serves, written by tools/proxmox_endpoints.py from the schema that
Proxmox publishes with its API viewer, and compared with it by a test.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fairlead.lab.proxmox_api.formats import Property, error_of, nested, parse_properties
from fairlead.lab.proxmox_api.refusal import wrong

FILE = Path(__file__).parent / "endpoints.json"
_NUMBERED = re.compile(r"([a-z]+)\d+", re.ASCII)
_YES, _NO = ("1", "on", "yes", "true"), ("0", "off", "no", "false")
_UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
_MISSING = "property is missing and it is not optional"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path: what may be sent, and which privileges it takes."""

    name: str
    parameters: Mapping[str, Property]
    permissions: Mapping[str, Any]

    def property_of(self, parameter: str) -> Property | None:
        """The schema's entry; `net0` is one of `net[n]`."""
        if parameter in self.parameters:
            return self.parameters[parameter]
        match = _NUMBERED.fullmatch(parameter)
        return self.parameters.get(f"{match[1]}[n]") if match else None

    def checked(self, given: Mapping[str, list[str]]) -> dict[str, Any]:
        """The parameters with their types. Raises Refusal 400, an error for each wrong one."""
        typed: dict[str, Any] = {}
        errors: dict[str, str] = {}
        for name, values in given.items():
            form = self.property_of(name)
            if form is None:
                errors[name] = _UNKNOWN
                continue
            typed[name], error = _read(form, values)
            if error:
                errors[name] = error
        errors |= self._incomplete(given)
        if errors:
            raise wrong(errors)
        return typed

    def _incomplete(self, given: Mapping[str, list[str]]) -> dict[str, str]:
        absent = {
            name: _MISSING for name, form in self.parameters.items() if not form.get("optional") and name not in given
        }
        for name in given:
            needed = (self.property_of(name) or {}).get("requires")
            if needed and needed not in given:
                absent[needed] = f"missing property - '{name}' requires this property"
        return absent


@cache
def endpoints() -> Mapping[str, Endpoint]:
    """All that are served, by `METHOD /path/{with}/{placeholders}`."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: Endpoint(name, _shared(each["parameters"], content["formats"]), each["permissions"])
        for name, each in content["endpoints"].items()
    }


def _shared(parameters: Mapping[str, Property], formats: Mapping[str, Property]) -> dict[str, Property]:
    """With each `{"shared": N}` replaced by the format that several parameters have."""
    return {
        name: {**form, "format": formats[form["format"]["shared"]]} if _is_shared(form) else form
        for name, form in parameters.items()
    }


def _is_shared(form: Property) -> bool:
    return isinstance(form.get("format"), dict) and "shared" in form["format"]


def _read(form: Property, values: list[str]) -> tuple[Any, str]:
    """One parameter's value with its type, and what is wrong with it."""
    if form.get("type") == "array":
        read = [_read(form.get("items", {"type": "string"}), [value]) for value in values]
        return [value for value, _ in read], next((error for _, error in read if error), "")
    text = values[-1]
    match form.get("type"):
        case "boolean":
            return _boolean(text)
        case "integer":
            return _number(form, text, "integer", int)
        case "number":
            return _number(form, text, "number", float)
    return text, _text_error(form, text)


def _boolean(text: str) -> tuple[bool, str]:
    known = text.lower() in (*_YES, *_NO)
    return text.lower() in _YES, "" if known else f"type check ('boolean') failed - got '{text}'"


def _number(form: Property, text: str, kind: str, convert: type[int] | type[float]) -> tuple[float, str]:
    try:
        value = convert(text)
    except ValueError:
        return 0, f"type check ('{kind}') failed - got '{text}'"
    for bound, word, outside in (("minimum", "minimum", -1), ("maximum", "maximum", 1)):
        limit = form.get(bound)
        if limit is not None and (value - float(limit)) * outside > 0:
            return value, f"value must have a {word} value of {limit}"
    return value, ""


def _text_error(form: Property, text: str) -> str:
    if len(text) > int(form.get("maxLength", len(text))):
        return f"value may only be {form['maxLength']} characters long"
    if len(text) < int(form.get("minLength", 0)):
        return f"value must be at least {form['minLength']} characters long"
    if "enum" in form and text not in form["enum"]:
        return f"value '{text}' does not have a value in the enumeration '{', '.join(form['enum'])}'"
    if "pattern" in form and not _pattern(form["pattern"]).fullmatch(text):
        return "value does not match the regex pattern"
    return _format_error(form["format"], text) if "format" in form and text else ""


@cache
def _pattern(perl: str) -> re.Pattern[str]:
    """Perl's `(?^:...)` is Python's `(?:...)`; its `{,8}` is the same."""
    return re.compile(perl.replace("(?^:", "(?:"), re.ASCII)


def _format_error(form: object, text: str) -> str:
    properties = nested(form)
    if properties is None:
        return error_of(str(form), text)
    found, errors = parse_properties(properties, text)
    for name, value in found.items():
        if name in properties and (error := _read(properties[name], [value])[1]):
            errors.setdefault(name, error)
    for name, each in properties.items():
        if "type" in each and not each.get("optional") and name not in found and not each.get("default"):
            errors.setdefault(name, _MISSING)
    lines = "".join(f"{name}: {error.rstrip()}\n" for name, error in errors.items())
    return f"invalid format - format error\n{lines}" if errors else ""
