"""A build of stage commands and a `fairlead run` of another machine, on one environment at once: nobody is harmed."""

import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.images import ImageReference
from tests.e2e.operator import Operator, Said, wait_for
from tests.fixtures.git import git, identify

pytestmark = pytest.mark.lab
OVERTAKEN = 1


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
    first = shop.push()
    begun = build.bump()
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
    child = shop.start("run", "-e", "staging", "--json")
    wait_for(lambda: len(shop.containers("backend")) == 2, child)
    deployed = begun.deploy()
    assert (deployed.code, "unchanged" in deployed.stderr) == (0, True), deployed.text
    stdout, stderr = child.communicate()
    assert child.returncode == 0, stderr
    assert begun.verify().code == 0
    assert shop.since(before) == [git(shop.remote, "log", "-1", "--format=%s", begun.commit)]
    assert (shop.version(), shop.head) == (new.tag, begun.commit)
    assert layout.images_file("staging") in git(shop.remote, "show", "--name-only", begun.commit)
    assert '"proven"' in stdout
