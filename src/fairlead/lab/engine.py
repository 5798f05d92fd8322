"""The Docker engine of the lab's host: ask it, find what is ours in it, and start one where none answers.

Functions that return a list build command lines; `Docker` runs them.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairlead import process
from fairlead.errors import EngineUnreachable, ProgramError
from fairlead.lab import debian
from fairlead.lab.progress import Progress, wait_until

LABEL = "dev.fairlead.lab"
ENVIRONMENT_LABEL = f"{LABEL}.environment"
DIRECTORY_LABEL = f"{LABEL}.directory"
IMAGE_LABEL = f"{LABEL}.image"
KINDS = ("container", "volume", "network")

_PID_FILE = "dockerd.pid"
_LOG_FILE = "dockerd.log"
_SYSTEMD = Path("/run/systemd/system")
_STARTS_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Docker:
    """The docker client, bound to one engine. host: as in DOCKER_HOST; None is the client's own choice."""

    host: str | None = None

    def argv(self, *arguments: str | Path) -> list[str]:
        """The command line for these arguments."""
        return ["docker", *(["--host", self.host] if self.host else []), *(str(argument) for argument in arguments)]

    def run(
        self, *arguments: str | Path, stdin: bytes = b"", timeout: float | None = 300, expect: Sequence[int] = (0,)
    ) -> process.Completed:
        """Run it. Raises what process.run raises."""
        return process.run(self.argv(*arguments), stdin=stdin, timeout=timeout, expect=expect)

    def answers(self) -> bool:
        """Whether an engine answers this client."""
        try:
            return self.run("version", "--format", "{{.Server.Version}}", timeout=20, expect=(0, 1)).exit_code == 0
        except ProgramError:
            return False

    def has_image(self, tag: str) -> bool:
        """Whether the engine holds an image of this name."""
        return self.run("image", "inspect", "--format", "{{.Id}}", tag, expect=(0, 1)).exit_code == 0

    def inspect(self, kind: str, name: str) -> dict[str, object] | None:
        """What `docker <kind> inspect` says about one object; None where there is no such object."""
        done = self.run(kind, "inspect", name, expect=(0, 1))
        if done.exit_code:
            return None
        [found] = json.loads(done.stdout)
        return dict(found)

    def subnets(self) -> list[str]:
        """The subnets of all networks of the engine."""
        names = self.run("network", "ls", "--quiet").stdout.split()
        if not names:
            return []
        said = self.run("network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", *names)
        return said.stdout.split()


def labelled(kind: str, *wanted: str) -> list[str]:
    """List the names of objects of one kind that carry these labels (`name=value`); none given: of every lab."""
    everything = ["--all"] if kind == "container" else []
    filters = [word for label in wanted or (LABEL,) for word in ("--filter", f"label={label}")]
    return [kind, "ls", *everything, *filters, "--format", "{{.Names}}" if kind == "container" else "{{.Name}}"]


def removal(kind: str, names: Sequence[str]) -> list[str]:
    """Remove objects; a container with its anonymous volumes and whether it runs or not."""
    return [kind, "rm", *(["--force", "--volumes"] if kind == "container" else []), *names]


def marks(lab: str, directory: Path) -> tuple[str, str]:
    """The two labels that every object of a lab carries: two labs of one name on one engine are still two."""
    return f"{LABEL}={lab}", f"{DIRECTORY_LABEL}={directory}"


def labels(lab: str, directory: Path, environment: str = "") -> list[str]:
    """The options that label an object that belongs to a lab."""
    texts = [*marks(lab, directory), *([f"{ENVIRONMENT_LABEL}={environment}"] if environment else [])]
    return [word for text in texts for word in ("--label", text)]


def network_creation(lab: str, directory: Path, network: str, subnet: str, gateway: str) -> list[str]:
    """Make the lab's bridge with fixed addresses."""
    return ["network", "create", *labels(lab, directory), "--subnet", subnet, "--gateway", gateway, network]


@dataclass(frozen=True, slots=True)
class OwnEngine:
    """An engine that Fairlead starts itself, on a machine where none answers.

    directory: keeps its process id and its log. options: for dockerd (a test runs a second engine beside the first).
    patience: seconds until it must answer.
    """

    directory: Path
    program: str = "/usr/sbin/dockerd"
    options: tuple[str, ...] = ()
    patience: float = _STARTS_WITHIN

    @property
    def pid_file(self) -> Path:
        """Holds the process id while an engine that we started lives."""
        return self.directory / _PID_FILE

    @property
    def log_file(self) -> Path:
        """All that dockerd prints."""
        return self.directory / _LOG_FILE

    def start_argv(self) -> list[str]:
        """Start dockerd as a daemon with its own log (start-stop-daemon is part of dpkg)."""
        return ["start-stop-daemon", "--start", "--oknodo", "--background", "--make-pidfile",
                "--pidfile", str(self.pid_file), "--output", str(self.log_file),
                "--exec", self.program, "--", *self.options]  # fmt: skip

    def stop_argv(self) -> list[str]:
        """Stop that dockerd only: the process id must be ours and still belong to the program."""
        return ["start-stop-daemon", "--stop", "--oknodo", "--retry", "TERM/20/KILL/5", "--remove-pidfile",
                "--pidfile", str(self.pid_file), "--exec", self.program]  # fmt: skip

    def start(self, docker: Docker) -> None:
        """Start it and wait until it answers. Raises EngineUnreachable with the end of its log."""
        self.directory.mkdir(parents=True, exist_ok=True)
        process.run(self.start_argv(), timeout=30)
        if not wait_until(docker.answers, within=self.patience):
            tail = self.log_file.read_text(errors="replace").strip().splitlines()[-3:]
            raise EngineUnreachable(
                f"The Docker engine that was started does not answer within {self.patience:g} s",
                why="\n".join(tail),
                remedy=f"less {self.log_file}",
            )

    def stop(self) -> bool:
        """Stop it if it is ours and lives. False: we started none."""
        if not self.pid_file.exists():
            return False
        process.run(self.stop_argv(), timeout=60)
        return True


def ensure(docker: Docker, own: OwnEngine, progress: Progress, may_install: bool) -> None:
    """See to it that an engine answers: use it, else (as root) install Debian's docker.io and start it.

    may_install: whether packages may be installed and an engine started. Raises EngineUnreachable.
    """
    if docker.answers():
        return
    if not may_install or os.geteuid() != 0:
        raise EngineUnreachable(
            "No Docker engine answers",
            why="The lab's machines are containers; without root, Fairlead does not start an engine itself",
            remedy="sudo systemctl start docker (or: sudo apt-get install docker.io); you must be in the group docker",
        )
    debian.require(own.program, "docker.io", progress)
    debian.require("docker", "docker-cli", progress)
    with progress.phase(
        f"No Docker engine answers: starting one (stop it with: fairlead lab down --engine; log: {own.log_file})"
    ):
        _start(docker, own)


def _start(docker: Docker, own: OwnEngine) -> None:
    if not _SYSTEMD.is_dir():
        own.start(docker)
        return
    process.run(["systemctl", "start", "docker"], timeout=_STARTS_WITHIN)
    own.directory.mkdir(parents=True, exist_ok=True)
    (own.directory / "started-by-systemd").touch()


def stop(own: OwnEngine) -> bool:
    """Stop the engine that `ensure` started; another one is never touched. False: we started none."""
    marker = own.directory / "started-by-systemd"
    if marker.exists():
        process.run(["systemctl", "stop", "docker.socket", "docker"], timeout=60)
        marker.unlink()
        return True
    return own.stop()
