"""The lab's table of endpoints against the schema that Proxmox VE 9.1 publishes, both ways."""

import json
import lzma
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fairlead.lab.proxmox_api.access import ALL, NEEDED
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.lab.proxmox_api.formats import known
from fairlead.lab.proxmox_api.routes import ROUTES
from fairlead.lab.proxmox_api.schema import FILE, endpoints
from tests.lab.proxmox_api.client import Client
from tools.proxmox_endpoints import extract

# The `apidata` of Proxmox's API viewer as JSON by path, without its prose.
SCHEMA = Path(__file__).parent / "pve-9.1-api-schema.json.xz"
VALUES = {"node": "pve1", "vmid": "101", "storage": "local-lvm", "volume": "local-lvm:x", "upid": "UPID:x",
          "poolid": "p", "roleid": "Fairlead"}  # fmt: skip


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """Proxmox's own schema."""
    content: dict[str, Any] = json.loads(lzma.decompress(SCHEMA.read_bytes()))
    return content


def test_the_table_is_what_the_schema_says_of_the_routes_and_nothing_else(published: dict[str, Any]) -> None:
    """Every route is in Proxmox's schema; its parameters and privileges are Proxmox's, all and only those."""
    assert json.loads(FILE.read_text()) == extract(published, list(ROUTES))


def test_every_endpoint_of_the_table_has_a_route() -> None:
    """And every route has its entry."""
    assert set(endpoints()) == set(ROUTES)


def test_parameters_that_are_not_served_exist(published: dict[str, Any]) -> None:
    """A refusal names a parameter that Proxmox has."""
    for name, route in ROUTES.items():
        method, _, path = name.partition(" ")
        assert set(route.unserved) <= set(published[path][method]["parameters"].get("properties", {})), name


def test_the_privileges_that_the_lab_knows_are_those_that_the_schema_asks_for(published: dict[str, Any]) -> None:
    """None of them is made up, and all that the schema names can be granted."""
    asked = {
        word for text in _texts(published) for word in re.findall(r"\b(?:VM|Datastore|Sys|SDN|Pool)\.[\w.]+", text)
    }
    assert asked <= ALL
    assert NEEDED <= ALL


def _texts(content: Any) -> Iterator[str]:
    for methods in content.values():
        for each in methods.values():
            yield json.dumps(each["permissions"])


def test_every_named_format_is_known() -> None:
    """None is passed over in silence."""
    named = {form for each in endpoints().values() for form in _formats(each.parameters)}
    assert [name for name in sorted(named) if not known(name)] == []


def _formats(parameters: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for each in parameters.values():
        form = each.get("format")
        if isinstance(form, Mapping):
            yield from _formats(form)
        elif form:
            yield str(form)


@pytest.mark.parametrize("name", sorted(ROUTES))
def test_each_endpoint_is_served_and_refuses_what_is_not_in_the_schema(visitor: Client, name: str) -> None:
    """Through HTTP: it is there, and an unknown parameter is named."""
    method, _, path = name.partition(" ")
    filled = re.sub(r"\{(\w+)\}", lambda match: VALUES[match[1]], path)

    assert visitor.ask(method, filled).status != 501
    wrong = visitor.ask(method, filled, bogus="1")
    assert wrong.status == 400
    assert wrong.errors["bogus"].startswith("property is not defined in schema")


@pytest.mark.parametrize("name", sorted(name for name, route in ROUTES.items() if route.unserved))
def test_what_the_lab_cannot_do_is_refused_and_not_passed_over(name: str, shared: ProxmoxApi, visitor: Client) -> None:
    """A parameter that Proxmox has and the lab has not."""
    method, _, path = name.partition(" ")
    filled = re.sub(r"\{(\w+)\}", lambda match: VALUES[match[1]], path)
    for parameter in ROUTES[name].unserved:
        given = {parameter.replace("-", "__"): _value(endpoints()[name].parameters[parameter])}
        needed = {"POST /nodes/{node}/qemu/{vmid}/clone": {"newid": 555}}.get(name, {})
        answer = visitor.ask(method, filled, **needed, **given)
        assert (answer.status, repr(parameter) in answer.message) in ((501, True), (400, False)), answer
        assert shared.cluster.has_machine(555) is False


def _value(form: Mapping[str, Any]) -> str:
    """Some good value."""
    if form.get("enum"):
        return str(form["enum"][0])
    return {"boolean": "1", "integer": "1"}.get(str(form["type"]), "scsi0")
