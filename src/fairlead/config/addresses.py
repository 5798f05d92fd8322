"""The address of a machine: what passes from provisioning to deployment, so it is checked once, here."""

import ipaddress
import re

from fairlead.errors import InvalidSetting

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)


def machine_address(text: str, place: str) -> str:
    """An IPv4 or IPv6 address, or a host name (RFC 1123), as it is. place: where it was written, for the error.

    It becomes an argument of ssh and a value on Ansible's controller, so nothing else passes. Raises InvalidSetting.
    """
    if len(text) <= 253 and (_is_ip(text) or _HOST_NAME.fullmatch(text)):
        return text
    raise InvalidSetting(
        f"{place}: {text!r} is not the address of a machine",
        why="It is neither an IP address nor a host name",
        remedy="Write an address such as 10.0.0.5",
    )


def _is_ip(text: str) -> bool:
    try:
        return not getattr(ipaddress.ip_address(text), "scope_id", None)
    except ValueError:
        return False
