"""What OpenTofu would do, read from its own JSON: typed changes, in words, and whether it may be done without a person.

Source: OpenTofu, "JSON Output Format", plan representation; `change.actions` is one of ["no-op"], ["read"], ["create"],
["update"], ["delete"], ["delete","create"], ["create","delete"], ["forget"].
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MACHINE = "proxmox_virtual_environment_vm"
Action = Literal["create", "update", "delete", "replace"]
_IDLE = (["no-op"], ["read"])
_VERBS = {
    "create": "is created",
    "update": "is changed",
    "delete": "is destroyed",
    "replace": "is DESTROYED and made anew",
}
# What a person calls a value of the provider's, by its path without list positions.
_NAMES = {
    "memory.dedicated": "memory (MiB)",
    "cpu.cores": "cores",
    "disk.size": "disk (GiB)",
    "initialization.ip_config.ipv4.address": "address",
    "initialization.ip_config.ipv4.gateway": "gateway",
    "initialization.dns.servers": "DNS servers",
    "initialization.user_account.keys": "SSH keys",
    "network_device.bridge": "bridge",
    "started": "started",
    "tags": "tags",
    "name": "name",
}
_SHOWN_AT_CREATION = (
    "node_name",
    "cpu.cores",
    "memory.dedicated",
    "disk.size",
    "initialization.ip_config.ipv4.address",
)


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value. old, new: as JSON text; sensitive ones as `***`."""

    path: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{_NAMES.get(self.path, self.path)} {self.old} → {self.new}"


@dataclass(frozen=True)
class Change:
    """One resource. reasons: the paths that force a replacement. is_machine: a VM. own: the environment's own VM."""

    address: str
    kind: str
    action: Action
    title: str
    values: tuple[ValueChange, ...]
    reasons: tuple[str, ...] = ()
    is_machine: bool = False
    own: bool = False

    def words(self) -> list[str]:
        """One line for the resource, and one for each value."""
        because = f", because {', '.join(self.reasons)} cannot be changed in place" if self.reasons else ""
        return [f"{self.title} {_VERBS[self.action]}{because}", *(f"  {value}" for value in self.values)]


