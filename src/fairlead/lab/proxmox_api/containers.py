"""The back end whose VMs are the lab's machine containers.

A VM's container is made at its first start, when its address is known, and kept over stop and start, as a disk is.
Before each start it gets what is in force: address, memory and processor limits, cloud-init's seed. Proxmox's network
card is the container's own (the address of the hardware is Docker's), its disk size is not enforced, and the name
servers are Docker's.
"""

import base64
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fairlead.errors import FairleadError, ProgramFailed
from fairlead.lab import machines
from fairlead.lab.containers import Container, names_of
from fairlead.lab.engine import LABEL, Docker, labels, marks, removal
from fairlead.lab.images import PREFIX
from fairlead.lab.proxmox_api import seed
from fairlead.lab.proxmox_api.backend import AgentSilent, Ended, GuestError, Interface
from fairlead.lab.proxmox_api.machine import Machine, address_of
from fairlead.lab.proxmox_api.refusal import Refusal

MACHINE_LABEL = f"{LABEL}.vm"
_FRESH = 0.5  # seconds for which the engine's word on who runs is believed
_STOPS_WITHIN = 30
_PROGRAM_MISSING = (126, 127)
_AGENT_UP = ("systemctl", "is-active", "--quiet", "basic.target")
# Names, hardware addresses and IPv4 addresses with prefix; the machine has no ip(8). Source: netdevice(7), ioctls.
_INTERFACES = b"""
import fcntl, ipaddress, json, pathlib, socket, struct
def ask(name, request):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        try:
            return socket.inet_ntoa(fcntl.ioctl(channel, request, struct.pack("256s", name.encode()))[20:24])
        except OSError:
            return None
found = []
for place in sorted(pathlib.Path("/sys/class/net").iterdir()):
    address, mask = ask(place.name, 0x8915), ask(place.name, 0x891B)
    addresses = [str(ipaddress.IPv4Interface(f"{address}/{mask}"))] if address and mask else []
    found.append([place.name, (place / "address").read_text().strip(), addresses])
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class MachineGuest:
    """The guest agent's part of a running container."""

    docker: Docker
    container: str

    def interfaces(self) -> Sequence[Interface]:
        """As the guest's kernel has them."""
        said = self._inside(["python3", "-"], _INTERFACES)
        rows = json.loads(said.stdout)
        return [Interface(name, hardware, tuple(addresses)) for name, hardware, addresses in rows]

    def read(self, path: str) -> bytes:
        """A file's content, whatever bytes it has."""
        said = self._inside(["base64", "--", path], b"")
        if said.exit_code:
            raise GuestError(f"failed to open file '{path}' (mode: 'r'): {said.stderr.strip().rpartition(': ')[2]}")
        return base64.b64decode(said.stdout)

    def run(self, argv: Sequence[str], stdin: bytes) -> Ended:
        """Run a program as root."""
        said = self._inside(argv, stdin)
        if said.exit_code in _PROGRAM_MISSING and "OCI runtime exec failed" in said.stdout + said.stderr:
            raise GuestError(f'Guest agent command failed, error was "Failed to execute child process {argv[0]}"')
        return said

    def os_release(self) -> str:
        """The guest's own."""
        return self.read("/etc/os-release").decode()

    def host_name(self) -> str:
        """The guest's own."""
        return self._inside(["hostname"], b"").stdout.strip()

    def _inside(self, argv: Sequence[str], stdin: bytes) -> Ended:
        said = self.docker.run("exec", "--interactive", self.container, *argv, stdin=stdin, expect=range(256))
        return Ended(said.exit_code, said.stdout, said.stderr)


