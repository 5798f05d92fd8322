"""OpenTofu, its provider, PostgreSQL and the lab's Proxmox API: one application's infrastructure for tests.

Run as a program it provisions once, in a process that a test may kill: `python -m tests.provision.workshop ROOT PORT
ENVIRONMENT`, secrets and addresses in the environment.
"""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fairlead.config import layout
from fairlead.config.directories import cache_directory
from fairlead.config.secrets import Secret
from fairlead.host_keys import with_host_keys
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.lab.proxmox_api.machine import Machine as VirtualMachine
from fairlead.process import Mask
from fairlead.provision.base import Machine, ProvisionRequest
from fairlead.provision.opentofu import OpentofuProvisioner
from fairlead.scaffold.render import FILES
from tests.fixtures.git import PINS, STAGING, Site

CONFIGURATION = """\
app: shop
images:
  app_image: {{repository: registry.example.com/shop/backend, policy: {{semver: "*"}}}}
environments:
  staging: {{}}
provision: {{with: opentofu}}
deploy: {{with: ansible, port: {port}}}
"""
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

    @property
    def given(self) -> dict[str, str]:
        """What the process environment of a command would have."""
        return {**self.api.environment, "PG_CONN_STR": self.database, **self.variables, **self.secrets}

    def provisioner(self, directory: str, **settings: Any) -> OpentofuProvisioner:
        return provisioner_in(self.root / directory, self.given, **settings)

    def request(self, environment: str = "staging", **wishes: Any) -> ProvisionRequest:
        asked = {"known_hosts": self.known_hosts, "fence": self.fence, "port": self.port, **wishes}
        return request_for(self.root, environment, self.given, **asked)

    def provision(self, environment: str = "staging", *, state: str = "state", **wishes: Any) -> Machine:
        """Provision, and take the host key into known_hosts as the commit would."""
        directory = f"{state}/{environment}"
        machine = self.provisioner(directory).provision(self.request(environment, **wishes))
        self.learn(machine)
        return machine

    @contextmanager
    def child(self, environment: str = "staging", *, state: str = "state") -> Iterator["subprocess.Popen[str]"]:
        """The same in a process of its own, which does not outlive the block."""
        words = [sys.executable, "-m", "tests.provision.workshop", str(self.root), str(self.port), environment, state]
        given = {**os.environ, **self.given}
        child = subprocess.Popen(words, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with child:
            try:
                yield child
            finally:
                signal_all(child.pid, signal.SIGKILL)

    def commit_to(self, site: Site) -> None:
        """A person commits the code and a configuration to a repository's branch."""
        files = {path.relative_to(self.root / "checkout").as_posix(): path for path in self.code.rglob("*")}
        code = {name: path.read_text() for name, path in files.items() if path.is_file()}
        site.write({**code, layout.CONFIGURATION: CONFIGURATION.format(port=self.port), STAGING: PINS})

    def learn(self, machine: Machine) -> None:
        """What rollout commits."""
        if machine.host_keys:
            self.known_hosts = with_host_keys(self.known_hosts, machine.vm_ip, machine.host_keys, self.port)
        for path, content in machine.files.items():
            (self.root / "checkout" / path).write_bytes(content)

    def machines(self) -> Mapping[int, VirtualMachine]:
        """What Proxmox has, beside the template."""
        return {machine.vmid: machine for machine in self.api.cluster.machines() if not machine.is_template}


def provisioner_in(directory: Path, given: Mapping[str, str], **settings: Any) -> OpentofuProvisioner:
    """A provisioner with what `given` has of the process environment."""
    variables = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    variables |= {name: value for name, value in given.items() if name.startswith(("SSL_", "TF_LOG", "TF_CLI"))}
    values = {"variables": variables, "cache": cache_directory(), "refresh_after": 3600.0}
    mask = Mask([given["TF_VAR_proxmox_api_token"], given["PG_CONN_STR"]])
    return OpentofuProvisioner(directory=directory, **{**values, "mask": mask, **settings})


def request_for(root: Path, environment: str, given: Mapping[str, str], **wishes: Any) -> ProvisionRequest:
    """A request for one environment of the checkout in `root`."""
    secret = ("TF_VAR_", "PG_CONN_STR", "TF_ENCRYPTION")
    request = ProvisionRequest(
        environment=environment,
        app="shop",
        commit="c" * 40,
        checkout=root / "checkout",
        secrets={name: Secret(value) for name, value in given.items() if name.startswith(secret)},
        run=f"{environment}:test",
    )
    return replace(request, **wishes)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that live (proc(5))."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == str(pid) and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether a process has not ended; one that waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def signal_all(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and to everything below it, the process itself first; one may end meanwhile."""
    below = children_of(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    for child in below:
        signal_all(child, number)


def wait_until(true: Callable[[], object], what: str, within: float = 300.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


def main(root: str, port: str, environment: str, state: str) -> None:
    directory = Path(root, state, environment)
    request = request_for(Path(root), environment, os.environ, port=int(port), fence=1)
    sys.stdout.write(provisioner_in(directory, os.environ).provision(request).vm_ip)


if __name__ == "__main__":
    main(*sys.argv[1:])
