"""Storages and what lies on them."""

from typing import Any

from fairlead.lab.proxmox_api.formats import split_list
from fairlead.lab.proxmox_api.refusal import Refusal
from fairlead.lab.proxmox_api.routing import Call, route
from fairlead.lab.proxmox_api.store import Document

_SEE = ("Datastore.Audit", "Datastore.AllocateSpace")


@route("GET /storage")
def configured(call: Call) -> object:
    """The storages' configuration."""
    return [
        {"storage": name, "type": found["type"], "content": found["content"], "shared": 0, "digest": "0" * 40}
        for name, found in call.cluster.storages().items()
        if _visible(call, name) and call.given.get("type", found["type"]) == found["type"]
    ]


@route("GET /nodes/{node}/storage", unserved=("target",))
def index(call: Call) -> object:
    """The node's storages and their use."""
    wanted = set(split_list(str(call.given.get("content", ""))))
    return [
        {"storage": name, **_use(found)}
        for name, found in call.cluster.storages().items()
        if _visible(call, name)
        and call.given.get("storage", name) == name
        and wanted <= set(split_list(str(found["content"])))
    ]


@route("GET /nodes/{node}/storage/{storage}/status")
def status(call: Call) -> object:
    """One storage's use."""
    return _use(call.cluster.storage(str(call.given["storage"])))


@route("GET /nodes/{node}/storage/{storage}/content")
def content(call: Call) -> object:
    """The volumes on a storage."""
    name = str(call.given["storage"])
    call.cluster.storage(name)
    wanted = call.given.get("content", "images")
    return [
        {"volid": volume, "content": "images", "vmid": vmid, "size": size, "used": size, "format": "raw", "ctime": 0}
        for volume, (vmid, size) in call.cluster.volumes(name).items()
        if wanted == "images" and call.given.get("vmid", vmid) == vmid
    ]


@route("GET /nodes/{node}/storage/{storage}/content/{volume}")
def volume(call: Call) -> object:
    """One volume. The provider asks this for every disk."""
    storage, given = str(call.given["storage"]), str(call.given["volume"])
    name = given if ":" in given else f"{storage}:{given}"
    found = call.cluster.volumes(storage).get(name)
    if found is None:
        raise Refusal(500, f"volume_size_info on '{name}' failed - no such volume: it does not exist")
    if not (call.may(f"/storage/{storage}", *_SEE, any_of=True) or call.may(f"/vms/{found[0]}", "VM.Audit")):
        raise Refusal(403, f"Permission check failed (/storage/{storage}, {'|'.join(_SEE)})")
    return {"format": "raw", "path": f"/dev/pve/{name.partition(':')[2]}", "size": found[1], "used": found[1]}


def _visible(call: Call, name: str) -> bool:
    return call.may(f"/storage/{name}", *_SEE, any_of=True)


def _use(found: Document) -> dict[str, Any]:
    """What Proxmox says of a storage's use."""
    free = found["total"] - found["used"]
    return {"type": found["type"], "content": found["content"], "active": 1, "enabled": 1, "shared": 0,
            "total": found["total"], "used": found["used"], "avail": free,
            "used_fraction": found["used"] / found["total"]}  # fmt: skip
