"""The scaffold's playbook on a machine of the lab, with the demo's images."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fairlead.images import ImageReference
from fairlead.lab.demo import Build, push
from fairlead.lab.machines import Machine
from fairlead.lab.site import Lab, Site
from tests.fixtures.lab import lab_site, session_lab
from tests.fixtures.scaffold import write_ansible
from tools.setup import OLD_ANSIBLE

__all__ = ["lab_site", "session_lab"]

PASSWORD = 'p$w"x{{ 1 }}\\ y'
VARIANTS = {"1.2.0": "broken"}


@dataclass
class Images:
    """The demo's images in the lab's registry, built when they are asked for."""

    lab: Lab
    pushed: dict[tuple[str, str], ImageReference] = field(default_factory=dict)

    def pin(self, component: str, version: str) -> str:
        """`registry/shop/backend:1.0.0@sha256:...`"""
        if (component, version) not in self.pushed:
            self.pushed[component, version] = push(self.lab, Build(component, version, VARIANTS.get(version, "")))
        return str(self.pushed[component, version])


@dataclass
class Play:
    """What ansible-playbook said: its exit code and the results by task."""

    status: int
    results: dict[str, dict[str, Any]]
    output: str

    @property
    def module(self) -> dict[str, Any]:
        """The Compose module's result."""
        found = self.results.get("Deploy") or self.results.get("Inspect")
        assert found is not None, self.output
        return found

    @property
    def outcome(self) -> str:
        """The module's outcome."""
        return str(self.module["outcome"])

    @property
    def actions(self) -> dict[str, str]:
        """What happened to each service."""
        return {name: item["action"] for name, item in self.module["services"].items()}


@dataclass
class Checkout:
    """The scaffold's Ansible files, as a deployment repository has them."""

    root: Path
    programs: Path = Path(sys.executable).parent  # whose ansible-playbook runs

    @property
    def ansible(self) -> Path:
        """deployment/ansible."""
        return self.root / "deployment" / "ansible"

    def pin(self, **pins: str) -> None:
        """Write staging's images.yml."""
        lines = "".join(f"{name}: {reference}\n" for name, reference in pins.items())
        (self.ansible / "group_vars" / "staging" / "images.yml").write_text(lines)

    def edit(self, name: str, old: str, new: str) -> None:
        """Change one file, as an operator would."""
        path = self.ansible / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def argv(self, playbook: str, *words: str, address: str = "192.0.2.1") -> list[str]:
        """A person's command line."""
        program = str(self.programs / "ansible-playbook")
        inventory = ["-i", "deployment/ansible/inventory/staging", "-e", f"VM_IP={address}"]
        return [program, *inventory, f"deployment/ansible/{playbook}", *words]

    def play(self, playbook: str, *words: str, address: str = "192.0.2.1") -> Play:
        """Run a playbook from the repository's root."""
        with tempfile.TemporaryDirectory(prefix="home") as home:  # short: ssh's sockets lie below it, in 108 characters
            return self._play(self.argv(playbook, *words, address=address), home)

    def _play(self, argv: list[str], home: str) -> Play:
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": home,
            "ANSIBLE_STDOUT_CALLBACK": "one_line",
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"),
        }
        done = subprocess.run(argv, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        return Play(done.returncode, {item["task"]: item for item in map(json.loads, lines)}, done.stdout + done.stderr)


@dataclass
class OnMachine:
    """A checkout and the machine that it is deployed to."""

    checkout: Checkout
    machine: Machine
    images: Images
    known_hosts: Path

    def release(self, version: str, **others: str) -> None:
        """Pin this version of the backend."""
        pins = {"db": "17", "gateway": "1", **others}
        named = {f"{name}_image": self.images.pin(name, tag) for name, tag in pins.items()}
        self.checkout.pin(app_image=self.images.pin("backend", version), **named)

    def deploy(self, *words: str) -> Play:
        """Run deploy.yml."""
        return self._play("deploy.yml", *words)

    def inspect(self, *words: str) -> Play:
        """Run inspect.yml."""
        return self._play("inspect.yml", *words)

    def _play(self, playbook: str, *words: str) -> Play:
        secrets = json.dumps({"postgres_password": {"__ansible_unsafe": PASSWORD}})
        key = ["--private-key", str(self.machine.ssh_key)]
        return self.checkout.play(playbook, *key, "-e", secrets, *words, address=self.machine.address)

    def ssh(self, *command: str) -> str:
        """Run a command on the machine."""
        argv = self.machine.ssh_argv(self.known_hosts, *command)
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def containers(self, service: str) -> list[str]:
        """The ids of a service's running containers."""
        label = f"label=com.docker.compose.service={service}"
        return self.ssh("docker", "ps", "--quiet", "--no-trunc", "--filter", label).split()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh copy of the scaffold's files."""
    write_ansible(tmp_path)
    return Checkout(tmp_path)


@pytest.fixture
def oldest(checkout: Checkout) -> Checkout:
    """The checkout, played by the oldest ansible-core that is served."""
    checkout.programs = OLD_ANSIBLE / "bin"
    return checkout


@pytest.fixture(scope="session")
def images(session_lab: Lab, lab_site: Site) -> Images:
    """The demo's images."""
    return Images(session_lab)


@pytest.fixture
def machine(checkout: Checkout, lab_site: Site, images: Images) -> OnMachine:
    """The lab's staging machine, with whatever an earlier test left there, and no fence."""
    staging = lab_site.machines["staging"]
    (checkout.ansible / "known_hosts").write_text(staging.known_hosts_line)
    on_machine = OnMachine(checkout, staging, images, lab_site.known_hosts)
    on_machine.ssh("sudo rm -f /var/lib/fairlead/shop/fence")
    return on_machine


@pytest.fixture
def empty(machine: OnMachine) -> OnMachine:
    """The machine without the application."""
    everything = "docker ps -aq --filter label=com.docker.compose.project=shop | xargs -r docker rm -fv >/dev/null"
    machine.ssh(f"{everything}; docker volume rm -f shop_db; sudo rm -rf /opt/shop /var/lib/fairlead/shop")
    return machine


@pytest.fixture
def serving(machine: OnMachine) -> OnMachine:
    """The machine, serving 1.0.0."""
    machine.release("1.0.0")
    assert machine.deploy().status == 0
    return machine
