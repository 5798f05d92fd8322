"""A VM's configuration: read, change, grow a disk, cloud-init."""

import re
from collections.abc import Callable
from typing import Any

from fairlead.lab.proxmox_api import seed
from fairlead.lab.proxmox_api.formats import split_list
from fairlead.lab.proxmox_api.machine import DISK, HIDDEN_PASSWORD, NETWORK, Machine, change, grown, size_of
from fairlead.lab.proxmox_api.refusal import Refusal, wrong
from fairlead.lab.proxmox_api.routes.machines import require_bridge, require_root_to_skip
from fairlead.lab.proxmox_api.routing import Call, route
from fairlead.lab.proxmox_api.tasks import Log

_CLOUD_INIT = ("VM.Config.Cloudinit", "VM.Config.Network")
# What each key takes, first match counts. Source: qemu-server, check_vm_modify_config_perm (from memory).
_PRIVILEGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"cores|sockets|cpu|cpulimit|cpuunits|vcpus|smp|numa\d*", ("VM.Config.CPU",)),
    (r"memory|balloon|shares|hugepages|keephugepages|allow-ksm", ("VM.Config.Memory",)),
    (r"(net|ipconfig)\d+", ("VM.Config.Network",)),
    (r"nameserver|searchdomain|sshkeys|ci(custom|password|type|upgrade|user)", _CLOUD_INIT),
    (r"efidisk0|tpmstate0|unused\d+|boot|bootdisk|vmstatestorage", ("VM.Config.Disk",)),
    (
        r"acpi|audio0|hotplug|kvm|machine|rng0|scsihw|serial\d+|smbios1|tablet|usb\d+|vga|vmgenid|watchdog",
        ("VM.Config.HWType",),
    ),
    (
        r"agent|autostart|bios|description|keyboard|localtime|migrate_.*|name|onboot|ostype|protection|reboot|"
        r"startdate|startup|tags|tdf|template|spice_enhancements",
        ("VM.Config.Options",),
    ),
    (r"freeze", ("VM.PowerMgmt",)),
)
_NO_SETTING = frozenset(["node", "vmid", "delete", "revert", "digest", "force", "skiplock", "background_delay"])
_UNSERVED = ("revert", "hookscript")


@route("GET /nodes/{node}/qemu/{vmid}/config", unserved=("snapshot",))
def read(call: Call) -> object:
    """The configuration with what is pending, or with `current` the one in force."""
    machine = call.cluster.machine(call.vmid)
    lock = call.cluster.lock_of(machine)
    config = machine.effective if call.given.get("current") else machine.config
    return {**config, "digest": machine.digest} | ({"lock": lock} if lock else {})


@route("GET /nodes/{node}/qemu/{vmid}/pending")
def pending(call: Call) -> object:
    """Each key with its value in force, and the one that waits for the next start."""
    machine = call.cluster.machine(call.vmid)
    now = machine.effective
    rows = []
    for key in sorted({**now, **machine.config}):
        row: dict[str, Any] = {"key": key} | ({"value": now[key]} if key in now else {})
        if key not in machine.config:
            row["delete"] = 1
        elif machine.config[key] != now.get(key):
            row["pending"] = machine.config[key]
        rows.append(row)
    return rows


@route("PUT /nodes/{node}/qemu/{vmid}/config", unserved=_UNSERVED)
def change_now(call: Call) -> object:
    """Change it, answered when it is done."""
    _change(call)
    return None


@route("POST /nodes/{node}/qemu/{vmid}/config", unserved=(*_UNSERVED, "import-working-storage"))
def change_later(call: Call) -> object:
    """Change it as a task."""
    return call.cluster.order("qmconfig", call.vmid, str(call.principal), lambda _log: _change(call))


def _change(call: Call) -> None:
    with call.cluster.changing(call.vmid) as machine:
        require_root_to_skip(call)
        call.cluster.require_unlocked(machine)
        machine.require_digest(call.given.get("digest"))
        _require_privileges(call, machine)
        change(machine, call.given)


