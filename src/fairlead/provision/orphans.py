"""The orphan sweep. OpenTofu that was killed forgets what it made (measured), so before the next plan the machines that
Proxmox has are compared with its state: what is ours is imported, what is not stops the run. Never a second VM.
"""

from collections.abc import Collection
from dataclasses import dataclass

from fairlead.errors import MachineTaken
from fairlead.provision.proxmox import ProxmoxSite, VirtualMachine


@dataclass(frozen=True, slots=True)
class Wanted:
    """An environment's machine as its variables say. tag: the one that only this environment's machine carries."""

    vm_id: int
    name: str
    tag: str
    template_id: int


def sweep(site: ProxmoxSite, wanted: Wanted, in_state: Collection[int]) -> VirtualMachine | None:
    """The machine to import, None for nothing to do. in_state: the VM numbers that OpenTofu's state has.

    Raises MachineTaken, and ProxmoxDenied where the list of machines cannot be believed.
    """
    return orphan(site.require_sight(wanted.template_id), wanted, in_state)


def orphan(machines: Collection[VirtualMachine], wanted: Wanted, in_state: Collection[int]) -> VirtualMachine | None:
    """The sweep's decision.

    A clone that was cut off has its number and its name already, and no tags yet: so the number counts like the tag.
    """
    outside = [
        machine
        for machine in machines
        if machine.vm_id not in in_state
        and (machine.vm_id == wanted.vm_id or (wanted.tag in machine.tags and not machine.template))
    ]
    strangers = [machine for machine in outside if not _is_ours(machine, wanted)]
    if strangers:
        raise _taken(strangers, wanted)
    return outside[0] if outside else None


def _is_ours(machine: VirtualMachine, wanted: Wanted) -> bool:
    return (machine.vm_id, machine.name, machine.kind) == (wanted.vm_id, wanted.name, "qemu") and not machine.template


def _taken(strangers: list[VirtualMachine], wanted: Wanted) -> MachineTaken:
    numbered = any(machine.vm_id == wanted.vm_id for machine in strangers)
    mark = f"the number {wanted.vm_id}" if numbered else f"the tag {wanted.tag}"
    first = strangers[0]
    return MachineTaken(
        f"{', '.join(map(str, strangers))} has {mark}, and is not the machine {wanted.name} ({wanted.vm_id})",
        why="OpenTofu's state does not know it; it may be a machine of somebody else, or one that was renamed",
        remedy=f"Look at it: qm config {first.vm_id}. Ours: qm set {wanted.vm_id} --name {wanted.name}. "
        "Another's: choose another vm_id in the environment's .tfvars, or take the tag off",
    )
