"""Proxmox's named formats and property strings (`virtio=BC:24:11:00:00:01,bridge=vmbr0`).

Source of the names: the schema's `format`. What each means is pve-common's JSONSchema.pm and qemu-server's, as
documented; those in FREE are kept as given: the lab's machines do not have what they describe.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Property = Mapping[str, Any]
Check = Callable[[str], bool]

_LIST_SEPARATOR = re.compile(r"[,;\s\0]+")
_TEXTS = {
    "disk-size": r"\d+(\.\d+)?[KMGT]?",
    "mac-addr": r"(?i:[a-f0-9][02468ace](:[a-f0-9]{2}){5})",
    "pve-bridge-id": r"[-_.\w]+",
    "pve-configid": r"(?i:[a-z][a-z0-9_-]+)",
    "pve-node": r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?",
    "pve-poolid": r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,2}",
    "pve-roleid": r"[A-Za-z0-9._-]+",
    "pve-storage-content": r"[a-z-]+",
    "pve-storage-id": r"(?i:[a-z][a-z0-9_.-]*[a-z0-9])",
    "pve-tag": r"(?i:[a-z0-9_][a-z0-9_+.-]*)",
    "pve-task-status-type": r"ok|error|warning|unknown",
    "pve-vmid": r"[1-9]\d{2,8}",
    "pve-volume-id": r"(?i:[a-z][a-z0-9_.-]*[a-z0-9]):\S+",
    "pve-volume-id-or-absolute-path": r"/.+|(?i:[a-z][a-z0-9_.-]*[a-z0-9]):\S+",
    "pve-volume-id-or-qm-path": r"none|cdrom|/.+|(?i:[a-z][a-z0-9_.-]*[a-z0-9]):\S+",
    "urlencoded": r"[-%a-zA-Z0-9_.!~*'()]*",
}
_PATTERNS = {name: re.compile(pattern, re.ASCII) for name, pattern in _TEXTS.items()}
_DNS_LABEL = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", re.ASCII)
_NAMES = {"pve-vmid": "VM ID", "dns-name": "DNS name", "pve-node": "node name", "pve-configid": "configuration ID",
          "disk-size": "disk size", "mac-addr": "MAC address", "pve-storage-id": "storage ID",
          "pve-tag": "tag"}  # fmt: skip
FREE = frozenset(
    [
        "pve-cpuset",
        "pve-hotplug-features",
        "pve-qemu-sev-fmt",
        "pve-qemu-tdx-fmt",
        "pve-qm-boot",
        "pve-qm-bootdisk",
        "pve-qm-cicustom",
        "pve-qm-hostpci",
        "pve-qm-ide",
        "pve-qm-rng",
        "pve-qm-smbios1",
        "pve-qm-watchdog",
        "pve-startup-order",
        "pve-vm-cpu-conf",
        "storage-pair",
    ]
)
# What the schema only names, written out. Source: qemu-server, PVE/QemuServer/Cloudinit (pve-qm-ipconfig).
_NESTED: Mapping[str, Mapping[str, Property]] = {
    "pve-qm-ipconfig": {
        "ip": {"type": "string", "format": "pve-ipv4-config", "optional": 1},
        "gw": {"type": "string", "format": "ipv4", "optional": 1, "requires": "ip"},
        "ip6": {"type": "string", "format": "pve-ipv6-config", "optional": 1},
        "gw6": {"type": "string", "format": "ipv6", "optional": 1, "requires": "ip6"},
    }
}


def is_dns_name(text: str) -> bool:
    """Labels of letters, digits and hyphens with dots between."""
    return 0 < len(text) < 256 and all(_DNS_LABEL.fullmatch(label) for label in text.split("."))


def _parses(parse: Callable[[str], object]) -> Check:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _with_prefix(parse: Callable[[str], object]) -> Check:
    return lambda text: "/" in text and _parses(parse)(text)


_is_ip = _parses(ipaddress.ip_address)
_CHECKS: dict[str, Check] = {
    "dns-name": is_dns_name,
    "address": lambda text: _is_ip(text) or is_dns_name(text),
    "ip": _is_ip,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "CIDR": _with_prefix(ipaddress.ip_interface),
    "pve-ipv4-config": lambda text: text == "dhcp" or _with_prefix(ipaddress.IPv4Interface)(text),
    "pve-ipv6-config": lambda text: text in ("dhcp", "auto") or _with_prefix(ipaddress.IPv6Interface)(text),
}


def known(name: str) -> bool:
    """Whether the lab has an opinion on this format, if only that it is free."""
    single = name.removesuffix("-list")
    return name in _NESTED or single in FREE or single in _CHECKS or single in _PATTERNS


def nested(form: object) -> Mapping[str, Property] | None:
    """The properties of a property string; None for a plain format."""
    if isinstance(form, Mapping):
        return form
    return _NESTED.get(str(form))


def error_of(name: str, text: str) -> str:
    """What is wrong with a text of this named format, in Proxmox's words; empty if nothing is."""
    single = name.removesuffix("-list")
    words = split_list(text) if name.endswith("-list") else [text]
    if all(_fits(single, word) for word in words):
        return ""
    return f"invalid format - value does not look like a valid {_NAMES.get(single, single)}\n"


def split_list(text: str) -> list[str]:
    """A list as Proxmox takes it: with commas, semicolons or blanks between."""
    return [word for word in _LIST_SEPARATOR.split(text) if word]


def _fits(name: str, text: str) -> bool:
    if check := _CHECKS.get(name):
        return check(text)
    pattern = _PATTERNS.get(name)
    return pattern is None or bool(pattern.fullmatch(text))


def parse_properties(form: Mapping[str, Property], text: str) -> tuple[dict[str, str], dict[str, str]]:
    """The properties of a property string, aliases resolved, and what is wrong with it by property."""
    found: dict[str, str] = {}
    errors: dict[str, str] = {}
    default = next((name for name, each in form.items() if each.get("default_key")), None)
    for word in filter(None, text.split(",")):
        key, equals, value = word.partition("=")
        if not equals and default:
            key, value = default, word
        for name, content in _resolved(form, key, value):
            if name not in form:
                errors[key] = "property is not defined in schema and the schema does not allow additional properties"
            elif name in found:
                errors[name] = "duplicate key in comma-separated list property"
            found[name] = content
    return found, errors


def _resolved(form: Mapping[str, Property], key: str, value: str) -> Iterable[tuple[str, str]]:
    """`virtio=MAC` is model=virtio and macaddr=MAC (keyAlias); `volume=X` is file=X (alias)."""
    alias = form.get(key, {})
    if key_alias := alias.get("keyAlias"):
        yield key_alias, key
    yield alias.get("alias", key), value
