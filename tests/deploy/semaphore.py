"""A Semaphore project for a small repository whose playbook runs on this very machine: Ansible is real."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fairlead.config import layout
from fairlead.config.models import SemaphoreDeploy
from fairlead.config.secrets import Secret
from fairlead.deploy.base import DeployRequest, RunningRequest
from fairlead.deploy.semaphore.api import Server
from fairlead.deploy.semaphore.deployer import SemaphoreDeployer
from fairlead.deploy.semaphore.following import Pace
from fairlead.deploy.semaphore.place import project_of
from fairlead.deploy.semaphore.records import Records
from fairlead.deploy.semaphore.setup import Blueprint, Change, Setup
from fairlead.process import Mask
from tests.deploy.playbooks import INVENTORY, PIN, PLAY
from tests.fixtures.git import Site, make_site
from tests.lab.semaphore_api.running import Running

PASSWORD = "canary {{ lookup('pipe', 'id') }} $(id) \"'\\ =x"
# Every play leaves a line, so that plays can be counted.
COUNT = """
- name: Count
  ansible.builtin.lineinfile: {{path: {place}/plays, line: "{{{{ fairlead_run | default('look') }}}} {{{{ VM_IP }}}} {{{{ semaphore_vars.task_details.id }}}}", create: true, mode: "0600"}}
"""  # noqa: E501 - one line is one task
# A module that says whatever it is told to, as the real one would.
PRETEND = """\
#!/usr/bin/python3
import json, sys
print(json.dumps({"changed": False, "services": {}, **json.load(open(sys.argv[1]))["result"]}))
WANT_JSON = True
"""
RUNNING = {"container": "web-1", "image": str(PIN), "digests": [PIN.digest], "status": "running", "health": ""}
SEEN = json.dumps({"outcome": "match", "differences": [], "services": {"web": [RUNNING]}})
MATCH = f"- {{name: Inspect, pretend: {{result: {SEEN}}}}}\n"
SETTINGS = SemaphoreDeploy.model_validate({"with": "semaphore"})
QUICK = Pace(poll=0.05, running=300.0, patience=120.0, stopping=10.0)


@dataclass
class Clock:
    """A clock that a test sets forward: what took too long has taken too long, however fast this machine is."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead

    @property
    def pace(self) -> Pace:
        return replace(QUICK, clock=self)


@dataclass
class Yard:
    """A project, its repository, and deployers that share nothing but the state directory."""

    root: Path
    semaphore: Running
    tasks: str = ""
    app: str = field(default_factory=lambda: f"yard{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.git: Site = make_site(self.root)
        self.settings = SETTINGS
        self.commit = self.write(self.tasks)
        self.set_up()

    def write(self, tasks: str, look: str = MATCH) -> str:
        """Commit playbooks: deploy.yml counts and does `tasks`, inspect.yml counts and says `look`. The commit's id."""
        count = COUNT.format(place=self.root)
        plays = {layout.PLAYBOOK: count + tasks, layout.INSPECTION: count + look}
        files = {path: PLAY + _indented(text) for path, text in plays.items()}
        files[f"{layout.ANSIBLE}/library/pretend.py"] = PRETEND
        return self.git.write({layout.inventory_file("staging"): INVENTORY, **files}, "Change the playbooks")

    def set_up(self, **options: Any) -> list[Change]:
        """As `fairlead semaphore setup`."""
        return Setup(self.server, self.blueprint, **options).run()

    @property
    def server(self) -> Server:
        return self.semaphore.server

    @property
    def blueprint(self) -> Blueprint:
        return Blueprint(
            settings=self.settings,
            app=self.app,
            environment="staging",
            git_url=self.git.url,
            branch="main",
            images=("app_image",),
            secret_names=("password",),
            ssh_key=lambda: Secret("a key"),
            git_key=lambda: Secret("a key"),
            git_login=None,
            secret=lambda _name: Secret(PASSWORD),
        )

    @property
    def project(self) -> int:
        return project_of(self.server, self.settings, self.app)

    def deployer(self, pace: Pace = QUICK, server: Server | None = None, **options: Any) -> SemaphoreDeployer:
        """As another process makes it."""
        return new_deployer(server or self.server, self.root, pace, **options)

    def request(self, run: str = "run-1", **fields: Any) -> DeployRequest:
        """A deploy of the last commit."""
        return new_request(self.app, self.commit, self.root, run, **fields)

    def look(self) -> RunningRequest:
        """A look at the same."""
        shared = vars(self.request())
        return RunningRequest(**{name: shared[name] for name in shared if name not in ("fence", "run", "dry_run")})

    def die_at(self, point: str) -> int:
        """Deploy in a process of its own, which is killed there; its exit code."""
        token = self.server.token.reveal()
        words = [str(self.root), self.semaphore.url, token, self.app, self.commit, point]
        argv = [sys.executable, "-m", "tests.deploy.semaphore", *words]
        return subprocess.run(argv, check=False, timeout=300).returncode

    @property
    def plays(self) -> list[str]:
        """The plays that really ran: run, address, task."""
        path = self.root / "plays"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def posted(self) -> list[dict[str, Any]]:
        """The server's tasks, the newest first."""
        return self.semaphore.tasks(self.project)

    def edit(self, kind: str, name: str, /, **fields: Any) -> None:
        """Somebody edits an object in Semaphore's pages."""
        root = f"/project/{self.project}/{kind}"
        found = next(item for item in self.server.listed(root) if item["name"] == name)
        known = {key: value for key, value in found.items() if key != "git_branch" or kind == "repositories"}
        self.server.put(f"{root}/{found['id']}", {**known, **fields})


def _indented(tasks: str) -> str:
    return "".join(f"  {line}\n" for line in tasks.strip().splitlines())


def new_deployer(server: Server, root: Path, pace: Pace = QUICK, **options: Any) -> SemaphoreDeployer:
    """As another process makes it."""
    records = Records(root / "state" / "staging.json")
    return SemaphoreDeployer(server, SETTINGS, records, Mask([PASSWORD]), pace, **options)


def new_request(app: str, commit: str, root: Path, run: str = "run-1", **fields: Any) -> DeployRequest:
    """A deploy of a commit."""
    place = {"environment": "staging", "app": app, "commit": commit, "checkout": root, "vm_ip": "192.0.2.10"}
    return DeployRequest(**place, pins={"app_image": PIN}, fence=1, run=run, **fields)  # type: ignore[arg-type]


def _die_at(point: str) -> Callable[[str], None]:
    def at(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return at


if __name__ == "__main__":
    root, url, token, app, commit, point = sys.argv[1:]
    new_deployer(Server(url, Secret(token)), Path(root), at=_die_at(point)).deploy(new_request(app, commit, Path(root)))
