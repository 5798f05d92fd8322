"""What doctor finds out about Semaphore, and who deploys when that is overridden."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.config.models import AnsibleDeploy, SemaphoreDeploy
from fairlead.config.secrets import SecretClass, Secrets
from fairlead.config.variables import Variables, read_variables
from fairlead.deploy.ansible import AnsibleDeployer
from fairlead.deploy.semaphore.deployer import SemaphoreDeployer
from fairlead.errors import InvalidSetting, MissingSecret
from fairlead.pipeline import rollout
from fairlead.pipeline.doctor.fact import Fact
from fairlead.pipeline.doctor.secret import named
from fairlead.pipeline.doctor.semaphore import reached, semaphore, version
from fairlead.pipeline.scope import Scope
from fairlead.pipeline.semaphore import blueprint_of, set_up
from tests.deploy.semaphore import Yard
from tests.lab.semaphore_api.running import running

CONFIGURATION = """\
app: {app}
images: {{app_image: {{repository: registry.example.com/shop/web, policy: {{semver: "*"}}}}}}
environments: {{staging: {{}}}}
provision: {{with: static, addresses: {{staging: 192.0.2.10}}}}
deploy: {{with: semaphore, user: root}}
secrets: {{application: [password]}}
"""


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    (tmp_path / "yard").mkdir()
    with running(tmp_path / "semaphore") as server:
        made = Yard(tmp_path / "yard", server)
        made.git.write({layout.CONFIGURATION: CONFIGURATION.format(app=made.app)}, "Configure")
        yield made


def variables(yard: Yard, **more: str) -> Variables:
    token = (yard.semaphore.directory / "token").read_text()
    given = {"SEMAPHORE_URL": yard.semaphore.url, "SEMAPHORE_TOKEN": token, **more}
    return read_variables({"FAIRLEAD_STATE_DIR": str(yard.root / "state"), **given})


def scope_of(yard: Yard, **more: str) -> Scope:
    return Scope.open(yard.git.person, "staging", None, variables(yard, **more))


def facts(yard: Yard, **more: str) -> dict[str, Fact]:
    return {fact.fact.removeprefix("staging: "): fact for fact in semaphore(scope_of(yard, **more), yard.git.person)}


def test_a_project_that_is_set_up_is_well(yard: Yard) -> None:
    found = facts(yard)
    assert [name for name, fact in found.items() if not fact.ok] == []
    assert list(found) == [
        "Semaphore",
        "Semaphore's token",
        "Semaphore's version",
        "Semaphore's project",
        "template 'deploy staging'",
        "Semaphore's repository",
        "Semaphore's secrets",
        "template 'inspect staging'",
    ]
    assert [name for name, fact in found.items() if fact.is_warning] == ["Semaphore's version"]


def test_what_is_wrong_with_a_project_is_named(yard: Yard) -> None:
    yard.edit("templates", "deploy staging", playbook="other.yml")
    yard.edit("templates", "inspect staging", arguments="[]")
    yard.edit("repositories", f"fairlead {yard.app}", git_branch="old")
    yard.set_up(renew=False, dry_run=True)
    found = facts(yard)
    assert "its playbook is 'other.yml'" in found["template 'deploy staging'"].detail
    assert found["template 'inspect staging'"].is_warning
    assert "at old, not" in found["Semaphore's repository"].detail
    assert all(fact.remedy.startswith("fairlead semaphore setup -e staging") for fact in found.values() if not fact.ok)


def test_a_template_that_is_not_there_is_named(yard: Yard) -> None:
    yard.edit("templates", "deploy staging", name="renamed")
    found = facts(yard)["template 'deploy staging'"]
    assert not found.ok
    assert "It has: inspect staging, renamed" in found.detail


def test_secrets_that_semaphore_lacks_are_named(yard: Yard) -> None:
    text = CONFIGURATION.format(app=yard.app).replace("[password]", "[password, another]")
    yard.git.write({layout.CONFIGURATION: text}, "Name another")
    assert facts(yard)["Semaphore's secrets"].detail == "another not in 'fairlead staging'"
    scope = scope_of(yard)
    assert list(named(scope.configuration, scope.variables.secrets)) == []  # Fairlead itself needs none


def test_a_token_an_address_and_a_project_that_are_wrong_are_told_apart(yard: Yard) -> None:
    assert [fact.fact for fact in semaphore(scope_of(yard, SEMAPHORE_TOKEN="wrong-token"), yard.git.person)] == [
        "staging: Semaphore's token"
    ]
    [away] = facts(yard, SEMAPHORE_URL="http://127.0.0.1:1").values()
    assert "does not answer" in away.detail
    [unset] = facts(yard, SEMAPHORE_URL="").values()
    assert "SEMAPHORE_URL is not set" in unset.detail
    with pytest.raises(MissingSecret, match="semaphore_token"):
        rollout.deployer_of(replace(scope_of(yard), variables=replace(variables(yard), secrets=Secrets(None, {}))))


@pytest.mark.parametrize(
    ("said", "warned"),
    [("v2.18.17", False), ("2.19.0-1f", False), ("v2.18.16", True), ("v2.10.43", True), ("develop", True), ("", True)],
)
def test_a_version_before_the_fix_is_a_warning(said: str, *, warned: bool) -> None:
    assert version(said).ok
    assert version(said).is_warning is warned


def test_a_token_in_clear_over_the_network_is_a_warning(yard: Yard) -> None:
    scope = scope_of(yard)
    assert not reached(scope, yard.server).is_warning
    assert reached(scope, replace(yard.server, url="http://semaphore.example.com")).is_warning
    assert not reached(scope, replace(yard.server, url="https://semaphore.example.com")).is_warning


def test_the_setup_is_made_from_fairlead_yaml_git_and_the_secrets(yard: Yard) -> None:
    scope = scope_of(yard, FAIRLEAD_APPLICATION_PASSWORD="hunter22", FAIRLEAD_CONTROL_SSH_KEY="a key")
    blueprint = blueprint_of(scope)
    assert (blueprint.git_url, blueprint.branch, blueprint.secret_names) == (yard.git.url, "main", ("password",))
    assert blueprint.secret("password") == scope.variables.secrets.get(SecretClass.APPLICATION, "password")
    assert {change.action for change in set_up(scope, dry_run=True, renew=False)} == {"keep"}
    with pytest.raises(InvalidSetting, match="is deployed by ansible"):
        blueprint_of(scope_of(yard, FAIRLEAD_DEPLOY_WITH="ansible"))


def test_who_deploys_is_overridden_and_the_connection_stays(yard: Yard) -> None:
    assert isinstance(rollout.deployer_of(scope_of(yard)), SemaphoreDeployer)
    scope = scope_of(yard, FAIRLEAD_DEPLOY_WITH="ansible")
    deployer = rollout.deployer_of(scope)
    assert isinstance(deployer, AnsibleDeployer)
    assert (type(deployer.settings), deployer.settings.user) == (AnsibleDeploy, "root")
    text = CONFIGURATION.format(app=yard.app).replace("with: semaphore", "with: ansible")
    yard.git.write({layout.CONFIGURATION: text}, "Deploy by Ansible")
    settings = scope_of(yard, FAIRLEAD_DEPLOY_WITH="semaphore").configuration.deploy
    assert isinstance(settings, SemaphoreDeploy)
    assert (settings.user, settings.model_fields_set) == ("root", {"by", "user"})
    with pytest.raises(InvalidSetting, match="'kubernetes' is no deployer"):
        scope_of(yard, FAIRLEAD_DEPLOY_WITH="kubernetes")
