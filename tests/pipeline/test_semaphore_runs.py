"""Whole runs through Semaphore, killed, and with a server that is restarted: one task, one proof.

Registry, git, the runs' database and Ansible are real; the plays are on this machine, and say what a machine would.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fairlead.config import layout
from fairlead.deployment_repo.proofs import Proof, Proofs
from fairlead.deployment_repo.repository import Repository
from tests.deploy.playbooks import INVENTORY, PLAY
from tests.deploy.semaphore import PRETEND
from tests.fixtures.shop import Shop
from tests.lab.semaphore_api.running import Running, running

# Between them every point of a deploy; several in a row are one run that is killed again and again.
KILLS = (
    ("deploy:before", "deploy:before-post", "deploy:before-record"),
    ("deploy:posted", "deploy:ended"),
    ("deploy:after-effect", "deploy:after", "verify:after-effect"),
)
SEMAPHORE = """\
secrets: {{application: []}}
provision: {{with: static, addresses: {{staging: 192.0.2.10}}}}
deploy: {{with: semaphore, user: root, deadline: 10m}}
verify: {{retries: 1, stable_for: 0s, checks: [{{running_digests: {{}}}}]}}
"""
COUNT = """
- ansible.builtin.lineinfile: {path: PLACE/plays, line: "{{ semaphore_vars.task_details.message }}", create: true, mode: "0600"}
- ansible.builtin.wait_for: {path: PLACE/go, timeout: 300}
"""  # noqa: E501 - one line is one task
ONE = """{container: NAME-1, image: "{{ NAME_image }}", digests: ["{{ NAME_image.split('@')[1] }}"], status: running,
    health: ""}"""
SEEN = ", ".join(f"{name}: [{ONE.replace('NAME', name)}]" for name in ("app", "frontend"))
LOOK = f"\n- pretend: {{result: {{outcome: match, differences: [], services: {{{SEEN}}}}}}}\n"


@dataclass(frozen=True)
class Works:
    """A deployment repository whose staging Semaphore deploys, and a terminal."""

    shop: Shop
    semaphore: Running
    app: str
    root: Path

    def start(self, *words: str, crash_at: str = "") -> "subprocess.Popen[str]":
        """Start a command."""
        variables = {
            "FAIRLEAD_STATE_DIR": str(self.root / "state"),
            "FAIRLEAD_CONTROL_SSH_KEY": "a key",
            "FAIRLEAD_CRASH_AT": crash_at,
            "SEMAPHORE_URL": self.semaphore.url,
            "SEMAPHORE_TOKEN": self.semaphore.server.token.reveal(),
        }
        argv = [sys.executable, "-m", "fairlead", *words, "--repo", str(self.shop.site.person), "-e", "staging"]
        return subprocess.Popen(
            [*argv, "--json"],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, child: "subprocess.Popen[str]", expected: int = 0) -> dict[str, Any]:
        """Its document, when it has ended."""
        stdout, stderr = child.communicate(timeout=300)
        assert child.returncode == expected, stdout + stderr
        found: dict[str, Any] = json.loads(stdout) if stdout else {}
        return found

    def run(self) -> dict[str, Any]:
        """`fairlead run` to its good end."""
        return self.end(self.start("run"))

    @property
    def deploys(self) -> list[dict[str, Any]]:
        """The server's tasks that deploy, the newest first."""
        projects = self.semaphore.server.listed("/projects")
        [project] = [one["id"] for one in projects if one["name"] == self.app]
        return [task for task in self.semaphore.tasks(project) if " deploys staging " in task["message"]]

    @property
    def plays(self) -> list[str]:
        """The plays of deploy.yml that began: their tasks' messages."""
        path = self.root / "plays"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def proofs(self) -> list[Proof]:
        """The proofs of the branch's head."""
        repository = Repository.open(self.shop.site.person)
        repository.fetch()
        return list(Proofs(repository).read(repository.head()))


@pytest.fixture
def works(shop: Shop, tmp_path: Path) -> Iterator[Works]:
    """Staging is pinned and set up, and a newer image is in the registry."""
    app = f"runs{uuid.uuid4().hex[:8]}"
    shop.configure(
        ("app: shop", f"app: {app}"),
        ("  production: {follows: staging}\n", SEMAPHORE.format()),
    )
    files = {layout.PLAYBOOK: COUNT.replace("PLACE", str(tmp_path)), layout.INSPECTION: LOOK}
    plays = {name: PLAY + "".join(f"  {line}\n" for line in text.strip().splitlines()) for name, text in files.items()}
    module = {f"{layout.ANSIBLE}/library/pretend.py": PRETEND}
    shop.site.write({**plays, **module, layout.inventory_file("staging"): INVENTORY}, "Play here")
    (tmp_path / "go").touch()
    with running(tmp_path / "semaphore") as server:
        made = Works(shop, server, app, tmp_path)
        made.end(made.start("semaphore", "setup"))
        shop.push("app", "1.1.0")
        yield made


@pytest.mark.parametrize("points", KILLS)
def test_killed_at_each_step_and_run_again_there_is_one_task_and_one_proof(
    works: Works, points: tuple[str, ...]
) -> None:
    for point in points:
        works.end(works.start("run", crash_at=point), -signal.SIGKILL)
    assert works.run()["outcome"] == "proven"
    [task], [proof] = works.deploys, works.proofs
    assert (task["status"], works.plays, task["commit_hash"]) == ("success", [task["message"]], works.shop.site.head)
    assert task["message"].startswith(f"fairlead {proof.run} deploys staging ")


def test_a_server_that_is_restarted_in_mid_task_costs_one_attempt(works: Works) -> None:
    """Semaphore has lost the task, whose status stays: after its deadline it is stopped. The pins stand; run again."""
    go = works.root / "go"
    go.unlink()
    deadline = layout.CONFIGURATION, (works.shop.site.person / layout.CONFIGURATION).read_text()
    works.shop.site.write({deadline[0]: deadline[1].replace("deadline: 10m", "deadline: 8s")}, "Wait less")
    child = works.start("run")
    while [task["status"] for task in works.deploys] != ["running"]:
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)
    works.semaphore.restart()
    said = works.end(child, 1)
    assert "was asked to stop, because it ran for more than 8 s" in json.dumps(said)
    go.touch()
    works.shop.site.write(dict([deadline]), "Wait as before")
    assert works.run()["outcome"] == "proven"
    assert [task["status"] for task in works.deploys] == ["success", "stopped"]
    assert len(works.proofs) == 1
