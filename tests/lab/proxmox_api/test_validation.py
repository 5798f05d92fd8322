"""Requests are refused as Proxmox refuses them: status, reason and body."""

import pytest

from fairlead.lab.proxmox_api.formats import error_of, parse_properties
from fairlead.lab.proxmox_api.machine import size_bytes, size_text
from fairlead.lab.proxmox_api.schema import endpoints
from tests.lab.proxmox_api.client import FIRST, NODE, TEMPLATE, Client

UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"

CHANGES = [
    ("unknown", {"bogus": "1"}, {"bogus": UNKNOWN}),
    ("no integer", {"cores": "two"}, {"cores": "type check ('integer') failed - got 'two'"}),
    ("no boolean", {"onboot": "maybe"}, {"onboot": "type check ('boolean') failed - got 'maybe'"}),
    ("no number", {"cpulimit": "x"}, {"cpulimit": "type check ('number') failed - got 'x'"}),
    ("too small", {"cores": "0"}, {"cores": "value must have a minimum value of 1"}),
    ("too large", {"cpulimit": "999"}, {"cpulimit": "value must have a maximum value of 128"}),
    ("too long", {"digest": "a" * 41}, {"digest": "value may only be 40 characters long"}),
    (
        "not in the list",
        {"bios": "legacy"},
        {"bios": "value 'legacy' does not have a value in the enumeration 'seabios, ovmf'"},
    ),
    ("no pattern", {"serial0": "tty"}, {"serial0": "value does not match the regex pattern"}),
    ("no name", {"name": "a_b"}, {"name": "invalid format - value does not look like a valid DNS name\n"}),
    ("needs another", {"force": "1"}, {"delete": "missing property - 'force' requires this property"}),
    ("part of a card", {"net0": "virtio,speed=1"}, {"net0": f"invalid format - format error\nspeed: {UNKNOWN}\n"}),
    (
        "value in a card",
        {"net0": "virtio,tag=9999"},
        {"net0": "invalid format - format error\ntag: value must have a maximum value of 4094\n"},
    ),
    (
        "no address",
        {"ipconfig0": "ip=10.0.0.1"},
        {
            "ipconfig0": "invalid format - format error\n"
            "ip: invalid format - value does not look like a valid pve-ipv4-config\n"
        },
    ),
    ("small memory", {"memory": "8"}, {"memory": "invalid format - format error\n"
                                                 "current: value must have a minimum value of 16\n"}),
    ("two at once", {"cores": "x", "sockets": "-1"},
     {"cores": "type check ('integer') failed - got 'x'", "sockets": "value must have a minimum value of 1"}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "errors"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_change_that_the_schema_forbids(visitor: Client, given: dict[str, str], errors: dict[str, str]) -> None:
    """Every wrong parameter is named, in Proxmox's words."""
    answer = visitor.ask("PUT", f"{TEMPLATE}/config", **given)

    assert (answer.status, answer.reason, answer.message) == (400, "Parameter verification failed.",
                                                              "Parameter verification failed.\n")  # fmt: skip
    assert answer.errors == errors
    assert visitor.get(f"{TEMPLATE}/config")["cores"] == 1


def test_a_missing_parameter_is_named(visitor: Client) -> None:
    """A clone needs its new number."""
    answer = visitor.ask("POST", f"{TEMPLATE}/clone")
    assert (answer.status, answer.errors) == (400, {"newid": "property is missing and it is not optional"})


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nodes/pve1/nothing", 501, "Method 'GET /nodes/pve1/nothing' not implemented\n"),
        ("GET", "/nodes/other/qemu", 500, "hostname lookup 'other' failed - failed to get address info for: other\n"),
        ("GET", f"{FIRST}/config", 500, "Configuration file 'nodes/pve1/qemu-server/101.conf' does not exist\n"),
        ("GET", f"{NODE}/storage/nfs/status", 500, "storage 'nfs' does not exist\n"),
    ],
)
def test_what_is_not_there(visitor: Client, method: str, path: str, status: int, message: str) -> None:
    """The provider takes a VM for destroyed by the words `does not exist`."""
    answer = visitor.ask(method, path)
    assert (answer.status, answer.message) == (status, message)


def test_a_request_may_be_json(visitor: Client) -> None:
    """Proxmox takes both forms."""
    said = visitor.http.put(f"{TEMPLATE}/config", json={"onboot": True, "description": "base"})
    assert said.status_code == 200
    assert visitor.get(f"{TEMPLATE}/config")["onboot"] == 1


def test_a_body_of_another_kind_or_size_is_refused(visitor: Client) -> None:
    """Neither is read into memory."""
    odd = visitor.http.put(f"{TEMPLATE}/config", content=b"<x/>", headers={"Content-Type": "text/xml"})
    broken = visitor.http.put(f"{TEMPLATE}/config", content=b"{", headers={"Content-Type": "application/json"})
    assert (odd.status_code, broken.status_code) == (501, 500)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("dns-name", ["a", "shop-1.example.com"], ["a_b", "-a", "a..b", ""]),
        ("ipv4", ["10.0.0.1"], ["10.0.0", "10.0.0.1/24", "::1"]),
        ("CIDR", ["10.0.0.0/8", "fd00::/8"], ["10.0.0.0", "10.0.0.0/99"]),
        ("address-list", ["1.1.1.1 9.9.9.9", "dns.example.com"], ["1.1.1.1 a_b"]),
        ("pve-tag-list", ["app;staging", "a,b", "a_b.c+d"], ["-a", "a;é"]),
        ("pve-vmid", ["100", "999999999"], ["99", "x", "0100"]),
        ("mac-addr", ["BC:24:11:00:00:01"], ["BD:24:11:00:00:01", "BC24"]),
        ("disk-size", ["8G", "512M", "4.5T", "1024"], ["8GB", "G"]),
        ("urlencoded", ["ssh-ed25519%20AAAA%0A"], ["a b"]),
    ],
)
def test_formats(name: str, good: list[str], bad: list[str]) -> None:
    """By name, as the schema uses them."""
    assert [text for text in good if error_of(name, text)] == []
    assert [text for text in bad if not error_of(name, text)] == []


def test_a_property_string_is_taken_apart_by_its_format() -> None:
    """Default key, alias and key alias."""
    form = endpoints()["PUT /nodes/{node}/qemu/{vmid}/config"].parameters
    card = "virtio=BC:24:11:00:00:01,bridge=vmbr0"
    assert parse_properties(form["net[n]"]["format"], card) == (
        {"model": "virtio", "macaddr": "BC:24:11:00:00:01", "bridge": "vmbr0"}, {},
    )  # fmt: skip
    assert parse_properties(form["scsi[n]"]["format"], "volume=local:x,size=8G")[0] == {"file": "local:x", "size": "8G"}
    assert parse_properties(form["scsi[n]"]["format"], "local:x,size=8G,size=9G")[1] == {
        "size": "duplicate key in comma-separated list property"
    }


@pytest.mark.parametrize(("text", "size", "again"), [("8G", 8 << 30, "8G"), ("4294967296", 4 << 30, "4G"),
                                                    ("1536M", 1536 << 20, "1536M"), ("1.5G", 1536 << 20, "1536M"),
                                                    ("1023", 1023, "1023")])  # fmt: skip
def test_sizes(text: str, size: int, again: str) -> None:
    """In the largest unit that leaves no rest."""
    assert (size_bytes(text), size_text(size)) == (size, again)
