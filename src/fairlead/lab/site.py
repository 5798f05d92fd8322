"""A lab as a whole: up, what it is, how it is, down.

    Lab("lab", state_directory).up(("staging", "production"))  ->  Site

What exists is asked of Docker by label every time; the lab's directory holds only keys, known_hosts and the bare
git repositories. So `up` after any interruption makes what is missing, and `down` removes what is there.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairlead.errors import Busy, LabMissing, LabSubnetInUse, LabUsage, ProgramFailed
from fairlead.lab import addresses, engine, infrastructure, machines, registry, repositories, secrets, semaphore
from fairlead.lab.containers import names_of
from fairlead.lab.engine import Docker, OwnEngine
from fairlead.lab.existing import Existing, option
from fairlead.lab.images import REGISTRY, Base, Images
from fairlead.lab.infrastructure import Infrastructure, InfrastructurePlan
from fairlead.lab.machines import Machine, MachinePlan
from fairlead.lab.progress import Progress, at_once
from fairlead.lab.semaphore import Semaphore, SemaphorePlan

DEFAULT_ENVIRONMENTS = ("staging", "production")
_RACES = 5
_NAME = re.compile(r"[a-z][a-z0-9-]{0,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Site:
    """A lab that is up.

    subnet: `10.77.0.0/24`. registry: `address:port`, the same for host, machines and pins. known_hosts: a file with
    every machine's host key.
    """

    name: str
    directory: Path
    subnet: str
    registry: str
    machines: Mapping[str, Machine]
    infrastructure: Infrastructure | None = None
    semaphore: Semaphore | None = None

    @property
    def known_hosts(self) -> Path:
        """A file with the host keys of all machines, as read on them."""
        return self.directory / "known_hosts"

    @property
    def secrets(self) -> Path:
        """For FAIRLEAD_SECRETS_DIR: the machines' SSH keys and the demo's password."""
        return self.directory / "secrets"

    @property
    def registry_container(self) -> str:
        """For `docker stop` and `docker start`: a site whose registry is gone."""
        return names_of(self.name, registry.ROLE)

    def repository(self, name: str = "deployment") -> str:
        """The URL of a bare git repository of the lab, made if it is not there."""
        return repositories.ensure(self.directory, name)

    def as_document(self) -> dict[str, object]:
        """For --json: where keys are, never the keys."""
        return {
            "version": 1,
            "name": self.name,
            "directory": str(self.directory),
            "subnet": self.subnet,
            "registry": self.registry,
            "known_hosts": str(self.known_hosts),
            "secrets": str(self.secrets),
            "machines": {name: machine.as_document() for name, machine in self.machines.items()},
            "repositories": repositories.all_of(self.directory),
            "infrastructure": self.infrastructure.as_document() if self.infrastructure else None,
            "semaphore": self.semaphore.as_document() if self.semaphore else None,
        }


@dataclass(frozen=True, slots=True)
class Removed:
    """What `down` removed: names of Docker objects by kind, and whether an engine was stopped."""

    objects: dict[str, list[str]]
    engine_stopped: bool = False


@dataclass(frozen=True)
class Lab:
    """A lab by its name. root: the state directory of all labs. may_install: packages and an engine, as root."""

    name: str
    root: Path
    docker: Docker = field(default_factory=Docker)
    progress: Progress = field(default_factory=Progress)
    may_install: bool = True
    memory: str = "2g"

    def __post_init__(self) -> None:
        require_name(self.name, "a lab")

    @property
    def directory(self) -> Path:
        """Keys, known_hosts and git repositories of this lab."""
        return self.root / "labs" / self.name

    @property
    def network(self) -> str:
        """The Docker network's name."""
        return names_of(self.name)

    @property
    def existing(self) -> Existing:
        """What Docker has of this lab."""
        return Existing(self.docker, self.name, self.directory)

    @property
    def own_engine(self) -> OwnEngine:
        """The engine that Fairlead started, if it did; one for all labs."""
        return OwnEngine(self.root / "engine")

    @property
    def images(self) -> Images:
        """The images in this lab's engine."""
        return Images(self.docker, self.progress)

    def up(
        self,
        environments: Sequence[str] = (),
        subnet: str | None = None,
        bases: Sequence[Base] = (),
        *,
        proxmox: bool = False,
        with_semaphore: bool = False,
    ) -> Site:
        """Make what is missing, start what does not run, and wait until all of it answers.

        environments: one machine each; empty takes those that the lab has, else staging and production. subnet: None
        keeps the lab's, else takes the first free one. bases: images to make meanwhile where the engine lacks them.
        proxmox: a Proxmox API and a PostgreSQL too; the environments' machines are then OpenTofu's to make. A lab that
        has them keeps them.
        with_semaphore: a stand-in for Semaphore too.

        Raises LabUsage, LabSubnetInUse, EngineUnreachable, MachineUnready, Busy.
        """
        for environment in environments:
            require_name(environment, "an environment")
        if registry.ROLE in environments:
            raise LabUsage(f"No environment of a lab can be called {registry.ROLE!r}", why="Its registry is")
        with self.alone():
            engine.ensure(self.docker, self.own_engine, self.progress, self.may_install)
            network = self._network(subnet)
            present = self.existing.positions(network)
            proxmox = proxmox or infrastructure.exists(self.directory)
            wanted = environments or tuple(present) or DEFAULT_ENVIRONMENTS
            positions = place(present, () if proxmox else wanted)
            served, image = self._foundations(network, bases)
            found = self._machines(positions, network, served, image)
            if proxmox:
                plan = InfrastructurePlan(self.name, self.directory, network, served, image)
                infrastructure.up(self.docker, self.images, plan, self._virtual(environments, positions))
            if with_semaphore or semaphore.exists(self.directory):
                semaphore.up(self.progress, SemaphorePlan(self.directory, network))
            return self._site(network, served, found)

    def _virtual(self, environments: Sequence[str], positions: Mapping[str, int]) -> list[str]:
        """The environments whose machines OpenTofu is to make: those that have no machine of the lab."""
        wanted = environments or infrastructure.environments(self.directory) or DEFAULT_ENVIRONMENTS
        return [name for name in wanted if name not in positions]

    def _foundations(self, network: addresses.Network, bases: Sequence[Base]) -> tuple[str, str]:
        """Registry and machine image at once; the bases beside them. Returns the registry and the image."""
        plan = self._registry_plan(network)
        served, image, *_ = at_once(
            [
                lambda: self._registry(plan),
                self.images.machine,
                *(lambda base=base: self.images.base(base) for base in bases),
            ],
            self.progress.note,
        )
        return served, image

    def _registry_plan(self, network: addresses.Network) -> registry.RegistryPlan:
        return registry.RegistryPlan(self.name, self.directory, addresses.registry(network), REGISTRY.tag)

    def _registry(self, plan: registry.RegistryPlan) -> str:
        self.images.base(REGISTRY)
        with self.progress.phase(f"Registry {plan.address}:{registry.PORT}"):
            return registry.up(self.docker, plan)

    def _machines(
        self, positions: Mapping[str, int], network: addresses.Network, served: str, image: str
    ) -> dict[str, Machine]:
        plans = [
            MachinePlan(
                self.name, self.directory, environment, addresses.machine(network, position), served, image, self.memory
            )
            for environment, position in positions.items()
        ]
        found = at_once([lambda plan=plan: self._machine(plan) for plan in plans], self.progress.note)  # type: ignore[misc]
        return {machine.environment: machine for machine in found}

    def _machine(self, plan: MachinePlan) -> Machine:
        with self.progress.phase(f"Machine {plan.environment} {plan.address}"):
            return machines.up(self.docker, plan)

    def _site(self, network: addresses.Network, served: str, found: Mapping[str, Machine]) -> Site:
        plan = InfrastructurePlan(self.name, self.directory, network)
        deployer = semaphore.read(SemaphorePlan(self.directory, network))
        site = Site(self.name, self.directory, str(network), served, found, infrastructure.read(plan), deployer)
        lines = "".join(machine.known_hosts_line for machine in found.values())
        secrets.write_whole(site.known_hosts, lines)
        secrets.ensure(self.directory, found.values())
        return site

    def site(self) -> Site:
        """The lab as it is, changing nothing. Raises LabMissing if a part is not there or does not run."""
        network = self.existing.network()
        if network is None:
            raise self.missing()
        served = f"{addresses.registry(network)}:{registry.PORT}"
        try:
            found = {
                environment: machines.read(self.docker, self._plan_at(environment, address, served))
                for environment, address in self.existing.machine_addresses().items()
            }
        except ProgramFailed as error:
            raise self.missing("A machine of it does not run") from error
        return self._site(network, served, found)

    def _plan_at(self, environment: str, address: str, served: str) -> MachinePlan:
        return MachinePlan(self.name, self.directory, environment, address, served, image="")

    def missing(self, why: str = "") -> LabMissing:
        """The error that says that this lab is not up."""
        return LabMissing(f"There is no lab {self.name!r} that is up", why=why, remedy=f"fairlead lab up{self.option}")

    @property
    def option(self) -> str:
        """What a command line needs to mean this lab."""
        return option(self.name)

    def _network(self, subnet: str | None) -> addresses.Network:
        existing = self.existing.network()
        wanted = addresses.parse_subnet(subnet) if subnet else existing
        if existing and wanted != existing:
            raise LabUsage(
                f"The lab {self.name!r} has the subnet {existing}, not {wanted}",
                remedy=f"fairlead lab down{self.option}, then up again; or give this one another --name",
            )
        return existing or self._make_network(wanted)

    def _make_network(self, wanted: addresses.Network | None) -> addresses.Network:
        for _ in range(_RACES):
            taken = addresses.taken(self.docker.subnets())
            network = addresses.require_free(wanted, taken, self.option) if wanted else addresses.first_free(taken)
            if self.take(network):
                self.progress.note(f"Network {self.network}: {network}")
                return network
        raise LabSubnetInUse("Other labs took every free subnet first", remedy=f"fairlead lab up{self.option}")

    def take(self, network: addresses.Network) -> bool:
        """Make the lab's network there. False: the subnet is another's by now (the engine lets only one have it)."""
        gateway = addresses.gateway(network)
        try:
            self.docker.run(*engine.network_creation(self.name, self.directory, self.network, str(network), gateway))
        except ProgramFailed as error:
            if "overlaps" in error.why:
                return False
            raise
        return True

    def down(self, *, stop_engine: bool = False, remove_images: bool = False) -> Removed:
        """Remove what carries this lab's label, and its directory. Repeating it is harmless.

        remove_images: also the cached images that no other lab uses now. stop_engine: also stop the engine, if
        Fairlead started it. Raises Busy while another lab needs that engine.
        """
        with self.alone():
            infrastructure.end(self.directory)
            semaphore.end(self.directory)
            objects = self._remove_objects(remove_images) if self.docker.answers() else {}
            shutil.rmtree(self.directory, ignore_errors=True)
            return Removed(objects, stop_engine and self._stop_engine())

    def _remove_objects(self, remove_images: bool) -> dict[str, list[str]]:
        removed = {}
        for kind in engine.KINDS:
            if names := self.existing.of_kind(kind):
                self.docker.run(*engine.removal(kind, names))
                removed[kind] = names
        infrastructure.remove_copies(self.docker, self.name, self.directory)
        return removed | ({"image": images} if remove_images and (images := self.images.remove()) else {})

    def _stop_engine(self) -> bool:
        others = self.docker.run(*engine.labelled("network")).stdout.split() if self.docker.answers() else []
        if others:
            raise Busy("The engine is not stopped", why=f"Other labs use it: {', '.join(others)}")
        return engine.stop(self.own_engine)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lab's lock. Raises Busy, naming the holder's process."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory.parent / f"{self.name}.lock").open("a+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise Busy(f"The lab {self.name!r} is being changed by process {file.read().strip()}") from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def require_name(text: str, what: str) -> None:
    """Raise LabUsage unless the text can be part of names in Docker."""
    if not _NAME.fullmatch(text):
        raise LabUsage(
            f"{text!r} is no name for {what}",
            why="Names are at most 21 of a-z 0-9 -, beginning with a letter",
            remedy="For example: staging",
        )


def place(existing: Mapping[str, int], wanted: Sequence[str]) -> dict[str, int]:
    """The position of every machine: who has one keeps it, the others take the lowest free ones, in order."""
    positions = dict(existing)
    free = (number for number in range(addresses.LARGEST_SITE) if number not in existing.values())
    for environment in wanted:
        if environment not in positions:
            positions[environment] = next(free)
    return positions
