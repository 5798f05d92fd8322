"""Write what the lab's Proxmox API serves of Proxmox's own schema: src/fairlead/lab/proxmox_api/endpoints.json.

    python -m tools.proxmox_endpoints SCHEMA.json      # the `apidata` of Proxmox's API viewer, as JSON by path

Needed after a route was added, or for a newer Proxmox. Formats that several parameters share are written once.
"""

import json
import sys
from pathlib import Path
from typing import Any

Schema = dict[str, dict[str, Any]]


def extract(schema: Schema, names: list[str]) -> dict[str, Any]:
    """The endpoints' parameters and permissions, and the formats that parameters share."""
    formats: dict[str, Any] = {}
    served = {}
    for name in sorted(names):
        method, _, path = name.partition(" ")
        found = schema[path][method]
        properties = found["parameters"].get("properties", {})
        served[name] = {
            "parameters": {key: _shared(each, formats) for key, each in sorted(properties.items())},
            "permissions": found["permissions"],
        }
    return {"formats": formats, "endpoints": served}


def _shared(form: dict[str, Any], formats: dict[str, Any]) -> dict[str, Any]:
    nested = form.get("format")
    if not isinstance(nested, dict):
        return form
    key = next((key for key, known in formats.items() if known == nested), f"f{len(formats)}")
    formats[key] = nested
    return {**form, "format": {"shared": key}}


def written(content: dict[str, Any]) -> str:
    """As JSON with a parameter a line, so that a change is readable."""
    lines = ["{", '"formats": {']
    lines += _entries(content["formats"])
    lines += ["},", '"endpoints": {']
    blocks = []
    for name, each in content["endpoints"].items():
        parameters = "\n".join(_entries(each["parameters"]))
        permissions = json.dumps(each["permissions"])
        blocks.append(f'{json.dumps(name)}: {{"permissions": {permissions}, "parameters": {{\n{parameters}\n}}}}')
    return "\n".join([*lines, ",\n".join(blocks), "}", "}", ""])


def _entries(content: dict[str, Any]) -> list[str]:
    rows = [f"{json.dumps(key)}: {json.dumps(each, sort_keys=True)}" for key, each in content.items()]
    return [f"{row}," for row in rows[:-1]] + rows[-1:]


def main() -> int:
    """Write the file."""
    from fairlead.lab.proxmox_api.routes import ROUTES
    from fairlead.lab.proxmox_api.schema import FILE

    schema = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    FILE.write_text(written(extract(schema, list(ROUTES))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
