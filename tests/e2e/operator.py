"""An operator at a terminal: the real `fairlead` command, a lab of its own, the small application.

The lab is the stories' own, not the session's: they take its registry away, and the application is on the default port
under the default name.
"""

import contextlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairlead.config import layout
from fairlead.deployment_repo.proofs import Proof, Proofs
from fairlead.deployment_repo.repository import Repository
from fairlead.images import ImageReference
from fairlead.lab import demo
from fairlead.lab.machines import Machine
from fairlead.lab.site import Lab, Site
from tests.fixtures.git import git, identify
from tests.fixtures.processes import descendants

TEMPLATE = f"{layout.ANSIBLE}/templates/docker-compose.yml.j2"
ENV = f"{layout.ANSIBLE}/templates/env.j2"
JENKINSFILE = "deployment/cicd/Jenkinsfile"
# What releases, rollbacks and machines write: a story leaves these as they are, and everything else as it was begun.
KEPT = (f"{layout.GROUP_VARS}/*/images.yml", layout.QUARANTINE, layout.KNOWN_HOSTS)
SECRETS = ("postgres_password", "mail_password", "registry_password")
# Only waits are made shorter; and the application gets a second secret and a login to the registry.
QUICKER: dict[str, tuple[tuple[str, str], ...]] = {
    layout.CONFIGURATION: (
        ("settle: 20s", "settle: 0s"),
        ("retries: 10 ", "retries: 3 "),
        ("delay: 15s", "delay: 1s"),
        ("stable_for: 15s", "stable_for: 1s"),
    ),
    TEMPLATE: (
        ("interval: 3s, timeout: 3s, retries: 3,", "interval: 1s, timeout: 3s, retries: 3,"),
        ("      PGPASSWORD:", "      MAIL_PASSWORD: ${MAIL_PASSWORD:?}\n      PGPASSWORD:"),
    ),
    ENV: (("POSTGRES_PASSWORD=", "MAIL_PASSWORD={{ quoted(mail_password) }}\nPOSTGRES_PASSWORD="),),
    JENKINSFILE: (("RETRIES = '10'", "RETRIES = '2'"), ("DELAY = '15'", "DELAY = '1'")),
}
LONGEST = 300  # seconds for one command


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` printed."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


@dataclass
class Operator:
    """Who works on a deployment repository, pushes images and looks at machines.

    root: a private directory. core: twelve random digits, in every secret, that must turn up nowhere.
    """

    lab: Lab
    root: Path
    core: str = field(default_factory=lambda: f"canary{secrets.token_hex(6)}")
    released: int = 0
    site: Site = field(init=False)

    def begin(self) -> None:
        """The lab, the secrets, the first images, a deployment repository, the first release."""
        self.site = self.lab.up(("staging", "production"))
        for place in (self.home, self.temporary):
            place.mkdir(parents=True)
        for name, value in self.secrets.items():
            (self.site.secrets / "application" / name).write_text(value)
        for component, version in (("db", "17.0.0"), ("gateway", "1.0.0")):
            demo.push(self.lab, demo.Build(component, version))
        self.push()
        words = [word for name in SECRETS for word in ("--secret", name)]
        assert self.fairlead("init", "--lab", self.lab.name, *words, str(self.checkout), at=self.root).code == 0
        identify(self.checkout, "Ana")
        self.edit(QUICKER)
        all_of = self.checkout / layout.GROUP_VARS / "all.yml"
        login = {'registry: ""': f"registry: {self.site.registry}", 'registry_user: ""': "registry_user: robot"}
        for old, new in login.items():
            all_of.write_text(_replaced(all_of.read_text(), old, new))
        git(self.checkout, "add", "--all")
        git(self.checkout, "commit", "--quiet", "-m", "Begin")
        git(self.checkout, "push", "--quiet", "-u", "origin", "main", "fairlead-scaffold")
        git(self.checkout, "tag", "as-begun")
        said = self.run()
        assert said.code == 0, said.text

    @property
    def checkout(self) -> Path:
        """The operator's working copy of the deployment repository."""
        return self.root / "shop"

    @property
    def remote(self) -> Path:
        """The bare repository of the lab's git server."""
        return self.site.directory / "git" / "shop.git"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def marker(self) -> Path:
        """What would exist, here or on a machine, if anything that the stories write were ever executed."""
        return Path("/tmp") / f"touched-{self.core.removeprefix('canary')}"

    @property
    def bait(self) -> str:
        """Every way to have the marker made."""
        return f"{{{{ lookup('pipe','touch {self.marker}') }}}} $(touch {self.marker}) `touch {self.marker}` $HOME"

    @property
    def secrets(self) -> Mapping[str, str]:
        """The application's secrets: each a canary, and hostile."""
        return {
            "postgres_password": f"{self.core}'\"\\ {self.bait} ü",
            "mail_password": f"--{self.core}\n- {self.bait}\n{self.core}",
            "registry_password": f"-{self.core}{self.bait}",
        }

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the operator's terminal."""
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "LC_ALL": "C.UTF-8",
            "FAIRLEAD_STATE_DIR": str(self.lab.root),
            "FAIRLEAD_SECRETS_DIR": str(self.site.secrets),
        }

    # --- at the terminal

    def start(self, *words: str, at: Path | None = None, **variables: str) -> "subprocess.Popen[str]":
        """Start a command, in a process group of its own."""
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("fairlead")), *words],
            cwd=at or self.checkout,
            env=self.variables | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def fairlead(self, *words: str, at: Path | None = None, **variables: str) -> Said:
        """Run a command to its end."""
        child = self.start(*words, at=at, **variables)
        try:
            stdout, stderr = child.communicate(timeout=LONGEST)
        finally:
            child.kill()
        return Said(child.returncode, stdout, stderr)

    def run(self, environment: str = "staging", *, crash_at: str = "") -> Said:
        """`fairlead run`, with its document."""
        return self.fairlead("run", "-e", environment, "--json", FAIRLEAD_CRASH_AT=crash_at)

    def crash(self, point: str, environment: str = "staging") -> None:
        """`fairlead run`, killed there."""
        said = self.run(environment, crash_at=point)
        assert said.code == -signal.SIGKILL, said.text

    # --- the registry and git

    def push(self, variant: str = "", **labels: str) -> ImageReference:
        """Build and push the next version of the backend."""
        version = f"1.{self.released}.0"
        self.released += 1
        return demo.push(self.lab, demo.Build("backend", version, variant, demo.now(), **labels))

    def edit(self, changes: Mapping[str, tuple[tuple[str, str], ...]]) -> None:
        """Change files of the checkout."""
        for name, replacements in changes.items():
            path = self.checkout / name
            text = path.read_text()
            for old, new in replacements:
                text = _replaced(text, old, new)
            path.write_text(text)

    def commit(self, subject: str, changes: Mapping[str, tuple[tuple[str, str], ...]]) -> str:
        """Commit and push changes of files. Returns the commit."""
        self.pull()
        self.edit(changes)
        git(self.checkout, "commit", "--quiet", "--all", "-m", subject)
        git(self.checkout, "push", "--quiet", "origin", "HEAD:main")
        return self.head

    def pull(self) -> None:
        git(self.checkout, "pull", "--quiet", "--ff-only", "origin", "main")

    @property
    def head(self) -> str:
        """The deployment branch's commit on the server."""
        return git(self.remote, "rev-parse", "refs/heads/main")

    def since(self, commit: str) -> list[str]:
        """The subjects after a commit, oldest first."""
        return git(self.remote, "log", "--reverse", "--format=%s", f"{commit}..refs/heads/main").splitlines()

    def quarantine(self) -> str:
        """The quarantine, as on the server."""
        return git(self.remote, "show", f"refs/heads/main:{layout.QUARANTINE}")

    def proof(self, environment: str = "staging") -> Proof | None:
        """The newest proof."""
        repository = Repository.open(self.checkout)
        repository.fetch()
        return Proofs(repository).last_proven(environment)

    # --- the machines

    def machine(self, environment: str = "staging") -> Machine:
        return self.site.machines[environment]

    def on_machine(self, *argv: str, environment: str = "staging", stdin: str = "", check: bool = True) -> str:
        """What a program prints on a machine, as root."""
        words = ["docker", "exec", "-i", self.machine(environment).container, *argv]
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, f"{argv}: {done.stderr}"
        return done.stdout

    def containers(self, service: str, environment: str = "staging") -> list[str]:
        """The ids of a service's containers, running or not."""
        label = f"label=com.docker.compose.service={service}"
        return self.on_machine("docker", "ps", "-aq", "--no-trunc", "--filter", label, environment=environment).split()

    @contextmanager
    def starts(self, service: str, environment: str = "staging") -> Iterator[Callable[[], bool]]:
        """Tells whether one of a service's containers has started since: its engine says so, however short it lived."""
        label = f"label=com.docker.compose.service={service}"
        words = ["docker", "exec", self.machine(environment).container, "timeout", "600", "docker", "events"]
        words += ["--since", f"{time.time():.6f}", "--filter", label, "--filter", "event=start"]
        with tempfile.TemporaryFile() as told, subprocess.Popen(words, stdout=told) as events:
            try:
                yield lambda: os.fstat(told.fileno()).st_size > 0
            finally:
                events.kill()

    def digests(self, service: str, environment: str = "staging") -> str:
        """What the registry calls the image that a service's one container runs."""
        [container] = self.containers(service, environment)
        image = self._inspect("container", container, "{{.Image}}", environment)
        return self._inspect("image", image, "{{json .RepoDigests}}", environment)

    def _inspect(self, kind: str, name: str, what: str, environment: str) -> str:
        return self.on_machine("docker", kind, "inspect", "--format", what, name, environment=environment).strip()

    def ask(self, path: str, body: Mapping[str, str] | None = None, environment: str = "staging") -> Any:
        """What the application answers, from outside. Raises OSError."""
        connection = http.client.HTTPConnection(self.machine(environment).address, timeout=60)
        try:
            connection.request("POST" if body else "GET", path, json.dumps(body) if body else None)
            return json.load(connection.getresponse())
        finally:
            connection.close()

    def version(self, environment: str = "staging") -> str:
        """The version that serves."""
        return str(self.ask("/api/version", environment=environment)["version"])

    def write_note(self) -> dict[str, Any]:
        """A new note in the application's database."""
        note: dict[str, Any] = self.ask("/api/notes", {"text": f"remember {secrets.token_hex(4)}"})
        return note

    # --- where every story begins

    def settle(self) -> None:
        """Deployment code as begun, and a good release that is proven in staging, whatever a story before has left."""
        self._restore()
        if self.run().code != 0 or not self._good():
            self.push()
            said = self.run()
            assert said.code == 0, said.text

    def _restore(self) -> None:
        self.pull()
        kept = [f":(exclude){path}" for path in KEPT]
        git(self.checkout, "restore", "--source=as-begun", "--staged", "--worktree", "--", ".", *kept)
        if git(self.checkout, "status", "--porcelain", "--untracked-files=no"):
            git(self.checkout, "commit", "--quiet", "--all", "-m", "As begun")
            git(self.checkout, "push", "--quiet", "origin", "HEAD:main")

    def _good(self) -> bool:
        proof = self.proof()
        return proof is not None and proof.commit == self.head and self._pinned_tag() == self.version()

    def _pinned_tag(self) -> str:
        pins = git(self.remote, "show", f"refs/heads/main:{layout.images_file('staging')}")
        return pins.partition("backend:")[2].partition("@")[0]


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new)


def kill_tree(child: "subprocess.Popen[str]") -> None:
    """SIGKILL a command and everything that it started, as when a machine loses power; then take its output."""
    for process in [child.pid, *descendants(child.pid)]:
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(process, signal.SIGKILL)
    child.communicate(timeout=LONGEST)


def wait_for(condition: Any, child: "subprocess.Popen[str]") -> None:
    """Look until a condition holds, while a command runs."""
    while not condition():
        assert child.poll() is None, f"it ended before: {child.communicate()}"
        time.sleep(0.02)
