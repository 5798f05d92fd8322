"""One container of a lab: made, filled and started so that an interruption anywhere is made good by the next call."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.lab.engine import Docker, removal


def names_of(lab: str, part: str = "") -> str:
    """The name in Docker of a lab's network (no part), or of a part's container and volume.

    Neither lab nor part can contain the dot, so no two labs share a name.
    """
    return f"fairlead.{lab}.{part}" if part else f"fairlead.{lab}"


@dataclass(frozen=True, slots=True)
class Container:
    """A container with one named volume of the same name."""

    docker: Docker
    name: str

    def state(self) -> str:
        """Docker's word (created, running, exited, ...); empty where there is no such container."""
        done = self.docker.run("container", "inspect", "--format", "{{.State.Status}}", self.name, expect=(0, 1))
        return done.stdout.strip() if done.exit_code == 0 else ""

    def ensure_running(self, create_argv: Sequence[str], seed: bytes, labels: Sequence[str]) -> bool:
        """Make it if it is not there, start it if it does not run. True: it was made now.

        seed: a tar file, unpacked at its root before the first start. One that was made and never started may lack
        its seed, so it is made again.
        """
        state = self.state()
        if state == "created":
            self.docker.run(*removal("container", [self.name]))
        made = state in ("", "created")
        if made:
            self.docker.run("volume", "create", *labels, self.name)
            self.docker.run(*create_argv)
            self.docker.run("cp", "-", f"{self.name}:/", stdin=seed)
        if state != "running":
            self.docker.run("start", self.name)
        return made

    def read(self, path: str) -> str:
        """A file's content. Raises ProgramFailed while it is not there."""
        return self.docker.run("exec", self.name, "cat", path).stdout

    def last_words(self) -> str:
        """The end of what its main process printed, and its state."""
        said = self.docker.run("logs", "--tail", "5", self.name, expect=(0, 1))
        return f"{(said.stdout + said.stderr).strip()} (the container is {self.state() or 'gone'})".strip()
