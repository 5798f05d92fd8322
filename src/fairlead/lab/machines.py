"""A machine of the lab: Debian with systemd, real cloud-init from a NoCloud seed, sshd, its own Docker engine.

A container stands in for the VM, without --privileged. Its engine's data is on a volume (overlay2 does not work on a
container's own file system), so images and containers survive a restart. A restart is `docker restart NAME`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fairlead import process
from fairlead.errors import MachineUnready
from fairlead.lab import addresses
from fairlead.lab.containers import Container, names_of
from fairlead.lab.engine import Docker, labels
from fairlead.lab.images import archive_of
from fairlead.lab.progress import wait_until
from fairlead.lab.sockets import answers

USER = "deploy"
SSH_PORT = 22
_SEED = "var/lib/cloud/seed/nocloud"
_HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
_BOOTS_WITHIN = 120.0
# What --privileged gives, without CAP_SYS_RESOURCE, which some hosts lack themselves.
_RIGHTS = (
    "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--cgroupns", "private", "--device-cgroup-rule", "a *:* rwm",
    "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "--security-opt", "systempaths=unconfined",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that is up: all that a deployer needs to know.

    address: in the lab's network, reachable from the host. host_key: `ssh-ed25519 AAAA...`, read on the machine.
    """

    environment: str
    container: str
    address: str
    ssh_key: Path
    host_key: str
    user: str = USER

    @property
    def known_hosts_line(self) -> str:
        """For a known_hosts file."""
        return f"{self.address} {self.host_key}\n"

    def as_document(self) -> dict[str, str]:
        """For --json."""
        return {name: str(value) for name, value in asdict(self).items()}

    def ssh_argv(self, known_hosts: Path, *command: str) -> list[str]:
        """Log in, or run one command there, with the host key checked."""
        return ["ssh", "-i", str(self.ssh_key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
                "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known_hosts}",
                f"{self.user}@{self.address}", *command]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """What a machine is made from. address: in the lab's network. registry: `address:port`, served over plain HTTP.

    memory: as docker's --memory takes it.
    """

    lab: str
    directory: Path
    environment: str
    address: str
    registry: str
    image: str
    memory: str = "2g"

    @property
    def container(self) -> str:
        """The name of the container, and of the volume with its engine's data."""
        return names_of(self.lab, self.environment)

    def create_argv(self) -> list[str]:
        """Create the container."""
        own = (*labels(self.lab, self.directory, self.environment), "--memory", self.memory)
        network = names_of(self.lab)
        return creation(self.container, network, self.address, self.image, host_name=self.environment, own=own)

    def seed(self, public_key: str) -> bytes:
        """What is copied in before the first start: the NoCloud seed and the engine's configuration, as a tar file."""
        return seed(user_data(public_key), meta_data(self.lab, self.environment), self.registry)


def creation(
    container: str, network: str, address: str, image: str, *, host_name: str, own: Sequence[str]
) -> list[str]:
    """Create a machine's container. own: its labels and limits."""
    return ["create", "--name", container, "--hostname", host_name, *own, "--restart", "unless-stopped", *_RIGHTS,
            "--tmpfs", "/run", "--tmpfs", "/run/lock", "--network", network, "--ip", address,
            "--volume", f"{container}:/var/lib/docker", image]  # fmt: skip


def seed(user: str, meta: str, registry: str) -> bytes:
    """What a machine reads at its start, as a tar file: user data and meta-data, the engine's configuration."""
    files = {f"{_SEED}/user-data": user, f"{_SEED}/meta-data": meta, "etc/docker/daemon.json": daemon_json(registry)}
    return archive_of({path: text.encode() for path, text in files.items()}, mode=0o644)


def user_data(public_key: str) -> str:
    """cloud-init's user data: the deploy user, with sudo and Docker. JSON is YAML, and needs no quoting rules."""
    user = {
        "name": USER,
        "groups": ["docker", "sudo"],
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "shell": "/bin/bash",
        "ssh_authorized_keys": [public_key.strip()],
    }
    return f"#cloud-config\n{json.dumps({'users': [user]}, indent=1)}\n"


def meta_data(lab: str, environment: str) -> str:
    """cloud-init's meta-data: one instance for the machine's whole life, so a restart does not set it up again."""
    return json.dumps({"instance-id": f"{lab}-{environment}", "local-hostname": environment})


def daemon_json(registry: str) -> str:
    """The machine's engine: trusts the lab's registry without TLS, and keeps out of the lab's own addresses."""
    settings = {
        "insecure-registries": [registry],
        "bip": addresses.MACHINE_BRIDGE,
        "default-address-pools": [{"base": addresses.MACHINE_POOL, "size": 24}],
    }
    return json.dumps(settings)


def key_argv(path: Path, comment: str) -> list[str]:
    """Make a key pair without a passphrase."""
    return ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]


def ensure_key(directory: Path, lab: str, environment: str) -> Path:
    """The environment's private key (0600; the public one beside it), made if it is not there whole."""
    key = key_path(directory, environment)
    if key.exists() and key.with_suffix(".pub").exists():
        return key
    key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for leftover in (key, key.with_suffix(".pub")):
        leftover.unlink(missing_ok=True)
    process.run(key_argv(key, f"fairlead-lab-{lab}-{environment}"), timeout=30)
    return key


def key_path(directory: Path, environment: str) -> Path:
    """Where a lab keeps the environment's private key."""
    return directory / "keys" / environment


def up(docker: Docker, plan: MachinePlan) -> Machine:
    """Make and start the machine if it is not there; wait until ssh and its engine answer. Raises MachineUnready."""
    key = ensure_key(plan.directory, plan.lab, plan.environment)
    container = Container(docker, plan.container)
    container.ensure_running(
        plan.create_argv(),
        plan.seed(key.with_suffix(".pub").read_text(encoding="ascii")),
        labels(plan.lab, plan.directory, plan.environment),
    )
    if not wait_until(lambda: ready(docker, plan.container, plan.address), within=_BOOTS_WITHIN):
        raise MachineUnready(
            f"The machine {plan.environment} ({plan.address}) is not up within {_BOOTS_WITHIN:.0f} s",
            why=container.last_words(),
            remedy=f"docker exec {plan.container} systemctl --failed",
        )
    return read(docker, plan)


def ready(docker: Docker, container: str, address: str) -> bool:
    """Whether sshd greets, the boot is over (cloud-init too), and the machine's own Docker engine answers."""
    return answers(address, SSH_PORT, b"SSH-") and _booted(docker, container) and _engine_answers(docker, container)


def _booted(docker: Docker, container: str) -> bool:
    """systemctl(1), is-system-running: `degraded` is a boot that ended with a unit that failed."""
    return _say_inside(docker, container, "systemctl", "is-system-running").stdout.strip() in ("running", "degraded")


def _engine_answers(docker: Docker, container: str) -> bool:
    return _say_inside(docker, container, "docker", "version", "--format", "{{.Server.Version}}").exit_code == 0


def _say_inside(docker: Docker, container: str, *command: str) -> process.Completed:
    return docker.run("exec", container, *command, timeout=60, expect=range(256))


def read(docker: Docker, plan: MachinePlan) -> Machine:
    """Describe a machine that runs; the host key is read on it, not from the network."""
    words = Container(docker, plan.container).read(_HOST_KEY).split()
    key = key_path(plan.directory, plan.environment)
    return Machine(plan.environment, plan.container, plan.address, key, " ".join(words[:2]))
