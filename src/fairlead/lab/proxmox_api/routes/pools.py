"""Pools: groups of VMs that a role can be given on."""

from typing import Any

from fairlead.lab.proxmox_api.cluster import NODE
from fairlead.lab.proxmox_api.formats import split_list
from fairlead.lab.proxmox_api.refusal import Refusal
from fairlead.lab.proxmox_api.routing import Call, route


@route("GET /pools")
def index(call: Call) -> object:
    """The pools that the caller may see; with poolid one with its members."""
    pools = call.cluster.store.all("pool")
    if wanted := call.given.get("poolid"):
        call.require(f"/pool/{wanted}", "Pool.Audit")
        return [{"poolid": wanted, **_one(call, str(wanted))}]
    return [{"poolid": name, **found} for name, found in pools.items() if call.may(f"/pool/{name}", "Pool.Audit")]


@route("POST /pools")
def create(call: Call) -> object:
    """Make one."""
    name = str(call.given["poolid"])
    if call.cluster.store.get("pool", name):
        raise Refusal(500, f"create pool failed: pool '{name}' already exists")
    call.cluster.store.put("pool", name, {"comment": str(call.given.get("comment", ""))})
    return None


@route("GET /pools/{poolid}")
def read(call: Call) -> object:
    """One with its members."""
    return _one(call, str(call.given["poolid"]))


@route("PUT /pools/{poolid}", unserved=("storage",))
def update(call: Call) -> object:
    """Its comment and its members."""
    name = str(call.given["poolid"])
    found = _document(call, name)
    if "comment" in call.given:
        call.cluster.store.put("pool", name, {**found, "comment": str(call.given["comment"])})
    for vmid in split_list(str(call.given.get("vms", ""))):
        _move(call, int(vmid), name)
    return None


def _move(call: Call, vmid: int, pool: str) -> None:
    leave, moving = bool(call.given.get("delete")), bool(call.given.get("allow-move"))
    with call.cluster.changing(vmid) as machine:
        if not leave and machine.pool not in ("", pool) and not moving:
            raise Refusal(500, f"VM {vmid} belongs already to pool '{machine.pool}' and allow-move is not set")
        if leave and machine.pool != pool:
            raise Refusal(500, f"VM {vmid} is not a pool member")
        machine.pool = "" if leave else pool


@route("DELETE /pools/{poolid}")
def remove(call: Call) -> object:
    """Remove an empty one."""
    name = str(call.given["poolid"])
    if _one(call, name)["members"]:
        raise Refusal(500, f"delete pool failed: pool '{name}' is not empty")
    call.cluster.store.remove("pool", name)
    return None


def _document(call: Call, name: str) -> dict[str, Any]:
    found = call.cluster.store.get("pool", name)
    if found is None:
        raise Refusal(500, f"pool '{name}' does not exist")
    return found


def _one(call: Call, name: str) -> dict[str, Any]:
    members = [
        {"id": f"qemu/{machine.vmid}", "type": "qemu", "vmid": machine.vmid, "name": machine.name, "node": NODE,
         "status": machine.status}
        for machine in call.cluster.machines()
        if machine.pool == name and call.given.get("type", "qemu") == "qemu"
    ]  # fmt: skip
    return {**_document(call, name), "members": members}
