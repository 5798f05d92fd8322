"""What a lab has in the place of Proxmox VE and of a PostgreSQL for OpenTofu's state: `fairlead lab up --proxmox`.

The API is a process of this host at the lab's gateway, so that it reaches the engine and everybody reaches it. `up`
starts it again where it is gone, also after a restart of the host, with all VMs as they were.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fairlead import process
from fairlead.errors import LabUsage, MachineUnready, ProgramFailed
from fairlead.lab import addresses, background, machines, postgresql, secrets
from fairlead.lab.engine import Docker
from fairlead.lab.images import Images
from fairlead.lab.postgresql import PostgresqlPlan
from fairlead.lab.progress import at_once
from fairlead.lab.proxmox_api.cluster import TEMPLATE, state_file, tokens_at
from fairlead.lab.proxmox_api.containers import copies
from fairlead.lab.proxmox_api.faults import Faults, Kind
from fairlead.lab.proxmox_api.store import Store

PORT = 8006
FIRST_VMID = 101
_ENVIRONMENTS = "environments"


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A machine that OpenTofu is to make: what its .tfvars file says. address: `10.77.0.211/24`."""

    vm_id: int
    address: str
    gateway: str
    ssh_key: Path

    @property
    def public_key(self) -> str:
        """For cloud-init."""
        return self.ssh_key.with_suffix(".pub").read_text("ascii").strip()


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """What OpenTofu needs to know. api_token, connection: secrets. ca_file: the CA of the API's certificate.

    machines: the environments whose machines OpenTofu is to make.
    """

    endpoint: str
    api_token: str
    ca_file: Path
    connection: str
    machines: Mapping[str, VirtualMachine]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that OpenTofu reads; their values are secret."""
        return {
            "TF_VAR_proxmox_endpoint": self.endpoint,
            "TF_VAR_proxmox_api_token": self.api_token,
            "PG_CONN_STR": self.connection,
            "SSL_CERT_FILE": str(self.ca_file),
        }

    @property
    def secret_files(self) -> dict[str, str]:
        """The same for FAIRLEAD_SECRETS_DIR, by file name; the CA is none of them."""
        return {
            "proxmox_endpoint": self.endpoint,
            "proxmox_api_token": self.api_token,
            "PG_CONN_STR": self.connection,
        }

    def as_document(self) -> dict[str, object]:
        """For --json: where the secrets are, never the secrets."""
        return {
            "endpoint": self.endpoint,
            "ca_file": str(self.ca_file),
            "template": TEMPLATE,
            "machines": {
                name: {"vm_id": each.vm_id, "address": each.address, "ssh_key": str(each.ssh_key)}
                for name, each in self.machines.items()
            },
        }


@dataclass(frozen=True, slots=True)
class InfrastructurePlan:
    """What it is made from. directory: the lab's. registry: `address:port`. machine_image: the template's disk."""

    lab: str
    directory: Path
    network: addresses.Network
    registry: str = ""
    machine_image: str = ""
    postgresql_image: str = ""

    @property
    def api_directory(self) -> Path:
        """State and CA of the API."""
        return api_place(self.directory)

    @property
    def endpoint(self) -> str:
        """Of the API."""
        return f"https://{addresses.gateway(self.network)}:{PORT}/"

    @property
    def postgresql(self) -> PostgresqlPlan:
        """The state's database."""
        return PostgresqlPlan(self.lab, self.directory, addresses.postgresql(self.network), self.postgresql_image)

    def api_argv(self) -> list[str]:
        """Start the API; returns when it answers."""
        return [sys.executable, "-m", "fairlead.lab.proxmox_api", "--directory", str(self.api_directory),
                "--address", addresses.gateway(self.network), "--port", str(PORT), "--lab", self.lab,
                "--lab-directory", str(self.directory), "--registry", self.registry,
                "--image", self.machine_image]  # fmt: skip


def api_place(directory: Path) -> Path:
    """Where a lab keeps its API's state."""
    return directory / "proxmox"


