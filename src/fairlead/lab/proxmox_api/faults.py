"""Faults on request: what a Proxmox does on a bad day, at a moment that a test or a person chooses."""

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from fairlead.lab.proxmox_api.store import Store


class Kind(StrEnum):
    """The faults that there are."""

    TASK_FAILS = "task-fails"
    TASK_SLOW = "task-slow"
    AGENT_SILENT = "agent-silent"
    MACHINE_LOCKED = "machine-locked"
    STORAGE_FULL = "storage-full"
    API_ERROR = "api-error"
    API_HANGS = "api-hangs"
    CERTIFICATE_CHANGED = "certificate-changed"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, and what it meets; what is empty or 0 meets everything.

    task: a type of task (qmclone, qmstart, ...). path: the beginning of a request's path after /api2/json; method: its
    method. message: what is said. seconds: how long something is slow or hangs. times: how often; 0 is until cleared,
    which also lets go what hangs.
    """

    kind: Kind
    vmid: int = 0
    task: str = ""
    method: str = ""
    path: str = ""
    storage: str = ""
    message: str = ""
    seconds: float = 0.0
    times: int = 0

    def meets(self, subject: Mapping[str, Any]) -> bool:
        """Whether this is one of those that the fault is for."""
        wanted = ((name, getattr(self, name)) for name in ("vmid", "task", "method", "storage"))
        return all(not value or subject.get(name) == value for name, value in wanted) and str(
            subject.get("path", "")
        ).startswith(self.path)


class Faults:
    """The faults that are set, in the store: a test or `fairlead lab` sets them, the serving process meets them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, fault: Fault) -> str:
        """Set one. Returns its name."""
        name = uuid.uuid4().hex[:12]
        self._store.put("fault", name, asdict(fault))
        return name

    def clear(self) -> None:
        """Take all away."""
        for name in self._store.all("fault"):
            self._store.remove("fault", name)

    def set(self) -> list[Fault]:
        """All that are set now."""
        return [_read(document) for document in self._store.all("fault").values()]

    def met(self, kind: Kind, **subject: Any) -> Fault | None:
        """The first fault of the kind that the subject meets; one with a number of times is used up by that."""
        for name, document in self._store.all("fault").items():
            fault = _read(document)
            if fault.kind is kind and fault.meets(subject):
                self._use(name, document)
                return fault
        return None

    def _use(self, name: str, document: dict[str, Any]) -> None:
        if document["times"] == 1:
            self._store.remove("fault", name)
        elif document["times"]:
            self._store.put("fault", name, {**document, "times": document["times"] - 1})


def _read(document: Mapping[str, Any]) -> Fault:
    return Fault(**{**document, "kind": Kind(document["kind"])})
