"""A VM as the node's configuration file has it, and its state.

The configuration that a running VM was started with stays until it is started anew; what was changed meanwhile is
pending, as on Proxmox. Nothing is hot-plugged but names, descriptions, tags and the like.
"""

import hashlib
import ipaddress
import json
import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from fairlead.lab.proxmox_api.formats import parse_properties, split_list
from fairlead.lab.proxmox_api.refusal import Refusal, wrong
from fairlead.lab.proxmox_api.schema import endpoints
from fairlead.lab.proxmox_api.store import Document

Config = dict[str, Any]
DISK = re.compile(r"(ide|sata|scsi|virtio)\d+", re.ASCII)
NETWORK = re.compile(r"net\d+", re.ASCII)
_ALLOCATION = re.compile(r"\d+(\.\d+)?", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)", re.ASCII)
_UNITS = " KMGT"
_CLOUD_INIT_SIZE = "4M"
HIDDEN_PASSWORD = "**********"  # noqa: S105 - what Proxmox answers instead of one
# A change of these does not wait for the next start. Source: qemu-server, $fast_plug_option.
AT_ONCE = frozenset(
    [
        "name",
        "description",
        "tags",
        "onboot",
        "startup",
        "protection",
        "agent",
        "hookscript",
        "shares",
        "vmstatestorage",
    ]
)
# Parameters that say how a change is made. Source: the schema's descriptions of PUT .../config.
_MANNER = frozenset(
    ["node", "vmid", "delete", "revert", "digest", "force", "skiplock", "background_delay", "import-working-storage"]
)


@dataclass
class Machine:
    """One VM. config: with what is pending. current: what it was started with, None while it is stopped.

    started: seconds since the epoch, 0 while it is stopped. password: cloud-init's, which the configuration hides.
    host_key: what the instant back end has in /etc/ssh. files: what a test put into the guest. image: what its
    container is made from, where that is not the lab's own template.
    """

    vmid: int
    node: str
    config: Config
    running: bool = False
    lock: str = ""
    pool: str = ""
    started: float = 0.0
    current: Config | None = None
    password: str = ""
    host_key: str = ""
    files: dict[str, str] = field(default_factory=dict)
    image: str = ""

    @classmethod
    def read(cls, document: Document) -> Self:
        """From the store."""
        return cls(**document)

    def document(self) -> Document:
        """For the store."""
        return asdict(self)

    @property
    def is_template(self) -> bool:
        """Whether it was converted: it can be cloned and not started."""
        return bool(self.config.get("template"))

    @property
    def status(self) -> str:
        """Proxmox's word."""
        return "running" if self.running else "stopped"

    @property
    def name(self) -> str:
        """Its name, or the one that Proxmox gives to those without."""
        return str(self.config.get("name", f"VM {self.vmid}"))

    @property
    def has_agent(self) -> bool:
        """Whether the guest agent is switched on (`1` or `enabled=1,...`)."""
        text = str(self.config.get("agent", "0"))
        return "enabled=1" in text.split(",") or text.split(",", maxsplit=1)[0] == "1"

    @property
    def effective(self) -> Config:
        """What it runs with, or would."""
        return self.config if self.current is None else self.current

    @property
    def digest(self) -> str:
        """Changes with the configuration."""
        return hashlib.sha1(json.dumps(self.config, sort_keys=True).encode(), usedforsecurity=False).hexdigest()

    def begin(self, now: float) -> None:
        """It was started: what was pending is in force."""
        self.running, self.started, self.current = True, now, dict(self.config)

    def end(self) -> None:
        """It was stopped."""
        self.running, self.started, self.current = False, 0.0, None

    def require_digest(self, expected: str | None) -> None:
        """Raise Refusal if the caller saw another configuration."""
        if expected and expected != self.digest:
            raise Refusal(500, "detected modified configuration - file changed by other user? Try again.")

    def disks(self) -> dict[str, str]:
        """The drives that have a volume, by slot."""
        drives = {slot: str(value) for slot, value in self.config.items() if DISK.fullmatch(slot)}
        return {slot: value for slot, value in drives.items() if ":" in value.split(",", maxsplit=1)[0]}


def change(machine: Machine, given: Mapping[str, Any]) -> list[str]:
    """Apply a PUT .../config to the machine's configuration. Returns the keys that changed."""
    before = dict(machine.config)
    for key in split_list(str(given.get("delete", ""))):
        machine.config.pop(key, None)  # one that is not there is no error (measured: the provider relies on it)
    for key, value in given.items():
        if key not in _MANNER:
            _set(machine, key, value)
    changed = [key for key in {**before, **machine.config} if before.get(key) != machine.config.get(key)]
    if machine.current is not None:
        machine.current |= {key: machine.config[key] for key in changed if key in AT_ONCE and key in machine.config}
    return changed


def _set(machine: Machine, key: str, value: Any) -> None:
    if DISK.fullmatch(key):
        machine.config[key] = drive(machine, key, str(value))
    elif NETWORK.fullmatch(key):
        machine.config[key] = network(machine.config, key, str(value))
    elif key == "cipassword":
        machine.password, machine.config[key] = str(value), HIDDEN_PASSWORD
    elif key == "tags":
        _set_tags(machine.config, str(value))
    else:
        machine.config[key] = int(value) if isinstance(value, bool) else value


def _set_tags(config: Config, text: str) -> None:
    """Lower case, sorted, with `;` between; none at all takes the key away."""
    config["tags"] = ";".join(sorted({tag.lower() for tag in split_list(text)}))
    if not config["tags"]:
        del config["tags"]