def _require_privileges(call: Call, machine: Machine) -> None:
    """What the schema leaves to the code: each key has a privilege of its own; storages and bridges too."""
    keys = {*call.given, *split_list(str(call.given.get("delete", "")))} - _NO_SETTING
    for key in sorted(keys):
        _require_one_of(call, key, _needed(machine, key, str(call.given.get(key, ""))))
    for key, value in call.given.items():
        if NETWORK.fullmatch(key):
            require_bridge(call, str(value))
        if DISK.fullmatch(key) and ":" in str(value):
            _require_storage(call, str(value))


def _needed(machine: Machine, key: str, value: str) -> tuple[str, ...]:
    found = next((needed for pattern, needed in _PRIVILEGES if re.fullmatch(pattern, key, re.ASCII)), ())
    if DISK.fullmatch(key):
        is_cdrom = "media=cdrom" in f"{value},{machine.config.get(key, '')}" or ":cloudinit" in value
        return ("VM.Config.CDROM",) if is_cdrom else ("VM.Config.Disk",)
    return found


def _require_one_of(call: Call, key: str, needed: tuple[str, ...]) -> None:
    if not needed and call.principal.user != "root@pam":
        raise Refusal(403, f"only root can set '{key}' config")
    if needed:
        call.cluster.access.require(call.principal, f"/vms/{call.vmid}", needed, any_of=True)


def _require_storage(call: Call, value: str) -> None:
    storage = value.removeprefix("file=").partition(":")[0]
    call.cluster.storage(storage)
    call.require(f"/storage/{storage}", "Datastore.AllocateSpace")


@route("PUT /nodes/{node}/qemu/{vmid}/resize")
def resize(call: Call) -> object:
    """Grow a disk, as a task."""
    slot, wanted = str(call.given["disk"]), str(call.given["size"])
    with call.cluster.lock:
        machine = call.cluster.machine(call.vmid)
        require_root_to_skip(call)
        call.cluster.require_unlocked(machine)
        machine.require_digest(call.given.get("digest"))
        if slot not in machine.disks():
            raise wrong({"disk": f"disk '{slot}' does not exist"})
        _require_storage(call, machine.disks()[slot])

    def work(log: Log) -> None:
        with call.cluster.changing(call.vmid) as grows:
            after = grown(str(grows.config[slot]), wanted)
            more = size_of(after) - size_of(str(grows.config[slot]))
            call.cluster.require_space(after.partition(":")[0], more)
            grows.config[slot] = after
            if grows.current is not None:
                grows.current[slot] = after
            log(f"resized {slot} by {more} bytes")

    return call.cluster.order("resize", call.vmid, str(call.principal), work)


@route("GET /nodes/{node}/qemu/{vmid}/cloudinit")
def cloud_init(call: Call) -> object:
    """cloud-init's keys: what is on the drive, and what it would be made of now."""
    machine = call.cluster.machine(call.vmid)
    rows = []
    for key in sorted(seed.keys_of({**machine.effective, **machine.config})):
        old, new = machine.effective.get(key), machine.config.get(key)
        rows.append({"key": key, "value": old} | ({"pending": new} if new != old else {}))
    return rows


@route("PUT /nodes/{node}/qemu/{vmid}/cloudinit")
def regenerate(call: Call) -> object:
    """Write the drive anew; the guest reads it at its next start."""
    with call.cluster.changing(call.vmid) as machine:
        call.cluster.require_unlocked(machine)
        if not any("cloudinit" in value for value in machine.disks().values()):
            raise Refusal(500, "no cloud-init drive")
    return None


@route("GET /nodes/{node}/qemu/{vmid}/cloudinit/dump")
def dump(call: Call) -> object:
    """What cloud-init reads: user, network or meta."""
    machine = call.cluster.machine(call.vmid)
    machine.password = HIDDEN_PASSWORD if machine.password else ""
    written: dict[str, Callable[[Machine], str]] = {
        "user": seed.user_data, "network": seed.network_config, "meta": seed.meta_data,
    }  # fmt: skip
    return written[str(call.given["type"])](machine)