@dataclass
class Containers:
    """Makes VMs as containers of a lab. registry: `address:port`, trusted without TLS. image: the template's."""

    lab: str
    directory: Path
    registry: str
    image: str
    docker: Docker = field(default_factory=Docker)
    clock: Callable[[], float] = time.monotonic
    at_once: bool = field(default=False, init=False)
    _seen: tuple[float, frozenset[int]] | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def container(self, vmid: int) -> str:
        """The name of a VM's container, and of the volume with its engine's data."""
        return names_of(self.lab, f"vm-{vmid}")

    def make(self, machine: Machine, source: Machine) -> None:
        """What an earlier VM of this number left behind goes. A source that ever ran is copied as it is now."""
        self.destroy(machine)
        machine.image = source.image
        if Container(self.docker, self.container(source.vmid)).state():
            machine.image = self._copy_name(machine.vmid)
            self.docker.run("commit", self.container(source.vmid), machine.image)

    def _copy_name(self, vmid: int) -> str:
        return f"{PREFIX}/vm:{self.lab}-{vmid}"

    def start(self, machine: Machine) -> None:
        """Make the container or bring it up to date, start it."""
        address = _static_address(machine)
        container = Container(self.docker, self.container(machine.vmid))
        state = container.state()
        # One that was made and never started may lack what comes next.
        if state == "created":
            self.docker.run(*removal("container", [container.name]))
        with self._changing():
            if state in ("", "created"):
                self.docker.run("volume", "create", *self._labels(machine), container.name)
                self.docker.run(*self.creation(machine, address))
            else:
                self._move(container.name, address)
                self.docker.run("update", *limits(machine), container.name)
            self.docker.run("cp", "-", f"{container.name}:/", stdin=self._seed(machine))
            self.docker.run("start", container.name)

    def creation(self, machine: Machine, address: str) -> list[str]:
        """Create the container."""
        own = (*self._labels(machine), *limits(machine))
        name = self.container(machine.vmid)
        image = machine.image or self.image
        return machines.creation(name, names_of(self.lab), address, image, host_name=machine.name, own=own)

    def _labels(self, machine: Machine) -> list[str]:
        return [*labels(self.lab, self.directory), "--label", f"{MACHINE_LABEL}={machine.vmid}"]

    def _seed(self, machine: Machine) -> bytes:
        return machines.seed(seed.user_data(machine), seed.meta_data(machine), self.registry)

    def _move(self, container: str, address: str) -> None:
        """Give a stopped container another address, if it has another one."""
        network = names_of(self.lab)
        form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAMConfig.IPv4Address}}}}'
        before = self.docker.run("container", "inspect", "--format", form, container).stdout.strip()
        if before != address:
            self.docker.run("network", "disconnect", network, container)
            self.docker.run("network", "connect", "--ip", address, network, container)

    def stop(self, machine: Machine, *, kill: bool) -> None:
        """Ask systemd to end, or kill everything."""
        name = self.container(machine.vmid)
        with self._changing():
            if kill:
                self.docker.run("kill", name, expect=(0, 1))
            else:
                self.docker.run("stop", "--time", str(_STOPS_WITHIN), name)

    def destroy(self, machine: Machine) -> None:
        """Remove container and volume, if they are there."""
        name = self.container(machine.vmid)
        with self._changing():
            if Container(self.docker, name).state():
                self.docker.run(*removal("container", [name]))
            self.docker.run("volume", "rm", "--force", name)
            # A copy that others are made from stays until `lab down`.
            self.docker.run("rmi", self._copy_name(machine.vmid), expect=(0, 1))

    def powered(self) -> frozenset[int] | None:
        """Whose container runs, asked of the engine at most twice a second; None where it does not answer."""
        with self._lock:
            if self._seen is None or self.clock() - self._seen[0] > _FRESH:
                try:
                    said = self.docker.run(*self.running()).stdout
                except FairleadError:
                    return None
                self._seen = (self.clock(), frozenset(int(line) for line in said.split()))
            return self._seen[1]

    def running(self) -> list[str]:
        """Print the numbers of the VMs whose container runs."""
        filters = [word for label in marks(self.lab, self.directory) for word in ("--filter", f"label={label}")]
        return ["ps", *filters, "--filter", f"label={MACHINE_LABEL}", "--format", f'{{{{.Label "{MACHINE_LABEL}"}}}}']

    def guest(self, machine: Machine) -> MachineGuest:
        """Up once the guest's systemd has started its basic services, as a real agent is."""
        name = self.container(machine.vmid)
        try:
            self.docker.run("exec", name, *_AGENT_UP, timeout=30)
        except ProgramFailed:
            raise AgentSilent from None
        return MachineGuest(self.docker, name)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Afterwards the engine is asked anew who runs."""
        try:
            yield
        finally:
            with self._lock:
                self._seen = None


def _static_address(machine: Machine) -> str:
    address = address_of(machine.config)
    if address is None:
        raise Refusal(500, "The lab's network has no DHCP: give the VM a static address (ipconfig0)")
    return str(address.ip)


def copies(directory: Path, lab: str) -> list[str]:
    """List the images that were made of a lab's VMs: an image has the labels of the container it was made of."""
    filters = [word for label in marks(lab, directory) for word in ("--filter", f"label={label}")]
    return ["image", "ls", "--quiet", *filters]


def limits(machine: Machine) -> list[str]:
    """Memory and processors, as docker create and docker update take them. No more processors than there are."""
    config = machine.config
    processors = min(int(config.get("cores", 1)) * int(config.get("sockets", 1)), os.cpu_count() or 1)
    return ["--memory", f"{config.get('memory', 512)}m", "--memory-swap", "-1", "--cpus", str(processors)]