def network(config: Config, key: str, text: str) -> str:
    """A network card as the configuration has it: `virtio=BC:24:11:..,bridge=vmbr0`. Its address stays."""
    found = properties_of("net[n]", text)
    model = found.pop("model")
    mac = found.pop("macaddr", "") or _mac_of(str(config.get(key, ""))) or new_mac()
    return ",".join([f"{model}={mac.upper()}", *(f"{name}={value}" for name, value in found.items())])


def _mac_of(text: str) -> str:
    return properties_of("net[n]", text).get("macaddr", "") if text else ""


def new_mac() -> str:
    """An address with Proxmox's own prefix."""
    return "BC:24:11:" + ":".join(f"{byte:02X}" for byte in secrets.token_bytes(3))


def properties_of(parameter: str, text: str) -> dict[str, str]:
    """A property string of the configuration, taken apart by the schema's own format."""
    form = endpoints()["PUT /nodes/{node}/qemu/{vmid}/config"].parameters[parameter]["format"]
    return parse_properties(form, text)[0]


def drive(machine: Machine, slot: str, text: str) -> str:
    """A drive as the configuration has it: `local-lvm:vm-100-disk-0,size=8G`. An omitted size stays."""
    found = properties_of("scsi[n]", text)
    file = found.pop("file")
    storage, colon, volume = file.partition(":")
    if not colon:
        return ",".join([file, *(f"{name}={value}" for name, value in sorted(found.items()))])
    if volume == "cloudinit":
        return f"{storage}:vm-{machine.vmid}-cloudinit,media=cdrom,size={_CLOUD_INIT_SIZE}"
    if _ALLOCATION.fullmatch(volume):  # `storage:8` allocates 8 GiB
        found["size"], file = f"{volume}G", f"{storage}:{_free_volume(machine)}"
        found.pop("format", None)
    elif size := size_of(str(machine.config.get(slot, ""))):
        found["size"] = size_text(size)
    return ",".join([file, *(f"{name}={value}" for name, value in sorted(found.items()))])


def _free_volume(machine: Machine) -> str:
    used = " ".join(machine.disks().values())
    number = next(number for number in range(1000) if f"vm-{machine.vmid}-disk-{number}" not in used)
    return f"vm-{machine.vmid}-disk-{number}"


def size_of(drive_text: str) -> int:
    """A drive's size in bytes, 0 where it says none."""
    size = properties_of("scsi[n]", drive_text).get("size", "") if drive_text else ""
    return size_bytes(size) if size else 0


def size_bytes(text: str) -> int:
    """`8G` as bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise wrong({"size": "invalid size"})
    return int(float(match[1]) * 1024 ** _UNITS.index(match[2] or " "))


def size_text(size: int) -> str:
    """Bytes as Proxmox writes them: in the largest unit that leaves no rest."""
    for power in range(len(_UNITS) - 1, 0, -1):
        if size % 1024**power == 0:
            return f"{size // 1024**power}{_UNITS[power]}"
    return str(size)


def grown(drive_text: str, wanted: str) -> str:
    """The drive with another size: absolute, or `+` more. Raises Refusal for a smaller one."""
    before = size_of(drive_text)
    after = before + size_bytes(wanted[1:]) if wanted.startswith("+") else size_bytes(wanted)
    if after < before:
        raise Refusal(500, "shrinking disks is not supported")
    kept = [word for word in drive_text.split(",") if not word.startswith("size=")]
    return ",".join([*kept, f"size={size_text(after)}"])


def clone_of(source: Machine, vmid: int, given: Mapping[str, Any]) -> Machine:
    """A new VM like the source: its own identity, volumes and network addresses, no tags."""
    own = ("template", "tags", "description", "parent", "pool")
    config = {key: value for key, value in source.config.items() if key not in own}
    config |= {
        "name": given.get("name", f"Copy-of-VM-{source.name}"),
        "vmgenid": str(uuid.uuid4()),
        "smbios1": f"uuid={uuid.uuid4()}",
    }
    if given.get("description"):
        config["description"] = given["description"]
    clone = Machine(vmid, source.node, config, lock="clone", pool=str(given.get("pool", "")), password=source.password)
    for slot, value in source.disks().items():
        config[slot] = _cloned_drive(source, vmid, value, given)
    for key in [key for key in config if NETWORK.fullmatch(key)]:
        config[key] = network({}, key, re.sub(r"=(?i:([a-f0-9]{2}:){5}[a-f0-9]{2})", "", str(config[key])))
    return clone


def _cloned_drive(source: Machine, vmid: int, value: str, given: Mapping[str, Any]) -> str:
    volume, *rest = value.split(",")
    storage, _, name = volume.partition(":")
    own = re.sub(rf"(base|vm)-{source.vmid}-", f"vm-{vmid}-", name)
    if source.is_template and not given.get("full", not source.is_template) and "media=cdrom" not in rest:
        own = f"{name}/{own}"  # a linked clone names its base
    return ",".join([f"{given.get('storage', storage)}:{own}", *rest])


def convert(machine: Machine) -> None:
    """Make it a template: its volumes become bases."""
    if machine.is_template:
        raise Refusal(500, "you can't convert a template to a template")
    if machine.running:
        raise Refusal(500, "you can't convert a VM to template if VM is running (vm is running)")
    machine.config["template"] = 1
    for slot, value in machine.disks().items():
        if "media=cdrom" not in value:
            machine.config[slot] = value.replace(f":vm-{machine.vmid}-", f":base-{machine.vmid}-", 1)


def address_of(config: Config) -> ipaddress.IPv4Interface | None:
    """The static address that cloud-init gives to the first card."""
    words = dict(word.partition("=")[::2] for word in str(config.get("ipconfig0", "")).split(",") if word)
    return ipaddress.IPv4Interface(words["ip"]) if "/" in words.get("ip", "") else None
