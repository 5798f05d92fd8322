"""One Proxmox node with its VMs, storages, pools, tasks and tokens: what the routes work on.

State is in SQLite; power is asked of the back end, so a machine that died is a VM that is stopped.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fairlead.lab.proxmox_api import access
from fairlead.lab.proxmox_api.access import Access
from fairlead.lab.proxmox_api.backend import AgentSilent, Backend, Guest
from fairlead.lab.proxmox_api.faults import Faults, Kind
from fairlead.lab.proxmox_api.machine import Machine, new_mac, size_of
from fairlead.lab.proxmox_api.refusal import Refusal, missing_machine
from fairlead.lab.proxmox_api.store import Document, Store
from fairlead.lab.proxmox_api.tasks import Order, Tasks, Work

NODE = "pve1"
BRIDGE = "vmbr0"
TEMPLATE = 9000
_GIB = 1 << 30
STORAGES: dict[str, Document] = {
    "local": {"type": "dir", "content": "iso,snippets,vztmpl,import,backup", "total": 100 * _GIB},
    "local-lvm": {"type": "lvmthin", "content": "images,rootdir", "total": 500 * _GIB},
}
_FILE = "proxmox.sqlite"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The texts of the tokens that a fresh lab has. lab: the least privileges that do. root: everything."""

    lab: str
    root: str


class Cluster:
    """Everything behind the API. directory: where its state lies."""

    def __init__(self, directory: Path, backend: Backend, clock: Callable[[], float] = time.time) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.backend = backend
        self.clock = clock
        self.lock = threading.RLock()
        self.store = Store(state_file(directory))
        self.faults = Faults(self.store)
        self.tasks = Tasks(self.store, self.faults, NODE, clock)
        self.access = Access(self.store, self._pool_of)

    def found(self) -> Tokens:
        """Begin: storages, a template, roles and tokens where there are none yet. The tokens' texts stay the same."""
        known = self.store.get("setting", "tokens")
        tokens = Tokens(**known) if known else self._new()
        self.tasks.recover()
        return tokens

    def _new(self) -> Tokens:
        for name, document in STORAGES.items():
            self.store.put("storage", name, document)
        self.put(template())
        self.access.add_role(access.ROLE, access.NEEDED)
        tokens = Tokens(
            lab=self.access.add_token(access.USER, "lab", str(uuid.uuid4())),
            root=self.access.add_token(access.ROOT_USER, "root", str(uuid.uuid4()), separated=False),
        )
        for principal in (access.USER, f"{access.USER}!lab"):
            self.access.grant("/", principal, access.ROLE)
        self.store.put("setting", "tokens", {"lab": tokens.lab, "root": tokens.root})
        return tokens

    def close(self) -> None:
        """End the tasks and let go of the state."""
        self.tasks.end()
        self.store.close()

    # Machines

    def machines(self) -> list[Machine]:
        """All VMs by number, with the power that they really have."""
        found = [Machine.read(document) for document in self.store.all("machine").values()]
        powered = self.backend.powered()
        return sorted((self._reconciled(machine, powered) for machine in found), key=lambda machine: machine.vmid)

    def machine(self, vmid: int) -> Machine:
        """One VM. Raises Refusal where there is none."""
        document = self.store.get("machine", str(vmid))
        if document is None:
            raise missing_machine(NODE, vmid)
        return self._reconciled(Machine.read(document), self.backend.powered())

    def lock_of(self, machine: Machine) -> str:
        """What works on it, or what a fault says does; empty for nothing."""
        pretended = any(each.kind is Kind.MACHINE_LOCKED and each.meets(_of(machine)) for each in self.faults.set())
        return machine.lock or ("backup" if pretended else "")

    def require_unlocked(self, machine: Machine) -> None:
        """Raise Refusal if something else works on it."""
        if lock := machine.lock or ("backup" if self.faults.met(Kind.MACHINE_LOCKED, **_of(machine)) else ""):
            raise Refusal(500, f"VM is locked ({lock})")

    def has_machine(self, vmid: int) -> bool:
        """Whether the number is taken."""
        return self.store.get("machine", str(vmid)) is not None

    def put(self, machine: Machine) -> None:
        """Make or change one."""
        self.store.put("machine", str(machine.vmid), machine.document())

    @contextmanager
    def changing(self, vmid: int) -> Iterator[Machine]:
        """One VM, to be changed: nobody else changes it meanwhile."""
        with self.lock:
            machine = self.machine(vmid)
            yield machine
            if self.has_machine(vmid):
                self.put(machine)

    def _reconciled(self, machine: Machine, powered: frozenset[int] | None) -> Machine:
        """A container that died behind our back is a VM that was switched off; one that came back is on."""
        if powered is None or machine.lock or machine.is_template or machine.running == (machine.vmid in powered):
            return machine
        with self.lock:
            fresh = Machine.read(self.store.get("machine", str(machine.vmid)) or machine.document())
            if fresh.running and not fresh.lock:
                fresh.end()
            elif not fresh.lock:
                fresh.begin(self.clock())
            self.put(fresh)
        return fresh

    def _pool_of(self, vmid: int) -> str:
        document = self.store.get("machine", str(vmid))
        return str(document["pool"]) if document else ""

    def order(
        self, kind: str, vmid: int, user: str, work: Work, undo: Callable[[], None] = lambda: None, *, about: int = 0
    ) -> str:
        """Begin a task on a VM; its UPID."""
        return self.tasks.start(Order(kind, vmid, user, work, undo, self.backend.at_once, about))

    # The guest agent

    def guest(self, vmid: int) -> Guest:
        """The agent of a VM. Raises Refusal, in Proxmox's words, while it cannot be asked."""
        machine = self.machine(vmid)
        if not machine.effective.get("agent") or not machine.has_agent:
            raise Refusal(500, "No QEMU guest agent configured")
        if not machine.running:
            raise Refusal(500, f"VM {vmid} is not running")
        try:
            if self.faults.met(Kind.AGENT_SILENT, vmid=vmid):
                raise AgentSilent
            return self.backend.guest(machine)
        except AgentSilent:
            raise Refusal(500, "QEMU guest agent is not running") from None

    def put_guest_file(self, vmid: int, path: str, content: str) -> None:
        """Put a file into a machine of the instant back end (a test's business)."""
        with self.changing(vmid) as machine:
            machine.files[path] = content

    # Storages

    def storage(self, name: str) -> Document:
        """A storage with its use. Raises Refusal where there is none."""
        document = self.store.get("storage", name)
        if document is None:
            raise Refusal(500, f"storage '{name}' does not exist")
        used = sum(size for _, size in self.volumes(name).values())
        full = any(each.kind is Kind.STORAGE_FULL and each.meets({"storage": name}) for each in self.faults.set())
        return {**document, "storage": name, "used": document["total"] if full else used}

    def storages(self) -> dict[str, Document]:
        """All storages."""
        return {name: self.storage(name) for name in self.store.all("storage")}

    def volumes(self, storage: str) -> dict[str, tuple[int, int]]:
        """The volumes on a storage: VM and bytes."""
        found = {}
        for machine in (Machine.read(document) for document in self.store.all("machine").values()):
            for value in machine.disks().values():
                volume = value.split(",")[0]
                if volume.startswith(f"{storage}:"):
                    found[volume] = (machine.vmid, size_of(value))
        return found

    def require_space(self, storage: str, size: int) -> None:
        """Raise Refusal unless the storage exists and has room."""
        found = self.storage(storage)
        if found["used"] + size > found["total"]:
            raise Refusal(500, f"unable to create image: not enough space on storage '{storage}'")


