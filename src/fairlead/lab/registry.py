"""The lab's registry: one container with a fixed address, reached under the same `address:5000` from host and machines.

The host's engine trusts plain HTTP only for 127/8, so images are pushed through a port there; the registry files an
image under its repository alone, so both names mean the same image.
"""

from dataclasses import dataclass
from pathlib import Path

from fairlead.errors import MachineUnready
from fairlead.lab.containers import Container, names_of
from fairlead.lab.engine import Docker, labels
from fairlead.lab.images import FILES, archive_of
from fairlead.lab.progress import wait_until
from fairlead.lab.sockets import answers

PORT = 5000
ROLE = "registry"
_CONFIGURATION = "etc/fairlead-registry.yml"
_STARTS_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class RegistryPlan:
    """What a lab's registry is made from. address: in the lab's network."""

    lab: str
    directory: Path
    address: str
    image: str

    @property
    def container(self) -> str:
        """The name of the container, and of its volume."""
        return names_of(self.lab, ROLE)

    def create_argv(self) -> list[str]:
        """Create the container."""
        return ["create", "--name", self.container, *labels(self.lab, self.directory), "--restart", "unless-stopped",
                "--network", names_of(self.lab), "--ip", self.address, "--publish", f"127.0.0.1::{PORT}",
                "--volume", f"{self.container}:/var/lib/registry",
                self.image, "serve", f"/{_CONFIGURATION}"]  # fmt: skip

    def seed(self) -> bytes:
        """The files that are copied in before the first start, as a tar file."""
        return archive_of({_CONFIGURATION: (FILES / "registry" / "config.yml").read_bytes()}, mode=0o644)


def up(docker: Docker, plan: RegistryPlan) -> str:
    """Make and start the registry if it is not there; wait until it accepts connections. Returns `address:port`."""
    container = Container(docker, plan.container)
    container.ensure_running(plan.create_argv(), plan.seed(), labels(plan.lab, plan.directory))
    if not wait_until(lambda: ready(plan.address), within=_STARTS_WITHIN):
        raise MachineUnready(
            f"The registry {plan.address}:{PORT} does not answer within {_STARTS_WITHIN:.0f} s",
            why=container.last_words(),
            remedy=f"docker logs {plan.container}",
        )
    return f"{plan.address}:{PORT}"


def ready(address: str) -> bool:
    """Whether the registry accepts connections."""
    return answers(address, PORT)


def push_address(docker: Docker, lab: str) -> str:
    """`127.0.0.1:<port>`: the registry for `docker push` on this host. Changes when the registry is restarted."""
    said = docker.run("port", names_of(lab, ROLE), f"{PORT}/tcp").stdout.split()
    return said[0]
