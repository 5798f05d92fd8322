"""Waits for a machine that was made or restarted: its lock, cloud-init, its host key, ssh.

The order makes the first connection a known one: cloud-init makes the host keys before it ends, the guest agent reads
them, and only then is the machine's network asked, with the key that it must have.
"""

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fairlead import process
from fairlead.errors import AgentSilent, HostKeyChanged, MachineNotReady
from fairlead.host_keys import host_name
from fairlead.process import Completed
from fairlead.provision.proxmox import CLOUD_INIT_LOG, ProxmoxSite

WITHIN = 600.0  # seconds in all: a first boot may install packages
PAUSE = 1.0
_CONNECT_TIME = 5
_HOW_TO = "docs/how-to/host-keys.md"
_LET_US_TO_THE_LOGIN = re.compile(r"Permission denied \(")
_OTHER_KEY = re.compile(r"Host key verification failed|IDENTIFICATION HAS CHANGED")


@dataclass
class Patience:
    """How long a wait may take, in seconds, and the clock that it is measured with."""

    within: float = WITHIN
    pause: float = PAUSE
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self._end = self.now() + self.within

    def goes_on(self) -> bool:
        """Sleep for a moment; False when the time is over."""
        if self.now() >= self._end:
            return False
        self.sleep(self.pause)
        return True


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A machine to wait for. known: what known_hosts has for its address.

    made: OpenTofu has created it, and its keys were not committed since; so also where a run was killed in between.
    """

    node: str
    vm_id: int
    address: str
    port: int = 22
    made: bool = False
    known: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.address} ({self.node}/{self.vm_id})"


def wait_until_ready(site: ProxmoxSite, machine: Newcomer, patience: Patience | None = None) -> tuple[str, ...]:
    """Wait for cloud-init and ssh. Returns the machine's host keys, for known_hosts.

    Where the guest agent stays silent, keys that are known already are used; without any there is no way to tell the
    machine from another one. Raises AgentSilent then; HostKeyChanged; MachineNotReady; ProxmoxError.
    """
    patience = patience or Patience()
    try:
        wait_for_cloud_init(site, machine, patience)
        keys = site.host_keys(machine.node, machine.vm_id)
    except AgentSilent as error:
        if machine.made or not machine.known:
            raise no_agent(machine, error) from error
        keys = machine.known
    refuse_changed(machine, keys)
    wait_for_ssh(machine.address, machine.port, keys, patience)
    return keys


def wait_for_cloud_init(site: ProxmoxSite, machine: Newcomer, patience: Patience) -> None:
    """Wait for the end of cloud-init at this boot. Raises AgentSilent where not even the agent came up."""
    silence: AgentSilent | None = None
    while True:
        try:
            ended = site.cloud_init(machine.node, machine.vm_id)
            silence = None
        except AgentSilent as error:
            ended, silence = None, error
        if ended is not None:
            break
        if not patience.goes_on():
            raise silence or not_ready(site, machine, f"did not end cloud-init within {patience.within:g} s")
    if ended.errors:
        raise not_ready(site, machine, f"ended cloud-init with an error: {ended.errors[0]}")


def wait_for_ssh(address: str, port: int, keys: tuple[str, ...], patience: Patience) -> None:
    """Wait until sshd answers with one of the keys. Raises HostKeyChanged for another one, MachineNotReady."""
    with tempfile.TemporaryDirectory(prefix="fairlead-") as directory:
        known_hosts = Path(directory, "known_hosts")
        known_hosts.write_text("".join(f"{host_name(address, port)} {key}\n" for key in keys), encoding="ascii")
        while True:
            said = process.run(ssh_argv(address, port, known_hosts), timeout=60, expect=range(256))
            if _answers(said, address):
                return
            if not patience.goes_on():
                break
    raise MachineNotReady(
        f"{address} does not answer on port {port} within {patience.within:g} s",
        why=said.stderr.strip().rpartition("\n")[2],
        remedy=f"ssh -v -p {port} {address}; a firewall may lie between, or the address be another network's",
    )


def _answers(said: Completed, address: str) -> bool:
    """Whether ssh came to the login, which is past the host key."""
    if _OTHER_KEY.search(said.stderr):
        raise HostKeyChanged(
            f"{address} answers with another SSH host key than the machine's own",
            why="Another machine may have the same address, or someone stands in between",
            remedy=f"arping {address} shows who answers; {_HOW_TO}",
        )
    return said.exit_code != 255 or bool(_LET_US_TO_THE_LOGIN.search(said.stderr))


def ssh_argv(address: str, port: int, known_hosts: Path) -> list[str]:
    """Come as far as the login and no further: no key, no password. ssh_config(5)."""
    options = {
        "BatchMode": "yes",
        "PreferredAuthentications": "none",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "ControlMaster": "no",
        "ControlPath": "none",
        "ConnectTimeout": str(_CONNECT_TIME),
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-T", *words, "-p", str(port), "--", address, "true"]


def refuse_changed(machine: Newcomer, keys: tuple[str, ...]) -> None:
    """Raise HostKeyChanged where the keys are not the known ones, unless the machine has just been made."""
    if machine.made or not machine.known or set(keys) <= set(machine.known):
        return
    kinds = {key.partition(" ")[0] for key in keys}
    if not any(key.partition(" ")[0] in kinds for key in machine.known):
        return  # known by keys of another kind, which ssh compares itself
    raise HostKeyChanged(
        f"The machine {machine} has another SSH host key than deployment/ansible/known_hosts",
        why="OpenTofu did not just make it: it was made anew by someone else, or its keys were",
        remedy=f"If you know why, take its line out of known_hosts, commit, and run it again; {_HOW_TO}",
    )


def no_agent(machine: Newcomer, error: AgentSilent) -> AgentSilent:
    """Nobody can say which host key is the machine's own."""
    return AgentSilent(
        f"The host key of {machine} cannot be read: its guest agent does not answer",
        why=error.why,
        remedy=f"{error.remedy}; or compare the key by hand and commit it: {_HOW_TO}",
    )


def not_ready(site: ProxmoxSite, machine: Newcomer, what: str) -> MachineNotReady:
    """With the last lines of the log, as far as they can be read."""
    try:
        log = site.cloud_init_log(machine.node, machine.vm_id)
    except AgentSilent as error:
        log = f"{CLOUD_INIT_LOG} cannot be read: {error.why}"
    return MachineNotReady(
        f"The machine {machine} {what}",
        why=f"{CLOUD_INIT_LOG} ends with:\n{log}" if log else f"{CLOUD_INIT_LOG} is empty",
        remedy=f"qm terminal {machine.vm_id} on the node; then run the command again",
    )


def wait_until_unlocked(site: ProxmoxSite, node: str, vm_id: int, patience: Patience | None = None) -> None:
    """Wait for a clone or a backup that still holds the machine. Raises MachineNotReady."""
    patience = patience or Patience()
    while lock := site.lock_of(node, vm_id):
        if not patience.goes_on():
            raise MachineNotReady(
                f"The machine {node}/{vm_id} is still locked ({lock}) after {patience.within:g} s",
                remedy=f"Look at its tasks; if none works on it any more: qm unlock {vm_id}",
            )