def up(docker: Docker, images: Images, plan: InfrastructurePlan, named: Sequence[str]) -> Infrastructure:
    """Start what does not run; wait until it answers. named: environments whose machines OpenTofu is to make."""
    _remember(plan.api_directory, named)
    at_once([lambda: _postgresql(docker, images, plan), lambda: _api(images, plan)], images.progress.note)
    made = read(plan)
    assert made is not None  # both answer by now
    keys = {name: each.ssh_key for name, each in made.machines.items()}
    secrets.ensure_infrastructure(plan.directory, made.secret_files, keys)
    return made


def _postgresql(docker: Docker, images: Images, plan: InfrastructurePlan) -> None:
    made = postgresql.image(images)
    with images.progress.phase(f"PostgreSQL {plan.postgresql.address}:{postgresql.PORT}"):
        postgresql.up(docker, replace(plan, postgresql_image=made).postgresql)


def _api(images: Images, plan: InfrastructurePlan) -> None:
    if background.serving(plan.api_directory) is not None:
        return
    with images.progress.phase(f"Proxmox API {plan.endpoint}"):
        try:
            process.run(plan.api_argv(), timeout=60)
        except ProgramFailed as error:
            raise MachineUnready(
                f"The lab's Proxmox API {plan.endpoint} cannot be started", why=error.why, remedy="Free that port"
            ) from error


def _remember(directory: Path, named: Sequence[str]) -> None:
    """Who was named first keeps its place."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    known = _known(directory)
    lines = [*known, *(name for name in named if name not in known)]
    draft = directory / f".{_ENVIRONMENTS}"
    draft.write_text("".join(f"{line}\n" for line in lines), "ascii")
    draft.replace(directory / _ENVIRONMENTS)


def _known(directory: Path) -> list[str]:
    file = directory / _ENVIRONMENTS
    return file.read_text("ascii").split() if file.exists() else []


def environments(directory: Path) -> list[str]:
    """Those whose machines OpenTofu is to make, in the order in which they were named."""
    return _known(api_place(directory))


def exists(directory: Path) -> bool:
    """Whether the lab has an API of its own."""
    return (api_place(directory) / _ENVIRONMENTS).exists()


def read(plan: InfrastructurePlan) -> Infrastructure | None:
    """What there is, changing nothing but the machines' SSH keys; None without an API."""
    tokens = tokens_at(plan.api_directory)
    if tokens is None:
        return None
    planned = {name: _machine(plan, name, position) for position, name in enumerate(_known(plan.api_directory))}
    ca_file = plan.api_directory / "ca.pem"
    return Infrastructure(plan.endpoint, tokens.lab, ca_file, plan.postgresql.connection(), planned)


def _machine(plan: InfrastructurePlan, environment: str, position: int) -> VirtualMachine:
    address = f"{addresses.virtual(plan.network, position)}/{plan.network.prefixlen}"
    key = machines.ensure_key(plan.directory, plan.lab, environment)
    return VirtualMachine(FIRST_VMID + position, address, addresses.gateway(plan.network), key)


@contextlib.contextmanager
def faults(directory: Path) -> Iterator[Faults]:
    """The faults of a lab's API, whoever serves it. Raises LabUsage for a lab without one."""
    if not exists(directory):
        raise LabUsage("This lab has no Proxmox API", remedy="fairlead lab up --proxmox")
    store = Store(state_file(api_place(directory)))
    try:
        yield Faults(store)
    finally:
        store.close()


def kind_of_fault(text: str) -> Kind:
    """Raises LabUsage, which names all that there are."""
    try:
        return Kind(text)
    except ValueError:
        known = ", ".join(Kind)
        raise LabUsage(
            f"{text!r} is no fault that the lab knows", why=f"It knows {known}", remedy="fairlead lab fault task-fails"
        ) from None


def remove_copies(docker: Docker, lab: str, directory: Path) -> None:
    """The images that were made of VMs; after their containers are gone."""
    if images := docker.run(*copies(directory, lab)).stdout.split():
        docker.run("rmi", "--force", *images)


def end(directory: Path) -> bool:
    """End the lab's API. False: none ran."""
    return background.end(api_place(directory))
