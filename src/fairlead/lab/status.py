"""How a lab is: addresses, health, memory."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from fairlead.lab import addresses, background, infrastructure, machines, postgresql, registry, repositories, semaphore
from fairlead.lab.containers import names_of
from fairlead.lab.progress import at_once
from fairlead.lab.site import Lab
from fairlead.lab.sockets import answers

RUNNING = "running"
_SIZE = re.compile(r"([0-9.]+)([KMGT]?i?)B", re.ASCII)
_UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One container of the lab, or a process. state: Docker's word. memory: bytes in use, None when it does not run."""

    name: str
    container: str
    address: str
    state: str
    healthy: bool
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class LabStatus:
    """A lab and its parts."""

    name: str
    directory: str
    subnet: str
    registry: PartStatus | None
    machines: list[PartStatus]
    infrastructure: list[PartStatus]
    repositories: dict[str, str]

    @property
    def healthy(self) -> bool:
        """The registry is there, and every part is healthy."""
        return self.registry is not None and all(
            part.healthy for part in (self.registry, *self.machines, *self.infrastructure)
        )

    def as_document(self) -> dict[str, object]:
        """For --json."""
        return {"version": 1, **asdict(self), "healthy": self.healthy}


def status_of(lab: Lab) -> LabStatus:
    """Ask every part how it is. Raises LabMissing if there is no such lab."""
    network = lab.existing.network()
    if network is None:
        raise lab.missing()
    parts = _parts(lab, lab.existing.containers())
    served = next((part for part in parts if part.name == registry.ROLE), None)
    state = [part for part in parts if part.name == postgresql.ROLE]
    others = [part for part in parts if part is not served and part not in state]
    return LabStatus(
        name=lab.name,
        directory=str(lab.directory),
        subnet=str(network),
        registry=served,
        machines=sorted(others, key=lambda part: IPv4Address(part.address)),
        infrastructure=[*_processes(lab, addresses.gateway(network)), *state],
        repositories=repositories.all_of(lab.directory),
    )


def _parts(lab: Lab, names: Sequence[str]) -> list[PartStatus]:
    """All at once: Docker takes two seconds to tell the memory."""
    memory: dict[str, int] = {}
    probes: list[Callable[[], PartStatus | None]] = [lambda name=name: _part(lab, name) for name in names]  # type: ignore[misc]
    found = at_once([lambda: memory.update(_memory(lab, names)), *probes])
    return [
        replace(part, memory=memory.get(part.container)) if part.state == RUNNING else part for part in found if part
    ]


def _part(lab: Lab, container: str) -> PartStatus:
    found = lab.existing.inspect(container)
    name = lab.existing.environment(found) or container.removeprefix(f"{names_of(lab.name)}.")
    address, state = lab.existing.address(found), found["State"]["Status"]
    return PartStatus(name, container, address, state, state == RUNNING and _is_ready(lab, name, container, address))


def _is_ready(lab: Lab, name: str, container: str, address: str) -> bool:
    """Each kind of part is asked in its own way."""
    match name:
        case registry.ROLE:
            return registry.ready(address)
        case postgresql.ROLE:
            return postgresql.ready(lab.docker, container)
    return machines.ready(lab.docker, container, address)


def _processes(lab: Lab, address: str) -> list[PartStatus]:
    """The processes of the APIs that the lab has."""
    parts = []
    if infrastructure.exists(lab.directory):
        parts.append(_process("proxmox", infrastructure.api_place(lab.directory), address, infrastructure.PORT))
    if semaphore.exists(lab.directory):
        parts.append(_process("semaphore", semaphore.place_in(lab.directory), address, semaphore.PORT))
    return parts


def _process(name: str, place: Path, address: str, port: int) -> PartStatus:
    state = "exited" if background.serving(place) is None else RUNNING
    return PartStatus(name, "", address, state, answers(address, port))


def _memory(lab: Lab, containers: Sequence[str]) -> dict[str, int]:
    """Bytes in use by container."""
    if not containers:
        return {}
    said = lab.docker.run("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *containers).stdout
    rows = (line.split() for line in said.splitlines())
    sizes = {row[0]: memory_bytes(row[1]) for row in rows if len(row) > 1}
    return {name: size for name, size in sizes.items() if size is not None}


def memory_bytes(text: str) -> int | None:
    """Docker's `69.1MiB` as bytes; None for its `--`."""
    match = _SIZE.fullmatch(text)
    return int(float(match[1]) * _UNITS[match[2]]) if match else None