def state_file(directory: Path) -> Path:
    """Where an API keeps its state."""
    return directory / _FILE


def tokens_at(directory: Path) -> Tokens | None:
    """The tokens of a lab's API, whoever serves it; None before it was served."""
    if not state_file(directory).exists():
        return None
    store = Store(state_file(directory))
    try:
        known = store.get("setting", "tokens")
    finally:
        store.close()
    return Tokens(**known) if known else None


def _of(machine: Machine) -> dict[str, int]:
    return {"vmid": machine.vmid}


def template() -> Machine:
    """The template that every lab has: a cloud image's VM with the agent on and a cloud-init drive."""
    config = {
        "agent": "enabled=1", "boot": "order=scsi0", "cores": 1, "cpu": "x86-64-v2-AES", "ide2":
        f"local-lvm:vm-{TEMPLATE}-cloudinit,media=cdrom,size=4M", "memory": "1024", "meta":
        "creation-qemu=10.0.2,ctime=1764000000", "name": "debian-docker", "net0": f"virtio={new_mac()},bridge={BRIDGE}",
        "ostype": "l26", "scsi0": f"local-lvm:base-{TEMPLATE}-disk-0,size=4G", "scsihw": "virtio-scsi-pci",
        "serial0": "socket", "smbios1": f"uuid={uuid.uuid4()}", "sockets": 1, "template": 1, "vga": "serial0",
        "vmgenid": str(uuid.uuid4()),
    }  # fmt: skip
    return Machine(TEMPLATE, NODE, config)
