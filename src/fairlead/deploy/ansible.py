"""Deploys by Ansible: ansible-playbook as one child process, with one private directory that is wiped at the end.

ansible-playbook is started directly, not through ansible-runner: docs/decisions has the measurements.
Secrets reach it in a file of the private directory, never as arguments or variables. It gets no more of this process's
environment than it needs.
"""

import json
import shlex
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fairlead import process
from fairlead.config import layout
from fairlead.config.models import AnsibleDeploy
from fairlead.config.secrets import Secret
from fairlead.deploy import report
from fairlead.deploy.base import (
    DeployRequest,
    DeployResult,
    Event,
    OnEvent,
    Running,
    RunningRequest,
    Target,
    cannot_look,
    unpinned,
)
from fairlead.deploy.inventory import extra_vars, inventory, print_extra_vars
from fairlead.deploy.private import end_processes, private_directory, write_private
from fairlead.errors import ProgramError, ProgramInterrupted

CALLBACKS = Path(__file__).parent / "callback"
PASSED_ON = ("HOME", "PATH", "USER", "LOGNAME", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
COLLECTIONS = "/usr/share/ansible/collections"
LONGEST_DEPLOY = 3600.0  # seconds; the module's own limits for pulling and health lie far below
VALUES, KEY, RESULTS, CONNECTIONS, SETTINGS = "values.json", "key", "results.jsonl", "ssh", "ansible.cfg"
# ansible-playbook without the garbage collector: a process of seconds needs none (measured: 0.02-0.25 s of CPU).
PROGRAM = "import gc; gc.disable(); from ansible.cli.playbook import main; main()"
# How often Ansible looks whether a task has ended; no variable sets it. Not every 1 ms (measured: 0.17 s of 1.6 s CPU).
SETTINGS_CONTENT = "[defaults]\ninternal_poll_interval = 0.01\n"
CONTROL_NAME = "%C"  # ssh's own hash of who connects where: who differs in any of it shares nothing
_COMPLAINT_LINES = 12
_NO_EXIT_CODE = -1


@dataclass(frozen=True)
class AnsibleDeployer:
    """The built-in deployer. ssh_key: an OpenSSH private key; None: ssh's own ways (an agent, the user's keys)."""

    settings: AnsibleDeploy
    ssh_key: Secret | None = None
    timeout: float = LONGEST_DEPLOY

    def deploy(self, request: DeployRequest) -> DeployResult:
        """Run deploy.yml. See `Deployer.deploy`."""
        played = self._play(layout.PLAYBOOK, request, dry_run=request.dry_run)
        return report.deploy_result(played.results, played.exit_code, request.vm_ip, played.complaint)

    def check_running(self, request: RunningRequest) -> Running:
        """Run inspect.yml. See `Deployer.check_running`."""
        played = self._play(layout.INSPECTION, request)
        seen = report.running(played.results)
        if seen is None:
            raise cannot_look(request, *report.why(played.results, request.vm_ip, played.complaint))
        return replace(seen, differences=seen.differences or unpinned(request.pins, seen.containers))

    def _play(self, playbook: str, request: Target, *, dry_run: bool = False) -> "_Played":
        """Run one playbook on the export; what it left is read before the private directory is wiped."""
        hosts, values = inventory(request), print_extra_vars(extra_vars(request, self.settings))
        mask = process.Mask(secret.reveal() for secret in self._secrets(request))
        with private_directory() as private:
            variables = environment(private, request.checkout, has_key=bool(self.ssh_key))
            self._write(private, values)
            watcher = _Watcher(request.on_event)
            words = argv(playbook, hosts, private, dry_run=dry_run)
            connection = connect_argv(private, variables["ANSIBLE_SSH_ARGS"], self.settings, request.vm_ip)
            try:
                with process.beside(connection, variables):
                    exit_code = self._run(words, request.checkout, variables, mask, watcher)
            finally:
                end_processes(private)
            return _Played(_results(private, mask), exit_code, watcher.complaint)

    def _write(self, private: Path, values: str) -> None:
        write_private(private / VALUES, values)
        write_private(private / SETTINGS, SETTINGS_CONTENT)
        (private / CONNECTIONS).mkdir(mode=0o700)
        if self.ssh_key:
            write_private(private / KEY, self.ssh_key.reveal().rstrip("\n") + "\n")  # ssh wants the last line's end

    def _run(
        self, words: list[str], checkout: Path, variables: Mapping[str, str], mask: process.Mask, watcher: "_Watcher"
    ) -> int:
        try:
            return process.run(
                words,
                cwd=checkout,
                environment=variables,
                inherit=False,
                mask=mask,
                on_line=watcher.line,
                timeout=self.timeout,
                expect=range(256),
            ).exit_code
        except ProgramInterrupted:
            raise
        except ProgramError as error:
            watcher.complain(error.what)
            return _NO_EXIT_CODE

    def _secrets(self, request: Target) -> Iterator[Secret]:
        yield from request.secrets.values()
        if self.ssh_key:
            yield self.ssh_key


def argv(playbook: str, hosts: Path, private: Path, *, dry_run: bool = False) -> list[str]:
    """The command line. `-P`: a folder of the repository that is named like a Python module is not imported."""
    program = [sys.executable, "-P", "-c", PROGRAM]
    values = ["--inventory", str(hosts), "--extra-vars", f"@{private / VALUES}"]
    return [*program, *(["--check"] if dry_run else []), *values, "--", playbook]


def environment(private: Path, checkout: Path, *, has_key: bool) -> dict[str, str]:
    """All variables that Ansible gets: settings that keep its files private and its connections strict.

    Sources: docs.ansible.com, "Ansible Configuration Settings" (core 2.16 to 2.19).
    """
    inherited = process.inherited()
    passed_on = PASSED_ON if has_key else (*PASSED_ON, "SSH_AUTH_SOCK")
    own = {
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(private / SETTINGS),  # the same deploy, whoever's home directory it starts from
        "ANSIBLE_HOME": str(private / "home"),  # a service's own home need not be writable
        "ANSIBLE_COLLECTIONS_PATH": f"{inherited.get('HOME', '')}/.ansible/collections:{COLLECTIONS}",
        "ANSIBLE_LOCAL_TEMP": str(private / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(private / CONNECTIONS),
        "ANSIBLE_SSH_CONTROL_PATH": f"%(directory)s/{CONTROL_NAME.replace('%', '%%')}",
        "ANSIBLE_SSH_ARGS": ssh_arguments(checkout, has_key=has_key),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_STDOUT_CALLBACK": "fairlead_events",
        "ANSIBLE_FAIRLEAD_RESULTS": str(private / RESULTS),
    }
    if has_key:
        own["ANSIBLE_PRIVATE_KEY_FILE"] = str(private / KEY)
    return {name: inherited[name] for name in passed_on if name in inherited} | own


def ssh_arguments(checkout: Path, *, has_key: bool) -> str:
    """Options for ssh, in the quoting that Ansible splits. ssh takes the first value of an option, so these hold
    whatever the inventory adds: the repository's host keys, checked; no agent on the machine; a dead line is noticed.
    """
    known_hosts = checkout / layout.KNOWN_HOSTS
    options = [
        "ControlMaster=auto",
        "ControlPersist=60s",
        f'UserKnownHostsFile="{known_hosts}"',
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "ForwardAgent=no",
        "BatchMode=yes",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=4",
        *(["IdentitiesOnly=yes", "IdentityAgent=none"] if has_key else []),
    ]
    return shlex.join(word for option in options for word in ("-o", option))


def connect_argv(private: Path, ssh_args: str, settings: AnsibleDeploy, vm_ip: str) -> list[str]:
    """Open the connection that Ansible's tasks will find open: logging in takes as long as Ansible takes to start.

    The user and the port are fairlead.yaml's. Where the inventory says something else, or another way to the machine,
    Ansible opens its own, as ever.
    """
    key = private / KEY
    options = ["-o", f"ControlPath={private / CONNECTIONS / CONTROL_NAME}", "-o", "ConnectTimeout=10"]
    identity = ["-i", str(key)] if key.exists() else []
    place = ["-p", str(settings.port), "-l", settings.user]
    return ["ssh", *shlex.split(ssh_args), *options, *identity, *place, "--", vm_ip, "true"]


@dataclass(frozen=True)
class _Played:
    """What a playbook left behind."""

    results: list[report.TaskResult]
    exit_code: int
    complaint: str


def _results(private: Path, mask: process.Mask) -> list[report.TaskResult]:
    path = private / RESULTS
    return report.read_results(path.read_text(encoding="utf-8") if path.exists() else "", mask)


class _Watcher:
    """Turns the callback's lines into events; keeps the others, which say what is wrong when nothing else does."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._complaints: deque[str] = deque(maxlen=_COMPLAINT_LINES)

    @property
    def complaint(self) -> str:
        """The last lines that were no events."""
        return "\n".join(self._complaints)

    def line(self, stream: process.Stream, text: str) -> None:
        """One masked line of output."""
        event = _event(text) if stream == "stdout" else None
        if event is None:
            self.complain(text)
        self._on_event(event or Event(text, "note"))

    def complain(self, text: str) -> None:
        """Something that Ansible, or its end, says."""
        self._complaints.append(text)


def _event(text: str) -> Event | None:
    """The callback's event; None for other lines, and for one that the mask cut."""
    try:
        return Event(**json.loads(text))
    except (ValueError, TypeError):
        return None
