"""The cluster of one node: what there is."""

from typing import Any

from fairlead.lab.proxmox_api.cluster import BRIDGE, NODE
from fairlead.lab.proxmox_api.machine import Machine, size_of
from fairlead.lab.proxmox_api.refusal import wrong
from fairlead.lab.proxmox_api.routing import Call, route
from fairlead.lab.proxmox_api.tasks import described

_CORES, _MEMORY = 16, 64 << 30
_FIRST = 100


@route("GET /cluster/nextid")
def next_id(call: Call) -> object:
    """The first free number, or whether one is free. A text, as Proxmox answers."""
    if wanted := call.given.get("vmid"):
        if call.cluster.has_machine(int(wanted)):
            raise wrong({"vmid": f"VM {wanted} already exists"})
        return str(wanted)
    taken = {machine.vmid for machine in call.cluster.machines()}
    return str(next(number for number in range(_FIRST, 10**9) if number not in taken))


@route("GET /cluster/resources")
def resources(call: Call) -> object:
    """Everything that the caller may see."""
    parts = {"vm": _machines, "storage": _storages, "node": _nodes}
    wanted = call.given.get("type")
    return [row for kind, rows in parts.items() if wanted in (None, kind) for row in rows(call)]


def visible(call: Call) -> list[Machine]:
    """The VMs that the caller may see: without audit rights none, and no error."""
    return [machine for machine in call.cluster.machines() if call.may(f"/vms/{machine.vmid}", "VM.Audit")]


def summary(machine: Machine, now: float) -> dict[str, Any]:
    """What every list says of a VM."""
    config = machine.effective
    row = {
        "vmid": machine.vmid, "name": machine.name, "status": machine.status, "uptime": uptime(machine, now),
        "maxmem": int(config.get("memory", 512)) << 20, "maxdisk": size_of(str(config.get("scsi0", ""))),
        "mem": 0, "cpu": 0, "disk": 0, "diskread": 0, "diskwrite": 0, "netin": 0, "netout": 0,
    }  # fmt: skip
    return row | {name: value for name in ("tags", "template") if (value := machine.config.get(name))}


def uptime(machine: Machine, now: float) -> int:
    """Seconds since it was started."""
    return max(int(now - machine.started), 1) if machine.running else 0


def processors(machine: Machine) -> int:
    """What it runs with."""
    return int(machine.effective.get("cores", 1)) * int(machine.effective.get("sockets", 1))


def _machines(call: Call) -> list[dict[str, Any]]:
    return [
        summary(machine, call.cluster.clock())
        | {"id": f"qemu/{machine.vmid}", "type": "qemu", "node": NODE, "maxcpu": processors(machine)}
        | ({"template": 1} if machine.is_template else {"template": 0})
        | {name: value for name, value in (("pool", machine.pool), ("lock", machine.lock)) if value}
        for machine in visible(call)
    ]


def _storages(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "id": f"storage/{NODE}/{name}", "type": "storage", "storage": name, "node": NODE, "status": "available",
            "plugintype": found["type"], "content": found["content"], "shared": 0, "disk": found["used"],
            "maxdisk": found["total"],
        }
        for name, found in call.cluster.storages().items()
        if call.may(f"/storage/{name}", "Datastore.Audit", "Datastore.AllocateSpace", any_of=True)
    ]  # fmt: skip


def _nodes(call: Call) -> list[dict[str, Any]]:
    return [_node()] if call.may(f"/nodes/{NODE}", "Sys.Audit") else []


def _node() -> dict[str, Any]:
    return {"id": f"node/{NODE}", "type": "node", "node": NODE, "status": "online", "level": "", "cpu": 0, "mem": 0,
            "maxcpu": _CORES, "maxmem": _MEMORY, "disk": 0, "maxdisk": 100 << 30, "uptime": 1}  # fmt: skip


@route("GET /cluster/status")
def status(_call: Call) -> object:
    """One node that is online."""
    return [{"id": f"node/{NODE}", "type": "node", "name": NODE, "online": 1, "local": 1, "nodeid": 0,
             "ip": "127.0.0.1", "level": ""}]  # fmt: skip


@route("GET /cluster/tasks")
def tasks(call: Call) -> object:
    """The newest tasks: one's own, and all with the right to see the node."""
    everything = call.may(f"/nodes/{NODE}", "Sys.Audit")
    rows = [described(task) for task in call.cluster.tasks.all() if everything or task["user"] == str(call.principal)]
    return rows[:25]


@route("GET /nodes")
def nodes(_call: Call) -> object:
    """The one node."""
    return [{**_node(), "ssl_fingerprint": ""}]


@route("GET /nodes/{node}")
def node_index(_call: Call) -> object:
    """What there is below a node."""
    return [{"name": name} for name in ("network", "qemu", "status", "storage", "tasks", "version")]


@route("GET /nodes/{node}/version")
def node_version(_call: Call) -> object:
    """The node's version."""
    return {"version": "9.1.1", "release": "9.1", "repoid": "fa1r1ead"}


@route("GET /nodes/{node}/status")
def node_status(_call: Call) -> object:
    """How the node is."""
    return {
        "uptime": 1, "cpu": 0, "wait": 0, "pveversion": "pve-manager/9.1.1", "loadavg": ["0.00", "0.00", "0.00"],
        "cpuinfo": {"cpus": _CORES, "cores": _CORES, "sockets": 1, "model": "lab"},
        "memory": {"total": _MEMORY, "used": 0, "free": _MEMORY},
        "rootfs": {"total": 100 << 30, "used": 0, "avail": 100 << 30, "free": 100 << 30},
    }  # fmt: skip


@route("GET /nodes/{node}/network")
def network(call: Call) -> object:
    """The one bridge."""
    if call.given.get("type") not in (None, "bridge", "any_bridge", "any_local_bridge", "include_sdn"):
        return []
    return [{"iface": BRIDGE, "type": "bridge", "active": 1, "autostart": 1, "method": "static", "families": ["inet"]}]
