"""Whether an address is free before a machine is made with it: two machines with one address break both."""

import ipaddress
import re
import socket
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fairlead.errors import MachineTaken, ProxmoxDenied
from fairlead.provision.proxmox import ProxmoxSite, VirtualMachine

_PROBE_TIME = 1.0  # seconds; who is in the same network answers in milliseconds
_SSH_PORT = 22
_NEIGHBOURS = Path("/proc/net/arp")
_COMPLETE = 0x2  # ATF_COM, arp(7)


def refuse_taken_address(site: ProxmoxSite, machines: Collection[VirtualMachine], vm_id: int, address: str) -> None:
    """Raise MachineTaken where another VM is configured with the address, or somebody answers there.

    machines: as `ProxmoxSite.machines` lists them. vm_id: the machine that is to be made; it is not there yet.
    """
    for machine in machines:
        if machine.vm_id != vm_id and not machine.template and address in _addresses_of(site, machine):
            raise _taken(address, f"{machine} is configured with it")
    if answers(address):
        raise _taken(address, f"Somebody answers there, and VM {vm_id} is not made yet")


def addresses(configuration: Mapping[str, Any]) -> set[str]:
    """The addresses that cloud-init gives a machine: ipconfig0 … ipconfig31, without prefix lengths."""
    texts = (str(value) for key, value in configuration.items() if re.fullmatch(r"ipconfig\d+", key))
    pairs = (part.partition("=") for text in texts for part in text.split(","))
    return {value.partition("/")[0] for key, _, value in pairs if key in ("ip", "ip6")} - {"dhcp", "auto"}


def answers(address: str, port: int = _SSH_PORT, within: float = _PROBE_TIME) -> bool:
    """Whether somebody is there: an open port, or one that a neighbour refuses.

    A refusal from further away may be a firewall's, for an address that nobody has; and at a loopback address answers
    this host itself.
    """
    if ipaddress.ip_address(address).is_loopback:
        return False
    try:
        socket.create_connection((address, port), timeout=within).close()
    except ConnectionRefusedError:
        return _is_neighbour(address)
    except OSError:
        return False
    return True


def _is_neighbour(address: str) -> bool:
    """Whether a host of this network has just said that the address is its own. Source: proc(5), /proc/net/arp."""
    rows = (line.split() for line in _NEIGHBOURS.read_text(encoding="ascii").splitlines()[1:])
    return any(row[0] == address and int(row[2], 16) & _COMPLETE for row in rows)


def _addresses_of(site: ProxmoxSite, machine: VirtualMachine) -> set[str]:
    if machine.kind != "qemu":
        return set()
    try:
        return addresses(site.configuration(machine.node, machine.vm_id))
    except ProxmoxDenied:
        return set()  # somebody else's: only the probe can tell


def _taken(address: str, why: str) -> MachineTaken:
    return MachineTaken(
        f"The address {address} is taken",
        why=why,
        remedy="Choose another address in the environment's .tfvars, or take it off the other machine",
    )
