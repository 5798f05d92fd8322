"""OpenTofu, its provider, PostgreSQL and the lab's Proxmox API: one application's infrastructure for tests."""

import itertools
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fairlead.config import layout
from fairlead.config.directories import cache_directory
from fairlead.config.secrets import Secret
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.lab.proxmox_api.machine import Machine as VirtualMachine
from fairlead.process import Mask
from fairlead.provision.base import Machine, ProvisionRequest
from fairlead.provision.host_keys import with_host_keys
from fairlead.provision.opentofu import OpentofuProvisioner
from fairlead.scaffold.render import FILES

_octets = itertools.count(1)


@dataclass
class Workshop:
    """The deployment code of `app` in a directory, and what provisions it. database: PG_CONN_STR."""

    root: Path
    api: ProxmoxApi
    database: str
    port: int
    known_hosts: str = ""
    fence: int = 1
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    network: str = field(default_factory=lambda: f"127.{10 + os.getpid() % 200}.{next(_octets)}")

    def __post_init__(self) -> None:
        shutil.copytree(FILES / layout.OPENTOFU, self.code)
        for number, environment in enumerate(("staging", "production"), 1):
            self.write(environment, vm_id=100 + number, address=f"{self.network}.{10 + number}/24", vm_disk_size=8)

    @property
    def code(self) -> Path:
        return self.root / "checkout" / layout.OPENTOFU

    def write(self, environment: str = "staging", **values: Any) -> None:
        """Change values in the environment's .tfvars."""
        path = self.root / "checkout" / layout.tfvars_file(environment)
        text = path.read_text()
        for name, value in values.items():
            shown = f'"{value}"' if isinstance(value, str) else str(value)
            text = re.sub(rf"^{name}( *)=.*$", rf"{name}\1= {shown}", text, flags=re.MULTILINE)
        path.write_text(text)

    def address(self, environment: str = "staging") -> str:
        """Of the environment's machine, by its .tfvars."""
        text = (self.root / "checkout" / layout.tfvars_file(environment)).read_text()
        found = re.search(r'^address *= "([\d.]+)/', text, re.MULTILINE)
        assert found
        return found[1]

    def provisioner(self, state: str = "state", **settings: Any) -> OpentofuProvisioner:
        """One machine's provisioner; another `state` is another machine's."""
        known = ("PATH", "HOME", "TMPDIR")
        variables = {name: os.environ[name] for name in known if name in os.environ}
        variables |= {"SSL_CERT_FILE": str(self.api.ca_file), **self.variables}
        values = {"variables": variables, "cache": cache_directory(), "refresh_after": 3600.0, "mask": self.mask}
        return OpentofuProvisioner(directory=self.root / state, **{**values, **settings})

    @property
    def mask(self) -> Mask:
        return Mask([self.api.token, self.database])

    def request(self, environment: str = "staging", **wishes: Any) -> ProvisionRequest:
        given = {**self.api.environment, "PG_CONN_STR": self.database, **self.secrets}
        request = ProvisionRequest(
            environment=environment,
            app="shop",
            commit="c" * 40,
            checkout=self.root / "checkout",
            secrets={name: Secret(value) for name, value in given.items() if name != "SSL_CERT_FILE"},
            run=f"{environment}:test",
            fence=self.fence,
            known_hosts=self.known_hosts,
            port=self.port,
        )
        return replace(request, **wishes)

    def provision(self, environment: str = "staging", *, state: str = "state", **wishes: Any) -> Machine:
        """Provision, and take the host key into known_hosts as the commit would."""
        directory = f"{state}/{environment}"
        machine = self.provisioner(directory).provision(self.request(environment, **wishes))
        self.learn(machine)
        return machine

    def learn(self, machine: Machine) -> None:
        """What rollout commits."""
        if machine.host_keys:
            self.known_hosts = with_host_keys(self.known_hosts, machine.vm_ip, machine.host_keys, self.port)
        for path, content in machine.files.items():
            (self.root / "checkout" / path).write_bytes(content)

    def machines(self) -> Mapping[int, VirtualMachine]:
        """What Proxmox has, beside the template."""
        return {machine.vmid: machine for machine in self.api.cluster.machines() if not machine.is_template}
