"""What a lab has in the place of Semaphore: `fairlead lab up --semaphore`.

A process of this host at the lab's gateway, so that it reaches the machines and the git repositories. `up` starts it
again where it is gone, with its projects and tasks as they were.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from fairlead import process
from fairlead.errors import MachineUnready
from fairlead.lab import addresses, secrets
from fairlead.lab import background as served
from fairlead.lab.progress import Progress, wait_until
from fairlead.lab.sockets import answers

PORT = 3000
_STARTS_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Semaphore:
    """A stand-in that runs. url: for SEMAPHORE_URL. token_file: holds what SEMAPHORE_TOKEN is."""

    url: str
    token_file: Path

    def as_document(self) -> dict[str, object]:
        """For --json: where the token is, never the token."""
        return {"url": self.url, "token_file": str(self.token_file)}


@dataclass(frozen=True, slots=True)
class SemaphorePlan:
    """What it is started with. directory: the lab's."""

    directory: Path
    network: addresses.Network

    @property
    def place(self) -> Path:
        """Its state, its clones, its token."""
        return place_in(self.directory)

    @property
    def address(self) -> str:
        """Where it listens."""
        return addresses.gateway(self.network)

    def start_argv(self) -> list[str]:
        """Start it as a daemon with a log (start-stop-daemon is part of dpkg).

        The process file is none: whether it runs is known by the lock on the one that it writes itself.
        """
        return ["start-stop-daemon", "--start", "--background", "--output", str(self.place / "log"),
                "--pidfile", str(self.place / "none"), "--startas", sys.executable, "--",
                "-m", "fairlead.lab.semaphore_api", str(self.place), "--address", self.address,
                "--port", str(PORT)]  # fmt: skip


def place_in(directory: Path) -> Path:
    """Where a lab keeps it."""
    return directory / "semaphore"


def exists(directory: Path) -> bool:
    """Whether the lab has one."""
    return place_in(directory).exists()


def up(progress: Progress, plan: SemaphorePlan) -> None:
    """Start it if it does not run, and wait until it answers. Raises MachineUnready."""
    plan.place.mkdir(parents=True, exist_ok=True, mode=0o700)
    if served.serving(plan.place) is None:
        with progress.phase(f"Semaphore {plan.address}:{PORT}"):
            process.run(plan.start_argv(), timeout=30)
            if not wait_until(lambda: _is_ready(plan), within=_STARTS_WITHIN):
                raise MachineUnready(
                    f"The lab's Semaphore {plan.address}:{PORT} does not answer within {_STARTS_WITHIN:.0f} s",
                    remedy=f"less {plan.place / 'log'}",
                )
    secrets.ensure_control(plan.directory, "semaphore_token", (plan.place / "token").read_text("ascii"))


def _is_ready(plan: SemaphorePlan) -> bool:
    return served.serving(plan.place) is not None and answers(plan.address, PORT)


def read(plan: SemaphorePlan) -> Semaphore | None:
    """What there is, changing nothing."""
    token = plan.place / "token"
    return Semaphore(f"http://{plan.address}:{PORT}", token) if token.exists() else None


def end(directory: Path) -> bool:
    """End it. False: it did not run."""
    return served.end(place_in(directory))