@dataclass(frozen=True)
class Plan:
    """A plan. machine: what the environment's own VM is to be; None where the plan has none.

    known: the numbers of all VMs in the state.
    """

    changes: tuple[Change, ...]
    machine: "MachinePlan | None"
    vm_ip: str
    drift: tuple[Change, ...] = ()
    known: tuple[int, ...] = ()
    _content: str = field(default="", repr=False)

    @property
    def makes_machine(self) -> bool:
        """Whether a VM comes new."""
        return any(change.is_machine and change.action in ("create", "replace") for change in self.changes)

    def words(self) -> tuple[str, ...]:
        """Every change, as a person reads it."""
        return tuple(line for change in self.changes for line in change.words())

    def refusals(self) -> tuple[str, ...]:
        """Why a person has to allow this plan; empty for one that only concerns the environment's machine."""
        return tuple(_refusals(self.changes))

    def identifier(self, serial: int) -> str:
        """Twelve hexadecimal digits for this very plan, made on this state."""
        return hashlib.sha256(f"{serial} {self._content}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """The environment's VM as the configuration wants it, and where it is in the code."""

    address: str
    node: str
    vm_id: int
    name: str
    template_id: int
    in_state: bool


def read_plan(document: Mapping[str, Any], own_tag: str) -> Plan:
    """A plan from `tofu show -json`. own_tag: the tag that only this environment's machine carries."""
    changes = tuple(_changes(document.get("resource_changes", ()), own_tag))
    outputs = document.get("planned_values", {}).get("outputs", {})
    vm_ip = outputs.get("vm_ip", {}).get("value") or ""
    drift = tuple(_changes(document.get("resource_drift", ()), own_tag))
    content = json.dumps([_content(change) for change in document.get("resource_changes", ())], sort_keys=True)
    return Plan(changes, _machine(document, own_tag), str(vm_ip), drift, tuple(_known(document)), content)


def unchanged(node: str, vm_id: int, vm_ip: str) -> Plan:
    """The plan without changes, of a machine that is known."""
    return Plan((), MachinePlan("", node, vm_id, "", 0, in_state=True), vm_ip, known=(vm_id,))


def _changes(entries: Any, own_tag: str) -> Iterator[Change]:
    for entry in entries:
        change = entry["change"]
        if change["actions"] in _IDLE and not change.get("importing"):
            continue
        before, after = change.get("before") or {}, change.get("after") or {}
        is_machine = entry["type"] == MACHINE
        yield Change(
            address=entry["address"],
            kind=entry["type"],
            action=_action(change["actions"]),
            title=_title(entry, before or after),
            values=tuple(_values(change, _action(change["actions"]))),
            reasons=tuple(_path(path) for path in change.get("replace_paths", ())),
            is_machine=is_machine,
            own=is_machine and own_tag in {*(before.get("tags") or ()), *(after.get("tags") or ())},
        )


def _action(actions: list[str]) -> Action:
    if "delete" in actions:
        return "replace" if "create" in actions else "delete"
    return "delete" if "forget" in actions else "create" if "create" in actions else "update"


def _title(entry: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    if entry["type"] != MACHINE:
        return str(entry["address"])
    return f"the machine {values.get('name') or entry['name']} ({values.get('vm_id') or 'no number yet'})"


def _values(change: Mapping[str, Any], action: Action) -> Iterator[ValueChange]:
    old, new = (dict(_leaves(change.get(side) or {})) for side in ("before", "after"))
    hidden = {
        path
        for side in ("before_sensitive", "after_sensitive")
        for path, set_ in _leaves(change.get(side) or {})
        if set_
    }
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if before == after or action == "delete" or (action == "create" and _plain(path) not in _SHOWN_AT_CREATION):
            continue
        if action != "create" and after is None and _is_unknown(change.get("after_unknown"), path):
            continue  # what is only known afterwards, such as the agent's addresses, tells a person nothing
        shown = ("***", "***") if any(path.startswith(name) for name in hidden) else (_shown(before), _shown(after))
        yield ValueChange(_plain(path), *shown)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its path. Lists of plain values are one value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for position, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{position}]")
    else:
        yield path, value


def _is_unknown(unknown: Any, path: str) -> bool:
    return any(flag and path.startswith(name) for name, flag in _leaves(unknown or {}))


def _plain(path: str) -> str:
    """The path without positions."""
    return "".join(part.partition("]")[2] if index else part for index, part in enumerate(path.split("[")))


def _path(path: list[str | int]) -> str:
    plain = ".".join(step for step in path if isinstance(step, str))
    return _NAMES.get(plain, plain)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _content(entry: Mapping[str, Any]) -> list[Any]:
    change = entry["change"]
    return [entry["address"], change["actions"], change.get("before"), change.get("after"), change.get("replace_paths")]


def _refusals(changes: tuple[Change, ...]) -> Iterator[str]:
    for change in changes:
        if change.action in ("delete", "replace"):
            yield f"{change.title} {_VERBS[change.action]}"
        elif not change.own:
            yield f"{change.title} is not the environment's own machine"
    if sum(change.own for change in changes) > 1:
        yield "more than one machine carries the environment's tag"


def _known(document: Mapping[str, Any]) -> Iterator[int]:
    for entry in document.get("resource_changes", ()):
        number = (entry["change"].get("before") or {}).get("vm_id")
        if entry["type"] == MACHINE and number:
            yield int(number)


def _machine(document: Mapping[str, Any], own_tag: str) -> MachinePlan | None:
    """The environment's own machine, also where it needs no change."""
    for entry in document.get("resource_changes", ()):
        after = entry["change"].get("after") or {}
        if entry["type"] == MACHINE and own_tag in (after.get("tags") or ()):
            return MachinePlan(
                address=entry["address"],
                node=str(after.get("node_name", "")),
                vm_id=int(after.get("vm_id") or 0),
                name=str(after.get("name") or ""),
                template_id=_template(document, after),
                in_state=bool(entry["change"].get("before")),
            )
    return None


def _template(document: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """The number of the template that is cloned; 0 where the code names none."""
    clones = after.get("clone") or ()
    if clones:
        return int(clones[0].get("vm_id") or 0)
    variable = document.get("variables", {}).get("template_id", {})
    return int(variable.get("value") or 0)
