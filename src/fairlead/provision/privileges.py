"""What a token has to be allowed, and nothing more. Source: the API viewer of Proxmox VE 9.1, each path's permissions.

docs/how-to/proxmox-token.md makes such a token; `fairlead doctor` compares.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_CONFIGURED = ("CDROM", "CPU", "Cloudinit", "Disk", "HWType", "Memory", "Network", "Options")
MACHINE = frozenset({"VM.Allocate", "VM.Audit", "VM.PowerMgmt", *(f"VM.Config.{part}" for part in _CONFIGURED)})
AGENT = frozenset({"VM.GuestAgent.Audit", "VM.GuestAgent.FileRead"})
AGENT_BEFORE_9 = frozenset({"VM.Monitor"})
TEMPLATE = frozenset({"VM.Audit", "VM.Clone"})
STORAGE = frozenset({"Datastore.AllocateSpace", "Datastore.Audit"})
BRIDGE = frozenset({"SDN.Use"})
# With one of these a stolen token is the whole site.
DANGEROUS = frozenset(
    {"Permissions.Modify", "Realm.Allocate", "Sys.Modify", "User.Modify", "VM.GuestAgent.Unrestricted"}
)


@dataclass(frozen=True, slots=True)
class Need:
    """Privileges on one path."""

    path: str
    privileges: frozenset[str]


def needs(version: tuple[int, int], vm_id: int, template_id: int, datastore: str, bridge: str) -> Iterator[Need]:
    """What one environment's machine takes. version: Proxmox VE's; 9 has privileges for the guest agent alone."""
    agent = AGENT if version >= (9, 0) else AGENT_BEFORE_9
    yield Need(f"/vms/{vm_id}", MACHINE | agent)
    yield Need(f"/vms/{template_id}", TEMPLATE)
    yield Need(f"/storage/{datastore}", STORAGE)
    yield Need(f"/sdn/zones/localnetwork/{bridge}", BRIDGE)
