"""A build of stage commands and a `fairlead run` of another machine, on one environment at once: nobody is harmed.

Where the other one can come in, and what holds it to the invariants:

- both bump: one push is refused, and finds that the commit is made (here; tests/deployment_repo/test_bump.py)
- both provision: the workspace's lease, which names its holder, exit code 4 (tests/provision/test_opentofu.py)
- both deploy one release: the machine's lock lets them in one after the other (here)
- one deploys while the machine's lock is held for longer than it waits: exit code 4, and by whom (here)
- a newer release comes between bump and deploy, deploy and verify, verify and rollback: superseded, by whom (here)
- an older deploy comes late to the machine: its fence refuses it (tests/conformance/test_deployer.py)
- the run is the one that is late, at each of its steps: tests/faults/matrix.py, the column `overtaken`
"""

import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.images import ImageReference
from tests.e2e.operator import Operator, Said, wait_for
from tests.fixtures.git import git, identify

pytestmark = pytest.mark.lab
OVERTAKEN, BUSY = 1, 4
LOCK = "/var/lib/fairlead/shop/lock"
IMPATIENT = {layout.PLAYBOOK: (("            keep_releases:", "            lock_wait: 1\n            keep_releases:"),)}


@dataclass(frozen=True)
class Build:
    """What a Jenkins or GitLab build does, stage after stage, on an agent with a checkout and a state of its own."""

    shop: Operator
    checkout: Path
    run: str
    commit: str = ""

    def bump(self) -> "Build":
        said = self._stage("bump", "--quiet")
        assert said.code == 0, said.text
        return Build(self.shop, self.checkout, self.run, said.stdout.strip())

    def deploy(self) -> Said:
        return self._stage("deploy")

    def verify(self) -> Said:
        return self._stage("verify", "--retries", "1")

    def roll_back(self) -> Said:
        return self._stage("rollback", "--failed", "--automatic", "--reason", "the build failed")

    def _stage(self, *words: str) -> Said:
        return self.shop.fairlead(
            *words,
            at=self.checkout,
            ENVIRONMENT="staging",
            VM_IP=self.shop.machine().address,
            FAIRLEAD_RUN=self.run,
            FAIRLEAD_COMMIT=self.commit,
            FAIRLEAD_STATE_DIR=str(self.checkout.with_name("agent-state")),
        )


@pytest.fixture
def build(shop: Operator, tmp_path: Path) -> Build:
    """A build that has not begun."""
    git(tmp_path, "clone", "--quiet", "--depth", "1", shop.remote.as_uri(), "agent")
    return Build(shop, identify(tmp_path / "agent", "agent"), f"jenkins-{secrets.token_hex(4)}")


@contextmanager
def at_work(shop: Operator) -> Iterator[str]:
    """Whoever was there last works on the machine again, until the end of the block. Gives its run."""
    work = ("python3", "-c", "import sys; print('held', flush=True); sys.stdin.read()")
    words = ["docker", "exec", "-i", shop.machine().container, "flock", LOCK, *work]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        yield str(json.loads(shop.on_machine("cat", LOCK))["run"])
        holder.communicate()


def require_untouched(shop: Operator, head: str, version: str, new: ImageReference, said: Said) -> None:
    """The loser is told who won; what the winner has released stays, pinned, running, proven, and in nobody's list."""
    assert said.code == OVERTAKEN, said.text
    assert "is not the newest release any more" in said.stderr
    assert "by the run staging:" in said.stderr
    proof = shop.proof()
    assert proof is not None
    assert (shop.head, shop.version(), proof.commit) == (head, version, head)
    assert str(new) not in shop.quarantine()


def test_a_build_that_is_overtaken_takes_nothing_back(shop: Operator, build: Build) -> None:
    """Its release ran; by the time that it looks, a newer one is proven. Whatever it tries from then on is refused."""
    shop.commit("Wait less for the machine", IMPATIENT)
    first = shop.push()
    begun = build.bump()
    with at_work(shop) as run:
        busy = begun.deploy()
    assert (busy.code, f'"run": "{run}"' in busy.stderr) == (BUSY, True), busy.text
    assert begun.deploy().code == 0
    won = shop.push()
    assert shop.run().code == 0
    head, containers = shop.head, shop.containers("backend")
    assert head != begun.commit
    for stage in (begun.verify, begun.roll_back, begun.deploy):
        require_untouched(shop, head, str(won.tag), first, stage())
    assert str(won) not in shop.quarantine()
    assert shop.containers("backend") == containers
    assert replace(build, run="the-next").bump().commit == ""


def test_a_build_and_a_run_of_one_release_make_one_of_it(shop: Operator, build: Build) -> None:
    """The build deploys while the run does: the machine lets them in one after the other."""
    before, new = shop.head, shop.push()
    begun = build.bump()
    with shop.starts("backend") as started:
        child = shop.start("run", "-e", "staging", "--json")
        wait_for(started, child)
    deployed = begun.deploy()
    assert (deployed.code, "unchanged" in deployed.stderr) == (0, True), deployed.text
    stdout, stderr = child.communicate()
    assert child.returncode == 0, stderr
    assert begun.verify().code == 0
    assert shop.since(before) == [git(shop.remote, "log", "-1", "--format=%s", begun.commit)]
    assert (shop.version(), shop.head) == (new.tag, begun.commit)
    assert layout.images_file("staging") in git(shop.remote, "show", "--name-only", begun.commit)
    assert '"proven"' in stdout
