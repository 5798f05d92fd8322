"""The privileges that doctor asks for are those that the how-to grants, and those of the lab's own token."""

import re
from pathlib import Path

from fairlead.lab.proxmox_api.access import NEEDED
from fairlead.provision import privileges
from fairlead.provision.privileges import needs

HOW_TO = Path("docs/how-to/proxmox-token.md")


def test_the_how_to_makes_roles_with_exactly_what_is_needed() -> None:
    text = HOW_TO.read_text()
    roles = {name: set(held.split()) for name, held in re.findall(r'role add (\w+) --privs "([^"]+)"', text)}
    assert roles == {
        "FairleadMachine": set(privileges.MACHINE | privileges.AGENT),
        "FairleadTemplate": set(privileges.TEMPLATE),
        "FairleadStorage": set(privileges.STORAGE),
        "FairleadBridge": set(privileges.BRIDGE),
    }
    assert [name for name in privileges.DANGEROUS - {"Realm.Allocate"} if f"`{name}`" not in text] == []


def test_the_labs_token_has_exactly_what_is_needed() -> None:
    wanted = needs((9, 1), 101, 9000, "local-lvm", "vmbr0")
    assert frozenset().union(*(need.privileges for need in wanted)) == NEEDED


def test_proxmox_8_has_one_privilege_for_the_agent() -> None:
    machine = next(needs((8, 4), 101, 9000, "local-lvm", "vmbr0"))
    assert (machine.path, machine.privileges) == ("/vms/101", privileges.MACHINE | {"VM.Monitor"})
