"""The back end without machines: everything is done at once, and the guest agent answers from the configuration."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fairlead.lab.proxmox_api.backend import Ended, GuestError, Interface
from fairlead.lab.proxmox_api.machine import Machine, address_of, properties_of

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
CLOUD_INIT_LOG = "/var/log/cloud-init-output.log"
_OS_RELEASE = """PRETTY_NAME="Debian GNU/Linux 13 (trixie)"
NAME="Debian GNU/Linux"
VERSION_ID="13"
VERSION="13 (trixie)"
ID=debian
"""
_CLOUD_INIT_RESULT = '{"v1": {"datasource": "DataSourceNoCloud", "errors": []}}\n'
_CLOUD_INIT_STATUS = '{"status": "done", "extended_status": "done", "errors": []}\n'


@dataclass(frozen=True, slots=True)
class InstantGuest:
    """What the agent of a machine would say that is as it is configured."""

    machine: Machine

    def interfaces(self) -> Sequence[Interface]:
        """The loopback, and the first card with the address that cloud-init was given."""
        config = self.machine.effective
        mac = properties_of("net[n]", str(config.get("net0", "virtio"))).get("macaddr", "00:00:00:00:00:00")
        address = address_of(config)
        return [
            Interface("lo", "00:00:00:00:00:00", ("127.0.0.1/8",)),
            Interface("eth0", mac.lower(), (str(address),) if address else ()),
        ]

    def read(self, path: str) -> bytes:
        """A file that a test put there, else those that every machine has."""
        files = {
            HOST_KEY: f"{self.machine.host_key} root@{self.machine.name}\n",
            "/etc/hostname": f"{self.machine.name}\n",
            "/etc/os-release": _OS_RELEASE,
            "/run/cloud-init/status.json": _CLOUD_INIT_STATUS,
            "/run/cloud-init/result.json": _CLOUD_INIT_RESULT,
            CLOUD_INIT_LOG: f"Cloud-init v. 25.1 finished. Datasource DataSourceNoCloud. {self.machine.name} is up\n",
            **self.machine.files,
        }
        if path not in files:
            raise GuestError(f"failed to open file '{path}' (mode: 'r'): No such file or directory")
        return files[path].encode()

    def run(self, argv: Sequence[str], stdin: bytes) -> Ended:
        """`cat` of its files and `true`: there is no machine that could run anything else."""
        match list(argv):
            case ["cat"]:
                return Ended(0, stdin.decode(), "")
            case ["cat", path]:
                return self._cat(path)
            case ["true"]:
                return Ended(0, "", "")
        raise GuestError(f'Guest agent command failed, error was "Failed to execute child process {argv[0]!r}"')

    def _cat(self, path: str) -> Ended:
        try:
            return Ended(0, self.read(path).decode(), "")
        except GuestError:
            return Ended(1, "", f"cat: {path}: No such file or directory\n")

    def os_release(self) -> str:
        """Debian's."""
        return _OS_RELEASE

    def host_name(self) -> str:
        """The VM's name, as cloud-init sets it."""
        return self.machine.name


class Instant:
    """A back end in which everything succeeds at once."""

    at_once = True

    def make(self, machine: Machine, source: Machine) -> None:  # noqa: ARG002 - nothing is on its disks
        """Give it a host key, as its first boot would."""
        machine.host_key = new_host_key()

    def start(self, machine: Machine) -> None:
        """A machine that was not cloned here has no host key yet."""
        machine.host_key = machine.host_key or new_host_key()

    def stop(self, machine: Machine, *, kill: bool) -> None:
        """Nothing runs."""

    def destroy(self, machine: Machine) -> None:
        """Nothing is left."""

    def powered(self) -> frozenset[int] | None:
        """The API knows."""
        return None

    def guest(self, machine: Machine) -> InstantGuest:
        """Up as soon as it is started."""
        return InstantGuest(machine)


def new_host_key() -> str:
    """`ssh-ed25519 AAAA...`, a real one: clients parse it."""
    public = Ed25519PrivateKey.generate().public_key()
    text = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return text.decode("ascii")
