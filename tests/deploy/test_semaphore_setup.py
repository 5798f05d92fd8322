"""`fairlead semaphore setup`: what is missing is made, what differs is shown and mended, secrets are sent once."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.deploy.semaphore.setup import Change, Setup, extra_vars, git_address, variable
from fairlead.errors import InvalidSetting, MissingSecret
from tests.deploy.semaphore import PASSWORD, Yard
from tests.lab.semaphore_api.running import Running, running


@pytest.fixture(scope="module")
def semaphore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("semaphore")) as made:
        yield made


@pytest.fixture
def yard(tmp_path: Path, semaphore: Running) -> Yard:
    return Yard(tmp_path, semaphore)


def actions(changes: list[Change]) -> dict[str, str]:
    return {f"{change.kind} {change.name}": change.action for change in changes}


def kept_secret(yard: Yard) -> str:
    """The value as the server has it; its API never shows it."""
    text = b"".join(path.read_bytes() for path in yard.semaphore.directory.glob("semaphore.sqlite*"))
    return "there" if json.dumps(PASSWORD)[1:-1].encode() in text else "missing"


def test_everything_is_made_once(tmp_path: Path, semaphore: Running) -> None:
    yard = Yard(tmp_path, semaphore)
    again = actions(yard.set_up())
    assert again == {
        f"project {yard.app}": "keep",
        "keys fairlead staging ssh": "keep",
        "keys None": "keep",
        f"repositories fairlead {yard.app}": "keep",
        "inventory fairlead staging": "keep",
        "environment fairlead staging": "keep",
        "templates deploy staging": "keep",
        "templates inspect staging": "keep",
    }
    assert kept_secret(yard) == "there"


def test_a_dry_run_shows_everything_and_makes_nothing(yard: Yard) -> None:
    fresh = replace(yard.blueprint, settings=yard.settings.model_copy(update={"project": "another"}))
    before = len(yard.server.listed("/projects"))
    changes = Setup(yard.server, fresh, dry_run=True).run()
    assert {change.action for change in changes} == {"create"}
    assert "playbook: nothing → deployment/ansible/deploy.yml" in changes[-2].lines
    assert len(yard.server.listed("/projects")) == before
    assert PASSWORD not in repr(changes)


def test_a_second_environment_shares_project_and_repository(yard: Yard) -> None:
    changes = actions(Setup(yard.server, replace(yard.blueprint, environment="production")).run())
    assert [name for name, action in changes.items() if action == "keep"] == [
        f"project {yard.app}",
        "keys None",
        f"repositories fairlead {yard.app}",
    ]


def test_what_somebody_changed_is_shown_and_set_right(yard: Yard) -> None:
    yard.edit("repositories", f"fairlead {yard.app}", git_branch="other")
    shown = [change for change in yard.set_up(dry_run=True) if change.action != "keep"]
    assert [(change.kind, change.lines) for change in shown] == [("repositories", ("git_branch: other → main",))]
    assert [change.kind for change in yard.set_up() if change.action == "update"] == ["repositories"]
    assert {change.action for change in yard.set_up()} == {"keep"}


def test_secrets_are_sent_again_on_demand_and_dropped_when_no_longer_named(yard: Yard) -> None:
    renewed = {change.kind: change.lines for change in yard.set_up(renew=True)}
    assert renewed["keys"] == () or "its secret is sent again" in str(renewed)
    name = variable("password")
    assert renewed["environment"] == (f"secret {name}: delete", f"secret {name}: create")
    without = replace(yard.blueprint, secret_names=())
    changes = {change.kind: change.lines for change in Setup(yard.server, without).run()}
    assert changes["environment"][-1] == f"secret {name}: delete"


def test_a_secret_without_a_value_is_refused_before_its_environment_is_made(yard: Yard) -> None:
    def missing(name: str) -> None:
        raise MissingSecret(f"The application secret {name} has no value")

    wanted = replace(yard.blueprint, environment="production", secret=missing)  # type: ignore[arg-type]
    with pytest.raises(MissingSecret, match="password"):
        Setup(yard.server, wanted).run()


def test_an_environments_own_values_stay(yard: Yard) -> None:
    yard.edit("environment", "fairlead staging", json='{"colour": "red"}')
    yard.set_up()
    [environment] = yard.server.listed(f"/project/{yard.project}/environment")
    assert json.loads(environment["json"]) == {"colour": "red", **extra_vars(("password",))}


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("https://git.example.com/shop.git", "login_password", "git"),
        ("ssh://git@git.example.com/shop.git", "ssh", "git"),
        ("git@git.example.com:shop.git", "ssh", "git"),
    ],
)
def test_the_repositorys_key_fits_its_address(yard: Yard, url: str, kind: str, name: str) -> None:
    login = (name, yard.blueprint.ssh_key())
    Setup(yard.server, replace(yard.blueprint, git_url=url, git_login=login)).run()
    keys = yard.server.listed(f"/project/{yard.project}/keys")
    assert {key["name"]: key["type"] for key in keys}[f"fairlead {yard.app} git"] == kind


def test_an_address_that_semaphore_cannot_use_is_refused() -> None:
    assert git_address("/srv/git/shop.git") == "file:///srv/git/shop.git"
    with pytest.raises(InvalidSetting, match=r"\.\./shop\.git"):
        git_address("../shop.git")
