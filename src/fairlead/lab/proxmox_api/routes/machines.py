"""VMs: list, clone, convert, destroy."""

from typing import Any

from fairlead.lab.proxmox_api.cluster import NODE
from fairlead.lab.proxmox_api.machine import NETWORK, Machine, clone_of, convert, properties_of, size_of
from fairlead.lab.proxmox_api.refusal import Refusal, wrong
from fairlead.lab.proxmox_api.routes.cluster import processors, summary, visible
from fairlead.lab.proxmox_api.routing import Call, route
from fairlead.lab.proxmox_api.tasks import Log


@route("GET /nodes/{node}/qemu")
def index(call: Call) -> object:
    """The VMs that the caller may see."""
    return [
        summary(machine, call.cluster.clock()) | {"cpus": processors(machine)} | _pid(machine)
        for machine in visible(call)
    ]


@route("GET /nodes/{node}/qemu/{vmid}")
def parts(_call: Call) -> object:
    """What there is below a VM."""
    return [{"subdir": name} for name in ("agent", "clone", "cloudinit", "config", "pending", "resize", "status")]


@route("GET /nodes/{node}/qemu/{vmid}/status")
def status_parts(_call: Call) -> object:
    """What there is below a VM's status."""
    return [{"subdir": name} for name in ("current", "reboot", "reset", "shutdown", "start", "stop")]


@route("GET /nodes/{node}/qemu/{vmid}/status/current")
def current(call: Call) -> object:
    """How a VM is."""
    machine = call.cluster.machine(call.vmid)
    lock = call.cluster.lock_of(machine)
    return (
        summary(machine, call.cluster.clock())
        | {"cpus": processors(machine), "qmpstatus": machine.status, "ha": {"managed": 0}}
        | _pid(machine)
        | ({"agent": 1} if machine.has_agent else {})
        | ({"lock": lock} if lock else {})
    )


def _pid(machine: Machine) -> dict[str, Any]:
    return {"pid": 1000 + machine.vmid} if machine.running else {}


@route("POST /nodes/{node}/qemu/{vmid}/clone", unserved=("snapname",))
def clone(call: Call) -> object:
    """Make a VM from another; it is locked until its task is over, and gone if that fails."""
    cluster, given = call.cluster, call.given
    with cluster.lock:
        source = cluster.machine(call.vmid)
        cluster.require_unlocked(source)
        _require_clonable(call, source)
        made = clone_of(source, int(given["newid"]), given)
        _require_storage(call, made)
        cluster.put(made)

    def work(log: Log) -> None:
        for slot, value in made.disks().items():
            if "media=cdrom" not in value:
                log(f"create full clone of drive {slot} ({source.config.get(slot)})")
                _require_room(call, value)
        cluster.backend.make(made, source)
        made.lock = ""
        cluster.put(made)

    def undo() -> None:
        cluster.store.remove("machine", str(made.vmid))

    return cluster.order("qmclone", source.vmid, str(call.principal), work, undo, about=made.vmid)


def _require_clonable(call: Call, source: Machine) -> None:
    new, target = int(call.given["newid"]), call.given.get("target", NODE)
    if target != NODE:
        raise wrong({"target": f"no such cluster node '{target}'"})
    if call.cluster.has_machine(new):
        raise Refusal(500, f"unable to create VM {new}: VM {new} already exists on node '{NODE}'")
    if not source.is_template and not call.given.get("full", True):
        raise Refusal(500, "Linked clone feature is not supported for drive 'scsi0'")
    pool = call.given.get("pool")
    if pool and not call.cluster.store.get("pool", str(pool)):
        raise wrong({"pool": f"pool '{pool}' does not exist"})


def _require_storage(call: Call, made: Machine) -> None:
    """What the schema leaves to the code: space on every storage, and the right to use the bridges."""
    for value in made.disks().values():
        storage = value.partition(":")[0]
        call.cluster.storage(storage)
        call.require(f"/storage/{storage}", "Datastore.AllocateSpace")
    for key in made.config:
        if NETWORK.fullmatch(key):
            require_bridge(call, str(made.config[key]))


def require_bridge(call: Call, card: str) -> None:
    """Raise Refusal 403 unless the caller may use the card's bridge (SDN.Use, since Proxmox VE 8)."""
    if bridge := properties_of("net[n]", card).get("bridge"):
        call.require(f"/sdn/zones/localnetwork/{bridge}", "SDN.Use")


def _require_room(call: Call, value: str) -> None:
    """The clone's own volume is counted already."""
    found = call.cluster.storage(value.partition(":")[0])
    if found["used"] >= found["total"]:
        raise Refusal(500, f"clone failed: unable to create image: not enough space ({size_of(value)} bytes)")


@route("POST /nodes/{node}/qemu/{vmid}/template", unserved=("disk",))
def make_template(call: Call) -> object:
    """Convert a stopped VM; it can only be cloned from then on."""
    with call.cluster.changing(call.vmid) as machine:
        call.cluster.require_unlocked(machine)
        convert(machine)
    return call.cluster.order("qmtemplate", call.vmid, str(call.principal), lambda log: log("converted"))


@route("DELETE /nodes/{node}/qemu/{vmid}")
def destroy(call: Call) -> object:
    """Remove a stopped VM and its disks. (Nothing in the lab refers to a VM, so purge finds nothing to do.)"""
    cluster = call.cluster
    with cluster.changing(call.vmid) as machine:
        require_root_to_skip(call)
        cluster.require_unlocked(machine)
        if machine.config.get("protection"):
            raise Refusal(500, f"can't remove VM {call.vmid} - protection mode enabled")
        if machine.running:
            raise Refusal(500, f"VM {call.vmid} is running - destroy failed")
        machine.lock = "destroyed"

    def work(log: Log) -> None:
        cluster.backend.destroy(machine)
        cluster.store.remove("machine", str(machine.vmid))
        log(f"removed VM {machine.vmid}")

    return cluster.order("qmdestroy", call.vmid, str(call.principal), work, lambda: unlock(call))


def unlock(call: Call) -> None:
    """After a task that failed."""
    if call.cluster.has_machine(call.vmid):
        with call.cluster.changing(call.vmid) as machine:
            machine.lock = ""


def require_root_to_skip(call: Call) -> None:
    """Nobody but root ignores locks."""
    if call.given.get("skiplock") and call.principal.user != "root@pam":
        raise wrong({"skiplock": "Only root may use this option."})
