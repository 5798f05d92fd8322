"""What cloud-init reads on a VM's drive: user data, network configuration and meta-data, from the VM's configuration.

Pure. Source of the keys: qemu-server, PVE/QemuServer/Cloudinit (nocloud format).
"""

import hashlib
import json
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

from fairlead.lab.proxmox_api.machine import Config, Machine, address_of, properties_of

DEFAULT_USER = "debian"
_KEYS = re.compile(r"ci(custom|password|type|upgrade|user)|ipconfig\d+|nameserver|searchdomain|sshkeys|name", re.ASCII)


def keys_of(config: Config) -> Iterable[str]:
    """Those of the configuration's keys that cloud-init gets to see."""
    return [key for key in config if _KEYS.fullmatch(key)]


def user_of(machine: Machine) -> str:
    """The user that cloud-init makes."""
    return str(machine.config.get("ciuser", DEFAULT_USER))


def ssh_keys(machine: Machine) -> list[str]:
    """The keys that may log in. The configuration holds them percent-encoded, one a line."""
    text = urllib.parse.unquote(str(machine.config.get("sshkeys", "")))
    return [line.strip() for line in text.splitlines() if line.strip()]


def user_data(machine: Machine) -> str:
    """The user, its keys and password, the host name. JSON is YAML, and needs no quoting rules."""
    user: dict[str, Any] = {"name": user_of(machine), "ssh_authorized_keys": ssh_keys(machine)}
    if user["name"] != "root":
        user |= {"groups": ["docker", "sudo"], "sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash"}
    if machine.password:
        user |= {"lock_passwd": False, "plain_text_passwd": machine.password}
    document = {"hostname": machine.name, "manage_etc_hosts": True, "users": [user], "disable_root": False}
    return f"#cloud-config\n{json.dumps(document, indent=1)}\n"


def meta_data(machine: Machine) -> str:
    """The instance: another one when what cloud-init is told differs, so that it sets the machine up anew."""
    told = {key: machine.config[key] for key in sorted(keys_of(machine.config))}
    instance = hashlib.sha256(json.dumps([machine.vmid, told, machine.password]).encode()).hexdigest()[:40]
    return json.dumps({"instance-id": instance, "local-hostname": machine.name})


def network_config(machine: Machine) -> str:
    """Version 1 of cloud-init's network configuration: the first card and the name servers."""
    mac = properties_of("net[n]", str(machine.config.get("net0", ""))).get("macaddr", "").lower()
    address = address_of(machine.config)
    gateway = dict(word.partition("=")[::2] for word in str(machine.config.get("ipconfig0", "")).split(",")).get("gw")
    subnet: dict[str, Any] = {"type": "static", "address": str(address)} if address else {"type": "dhcp4"}
    if gateway:
        subnet["gateway"] = gateway
    card = {"type": "physical", "name": "eth0", "mac_address": mac, "subnets": [subnet]}
    names = {"type": "nameserver", "address": str(machine.config.get("nameserver", "")).split(),
             "search": str(machine.config.get("searchdomain", "")).split()}  # fmt: skip
    return json.dumps({"version": 1, "config": [card, names]}, indent=1)
