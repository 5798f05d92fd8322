"""One repository, one release, three orchestrators: what comes of it is the same."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.deployment_repo.proofs import Proofs
from fairlead.deployment_repo.repository import Repository
from tests.cicd.gitlab.server import GitLab
from tests.cicd.jenkins.server import classpath, server_for
from tests.e2e.operator import Operator
from tests.fixtures.git import git, identify
from tests.fixtures.lab import remove_application

pytestmark = pytest.mark.lab
ORCHESTRATORS = {"fairlead": "", "gitlab": "gitlab-ci.yml", "jenkins": "Jenkinsfile"}
CICD = "deployment/cicd"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fairlead-tests", "jenkins")


@dataclass(frozen=True)
class Taken:
    """What an orchestrator made of the release. proof: but for commit, run, times and who."""

    files: str
    message: str
    digests: Mapping[str, str]
    proof: Mapping[str, Any]


def copy_for(shop: Operator, orchestrator: str) -> Path:
    """The repository as it is, on the server, with this orchestrator's file alone."""
    copy = shop.remote.with_name(f"{orchestrator}.git")
    git(shop.root, "clone", "--quiet", "--mirror", shop.remote.as_uri(), str(copy))
    git(copy, "config", "receive.advertisePushOptions", "true")
    checkout = shop.root / f"{orchestrator}-owner"
    git(shop.root, "clone", "--quiet", copy.as_uri(), str(checkout))
    identify(checkout, "Ana")
    for file in (checkout / CICD).iterdir():
        if file.name != ORCHESTRATORS[orchestrator]:
            file.unlink()
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "-m", f"Keep what {orchestrator} needs")
    git(checkout, "push", "--quiet", "origin", "HEAD:main")
    return copy


def files(repository: Path) -> str:
    """Every file of the branch with its content's id, but for the orchestrators' own."""
    listed = git(repository, "ls-tree", "-r", "main").splitlines()
    return "\n".join(line for line in listed if f"\t{CICD}/" not in line)


def empty_machine(shop: Operator) -> None:
    """As if nothing had ever been deployed there."""
    remove_application(shop.lab, shop.site, "shop")
    shop.on_machine("rm", "-rf", "/opt/shop", "/var/lib/fairlead/shop")


def taken(shop: Operator, repository: Path) -> Taken:
    told = git(repository, "log", "-1", "--format=%B", "main").splitlines()
    reader = Repository.open(shop.root / f"{repository.stem}-owner")
    reader.fetch()
    proof = Proofs(reader).last_proven("staging")
    assert proof is not None
    assert proof.commit == git(repository, "rev-parse", "main")
    return Taken(
        files(repository),
        "\n".join(line for line in told if not line.startswith("Fairlead-Run: ")),
        {service: shop.digests(service) for service in ("backend", "db", "gateway")},
        proof.model_dump(exclude={"commit", "run", "started", "finished", "by"}),
    )


@pytest.fixture
def emptied(shop: Operator) -> Iterator[Operator]:
    """An operator whose machine may be emptied: afterwards it serves what is pinned."""
    yield shop
    empty_machine(shop)
    said = shop.run()
    assert said.code == 0, said.text


def test_each_orchestrator_makes_the_same_of_a_release(emptied: Operator, gitlab: GitLab) -> None:
    shop = emptied

    def by_fairlead(repository: Path) -> None:
        checkout = shop.root / "fairlead-owner"
        said = shop.fairlead("run", "-e", "staging", at=checkout)
        assert said.code == 0, said.text

    def by_gitlab(repository: Path) -> None:
        done = replace(gitlab, repository=repository, root=shop.root / "another-runner").pipeline()
        assert not done.failed, done.text

    def by_jenkins(repository: Path) -> None:
        server = server_for(shop, classpath(CACHE), shop.root / "another-jenkins")
        build = replace(server, remote=repository.as_uri()).build()
        assert build.result == "SUCCESS", build

    release: dict[str, Callable[[Path], None]] = {
        "fairlead": by_fairlead,
        "gitlab": by_gitlab,
        "jenkins": by_jenkins,
    }
    shop.push()
    repositories = {name: copy_for(shop, name) for name in release}
    assert len({files(repository) for repository in repositories.values()}) == 1
    made = {}
    for name, repository in repositories.items():
        empty_machine(shop)
        release[name](repository)
        made[name] = taken(shop, repository)
    assert all(one == made["fairlead"] for one in made.values()), made
