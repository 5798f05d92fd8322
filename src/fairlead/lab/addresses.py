"""Who has which address in a lab. Pure, but for the kernel's routing table.

In a subnet of 256 addresses: .1 the gateway (the engine's host), .2 the registry, .3 PostgreSQL, .4 to .9 kept for
simulators, .11 and up the machines, in the order in which their environments were named, .211 and up those that
OpenTofu is to make.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from fairlead.errors import LabSubnetInUse, LabUsage

Network = ipaddress.IPv4Network

FIRST_MACHINE = 11
LARGEST_SITE = 200
FIRST_VIRTUAL = 211
MOST_VIRTUAL = 40
# The Docker engine inside a machine gives these to its own containers: a lab there would be hidden from them.
MACHINE_BRIDGE = "172.31.0.1/24"
MACHINE_POOL = "172.30.0.0/16"
_INSIDE_MACHINES = (Network(MACHINE_POOL), ipaddress.ip_interface(MACHINE_BRIDGE).network)
_ROUTES = Path("/proc/net/route")


def parse_subnet(text: str) -> Network:
    """`10.77.0.0/24`, private and not one that the machines use inside. Raises LabUsage."""
    try:
        network = Network(text)
    except ValueError as error:
        raise _unusable(text, str(error)) from error
    if network.prefixlen != 24 or not network.is_private:
        raise _unusable(text, "A lab takes a private network of 256 addresses (/24)")
    if any(network.overlaps(inside) for inside in _INSIDE_MACHINES if isinstance(inside, Network)):
        raise _unusable(text, f"The machines' own containers use {MACHINE_POOL} and {MACHINE_BRIDGE}")
    return network


def _unusable(text: str, why: str) -> LabUsage:
    return LabUsage(f"The subnet {text!r} cannot be used", why=why, remedy="For example: --subnet 10.77.0.0/24")


def candidates() -> Iterable[Network]:
    """The subnets that a lab takes by itself, in order."""
    return (Network(f"10.{second}.{third}.0/24") for second in (77, 78, 79) for third in range(256))


def first_free(taken: Sequence[Network]) -> Network:
    """The first candidate that overlaps nothing that is taken. Raises LabSubnetInUse."""
    for network in candidates():
        if not any(network.overlaps(other) for other in taken):
            return network
    raise LabSubnetInUse("Every subnet from 10.77.0.0/24 to 10.79.255.0/24 is in use", remedy="fairlead lab down")


def require_free(wanted: Network, taken: Sequence[Network], option: str = "") -> Network:
    """The wanted subnet, if nothing overlaps it. Raises LabSubnetInUse, which names a free one.

    option: what else the command in the error needs.
    """
    for other in taken:
        if wanted.overlaps(other):
            raise LabSubnetInUse(
                f"The subnet {wanted} is in use",
                why=f"{other} is a network of this machine or of its Docker engine",
                remedy=f"fairlead lab up{option} --subnet {first_free(taken)}",
            )
    return wanted


def gateway(subnet: Network) -> str:
    """The engine's host, as machines see it."""
    return str(subnet[1])


def registry(subnet: Network) -> str:
    """The registry's container."""
    return str(subnet[2])


def postgresql(subnet: Network) -> str:
    """PostgreSQL's container."""
    return str(subnet[3])


def virtual(subnet: Network, position: int) -> str:
    """The machine that OpenTofu makes for the environment at this position (0 is the first)."""
    if position >= MOST_VIRTUAL:
        raise LabUsage(f"A lab has at most {MOST_VIRTUAL} environments whose machines OpenTofu makes")
    return str(subnet[FIRST_VIRTUAL + position])


def machine(subnet: Network, position: int) -> str:
    """The machine of the environment at this position (0 is the first)."""
    if position >= LARGEST_SITE:
        raise LabUsage(f"A lab has at most {LARGEST_SITE} environments")
    return str(subnet[FIRST_MACHINE + position])


def routed(table: str) -> list[Network]:
    """The networks of a routing table in the form of Linux's /proc/net/route, without the default route."""
    rows = (line.split() for line in table.splitlines()[1:])
    networks = (Network((_address(row[1]), str(_address(row[7])))) for row in rows if len(row) > 7)
    return [network for network in networks if network.prefixlen]


def _address(hexadecimal: str) -> ipaddress.IPv4Address:
    """The kernel prints addresses as numbers in the machine's byte order (little-endian on every platform here)."""
    return ipaddress.IPv4Address(bytes.fromhex(hexadecimal)[::-1])


def taken(engine_networks: Iterable[str]) -> list[Network]:
    """All networks of the engine (as texts; IPv6 is left out) and of this machine's routing table."""
    of_engine = (ipaddress.ip_network(text, strict=False) for text in engine_networks)
    of_machine = routed(_ROUTES.read_text(encoding="ascii")) if _ROUTES.exists() else []
    return [network for network in chain(of_engine, of_machine) if isinstance(network, Network)]
