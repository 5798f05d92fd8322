"""Detect and bump without a lab: an image is pushed to a real registry, and one commit pins it in a real repository.

`make docs` writes what this shows into docs/tutorial/first-bump.md and docs/reference/json.md. Everything is in a
temporary directory and gone at the end. What stands after `$` is exactly what is run.
"""

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.oci_layout import write_layout

SOURCE = "https://git.example.com/shop/backend"
IDENTITY = {"GIT_AUTHOR_NAME": "Ana", "GIT_AUTHOR_EMAIL": "ana@example.com"}
COMMITTER = {name.replace("AUTHOR", "COMMITTER"): value for name, value in IDENTITY.items()}
REGISTRY_STARTS_WITHIN = 15.0  # seconds
Say = Callable[[str], object]


@dataclass(frozen=True)
class Site:
    """A registry and a directory in which commands run and are shown. say: gets each line."""

    directory: Path
    registry: str
    say: Say

    @property
    def repository(self) -> Path:
        """The checkout of the deployment repository."""
        return self.directory / "shop-deployment"

    def run(self, command: str) -> None:
        """Show a command, run it without a shell, show what it prints."""
        self.say(f"$ {command}")
        done = self._run(command, stderr=subprocess.STDOUT)
        if printed := done.stdout.rstrip():
            self.say(printed)
        if done.returncode != 0:
            raise SystemExit(f"demo: {command} ended with exit code {done.returncode}")

    def document(self, command: str) -> Any:
        """What a command prints on stdout with --json; not shown."""
        return json.loads(self._run(f"{command} --json", stderr=subprocess.DEVNULL).stdout)

    def _run(self, command: str, *, stderr: int) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            shlex.split(command),
            cwd=self._here(),
            env=self._variables(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=False,
        )

    def push(self, version: str, revision: str, created: str) -> str:
        """Push the application's image as its CI would. Returns `repository:tag@digest`."""
        layout = self.directory / f"backend-{version}"
        digest = write_layout(layout, version, source=SOURCE, revision=revision, created=created)
        target = f"{self.registry}/shop/backend:{version}"
        plain = "--insecure-policy copy --quiet --dest-tls-verify=false"
        self.run(f"skopeo {plain} oci:{os.path.relpath(layout, self._here())} docker://{target}")
        return f"{target}@{digest}"

    def _here(self) -> Path:
        return self.repository if self.repository.exists() else self.directory

    def _variables(self) -> dict[str, str]:
        """Nothing of the person's own settings: no git configuration, no registry logins, no state."""
        own = {"HOME": str(self.directory), "FAIRLEAD_STATE_DIR": str(self.directory / "state"), "NO_COLOR": "1"}
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": programs, "LC_ALL": "C.UTF-8", "GIT_PAGER": "cat", **own, **IDENTITY, **COMMITTER}


@dataclass(frozen=True)
class Recording:
    """session: what the terminal shows of the part that matters. documents: what `--json` prints, by command."""

    session: str
    documents: dict[str, Any]


DOCUMENTED = (
    "fairlead detect -e staging --explain",
    "fairlead bump -e staging",
    "fairlead history -e staging --limit 1",
)


def record() -> Recording:
    """The part that matters, for the documentation, with the registry's address as a real one's."""
    lines: list[str] = []
    with site(lines.append) as place:
        prepare(place)
        lines.clear()
        push_new(place)
        detection = place.document(DOCUMENTED[0])
        show(place)
        session = "\n".join(line.rstrip() for printed in lines for line in printed.splitlines())
        push_newer(place)
        documents = [detection, *map(place.document, DOCUMENTED[1:])]
        told = json.dumps({"session": session, "documents": dict(zip(DOCUMENTED, documents, strict=True))})
    return Recording(**json.loads(told.replace(place.registry, "registry.example.com")))


def prepare(site: Site) -> None:
    """A deployment repository that pins backend 1.0.0, pushed to its remote."""
    image = site.push("1.0.0", "4be1a07c1d", "2026-03-02T09:00:00Z")
    site.push("nightly", "8d1f3b2c90", "2026-03-05T02:00:00Z")
    site.push("2.0.0-rc.1", "8d1f3b2c90", "2026-03-05T09:00:00Z")
    site.run("git init --quiet --bare --initial-branch main shop-deployment.git")
    site.run("git init --quiet --initial-branch main shop-deployment")
    site.run("git remote add origin ../shop-deployment.git")
    site.run(
        f"fairlead init --app shop --environment staging --address staging=192.0.2.10 --image app_image={image} "
        f"--registry http://{site.registry}"
    )
    configuration = site.repository / "fairlead.yaml"
    configuration.write_text(configuration.read_text().replace("settle: 20s", "settle: 1s"))
    site.run("git add --all")
    site.run("git commit --quiet --message 'Begin with backend 1.0.0'")
    site.run("git push --quiet origin HEAD")


def push_new(site: Site) -> None:
    """The image that detect is to find."""
    site.push("1.1.0", "c0ffee1d2a", "2026-03-09T09:00:00Z")


def push_newer(site: Site) -> None:
    """One more, for whoever wants to bump twice."""
    site.push("1.1.1", "c0ffee2e3b", "2026-03-10T09:00:00Z")


def show(site: Site) -> None:
    """The new image becomes a commit."""
    site.run("fairlead detect -e staging --explain")
    site.run("fairlead bump -e staging")
    site.run("git show")
    site.run("fairlead history -e staging")


@contextlib.contextmanager
def site(say: Say) -> Iterator[Site]:
    """A directory and a running registry, both gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fairlead-demo-") as directory, _registry(Path(directory)) as address:
        yield Site(Path(directory), address, say)


@contextlib.contextmanager
def _registry(directory: Path) -> Iterator[str]:
    """Debian's docker-registry on a free port of this machine only."""
    address = f"127.0.0.1:{_free_port()}"
    configuration = directory / "registry.yml"
    configuration.write_text(_CONFIGURATION.format(directory=directory / "registry", address=address))
    with (directory / "registry.log").open("w") as log:
        server = subprocess.Popen(["docker-registry", "serve", configuration], stdout=log, stderr=log)
    try:
        _wait_for(address, server)
        yield address
    finally:
        server.terminate()
        server.wait()


_CONFIGURATION = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {directory}}}}}
http: {{addr: {address}}}
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for(address: str, server: "subprocess.Popen[bytes]") -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + REGISTRY_STARTS_WITHIN
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"demo: docker-registry does not answer on {address}")
