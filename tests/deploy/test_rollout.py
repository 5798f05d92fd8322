"""The stages from provision to proof, on a real repository and the fake deployer; and the commands that call them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fairlead.cli import rollout as commands
from fairlead.config import layout
from fairlead.config.secrets import Secret
from fairlead.config.variables import read_variables
from fairlead.deploy.ansible import AnsibleDeployer
from fairlead.deploy.base import DeployResult, Outcome
from fairlead.deploy.fake import FakeDeployer
from fairlead.deployment_repo.proofs import Proofs
from fairlead.errors import Busy, FairleadError, InvalidPins, InvalidSetting, MissingSecret, ReleaseFailed, SiteFault
from fairlead.pipeline import machines, rollout
from fairlead.pipeline.scope import Scope
from fairlead.provision.base import Machine
from fairlead.verify.base import Verification
from tests.fixtures.git import STAGING, Site, image

MACHINE = Machine("192.0.2.10")
CONFIGURATION = """\
app: shop
images:
  app_image: {repository: registry.example.com/shop/backend, policy: {semver: "*"}}
environments: {staging: {}, production: {follows: staging}, eu-west: {}}
provision: {with: static, addresses: {staging: 192.0.2.10}}
secrets: {application: [postgres_password]}
verify:
  retries: 2
  delay: 0s
  stable_for: 1h
  checks: [{command: {run: [test, -e, fairlead.yaml]}}]
"""
SECRETS = {"FAIRLEAD_APPLICATION_POSTGRES_PASSWORD": "hunter22"}


def open_scope(site: Site, variables: Mapping[str, str] = SECRETS, environment: str = "staging") -> Scope:
    site.write({"fairlead.yaml": CONFIGURATION, STAGING: f"app_image: {image('backend', '1.0.0')}\n"}, "Configure")
    return Scope.open(site.person, environment, None, read_variables(variables))


@pytest.fixture
def scope(site: Site) -> Scope:
    """Staging of a repository with one pin."""
    return open_scope(site)


def deployed(scope: Scope) -> FakeDeployer:
    """A deployer whose machine runs the scope's release."""
    deployer = FakeDeployer()
    assert rollout.deploy(scope, MACHINE, "run-1", deployer=deployer).ok
    return deployer


def verified(scope: Scope, deployer: FakeDeployer) -> Verification:
    return rollout.verify(scope, MACHINE, new=False, deployer=deployer)


def test_the_address_comes_from_the_file_or_from_the_caller(scope: Scope) -> None:
    assert machines.provision(scope) == Machine("192.0.2.10")
    assert machines.provision(scope, machines.Wish("192.0.2.77")) == Machine("192.0.2.77")


def test_a_deploy_has_what_git_says_and_the_secrets_that_are_named(scope: Scope) -> None:
    seen: list[Any] = []
    rollout.deploy(scope, MACHINE, "run-1", deployer=FakeDeployer(before=seen.append))
    (request,) = seen
    assert (request.commit, request.run, request.fence) == (scope.commit, "run-1", 2)
    assert request.pins == {"app_image": image("backend", "1.0.0")}
    assert request.secrets == {"postgres_password": Secret("hunter22")}
    assert not request.checkout.exists()  # it was a clean export, and is gone


def test_a_scope_is_printed_without_secrets(scope: Scope) -> None:
    assert "hunter22" not in repr(scope)


def test_a_verified_release_is_proven_in_git(scope: Scope) -> None:
    verification = verified(scope, deployed(scope))
    assert not rollout.proven_before(scope)
    proof = rollout.prove(scope, "run-1", verification)
    assert [kept.line() for kept in Proofs(scope.repository).read(scope.commit)] == [proof.line()]
    assert proof.digests == {"app_image": image("backend", "1.0.0").digest}
    assert proof.checks == ("command test -e fairlead.yaml", "running digests")
    assert rollout.proven_before(scope)


def test_digests_proven_on_another_commit_are_proven_before(scope: Scope, site: Site) -> None:
    rollout.prove(scope, "run-1", verified(scope, deployed(scope)))
    site.write({STAGING: f"# back again\napp_image: {image('backend', '1.0.0')}\n"})
    scope.repository.fetch()
    assert rollout.proven_before(scope.at(scope.repository.head()))
    site.write({STAGING: f"app_image: {image('backend', '1.1.0', 'c')}\n"})
    scope.repository.fetch()
    assert not rollout.proven_before(scope.at(scope.repository.head()))


def test_other_digests_are_never_proven(scope: Scope) -> None:
    verification = verified(scope, FakeDeployer())
    with pytest.raises(ReleaseFailed) as caught:
        rollout.prove(scope, "run-1", verification)
    assert "running digests" in caught.value.why
    assert "fairlead rollback -e staging --failed" in caught.value.remedy
    assert Proofs(scope.repository).read(scope.commit) == ()


def test_a_machine_that_cannot_be_read_is_the_sites_fault(scope: Scope) -> None:
    verification = verified(scope, FakeDeployer(unreachable={MACHINE.vm_ip}))
    assert isinstance(rollout.verification_fault(scope, verification), SiteFault)


@pytest.mark.parametrize("pins", ["", "app_image: registry.example.com/shop/backend:1.0.0\n"])
def test_what_is_not_pinned_by_digest_is_not_deployed(scope: Scope, site: Site, pins: str) -> None:
    site.write({STAGING: f"# nothing else\n{pins}"})
    scope.repository.fetch()
    with pytest.raises(InvalidPins):
        rollout.deploy(scope.at(scope.repository.head()), MACHINE, "run-1", deployer=FakeDeployer())


def test_a_secret_without_a_value_stops_the_deploy(site: Site) -> None:
    with pytest.raises(MissingSecret, match="postgres_password"):
        rollout.deploy(open_scope(site, {}), MACHINE, "run-1", deployer=FakeDeployer())


@pytest.mark.parametrize(
    ("outcome", "code", "kind", "exit_code"),
    [
        (Outcome.RELEASE_FAULT, "unhealthy", ReleaseFailed, 3),
        (Outcome.SITE_FAULT, "unreachable", SiteFault, 1),
        (Outcome.SITE_FAULT, "busy", Busy, 4),
    ],
)
def test_a_fault_becomes_an_error(
    scope: Scope, outcome: Outcome, code: str, kind: type[FairleadError], exit_code: int
) -> None:
    result = DeployResult(outcome, "it broke", code=code, log=("last words",), restored="yes")
    fault = rollout.deploy_fault(scope, result)
    assert isinstance(fault, kind)
    assert fault.exit_code == exit_code
    assert "it broke" in fault.what
    assert "last words\nThe previous release serves" in fault.why
    assert fault.remedy


def test_each_environment_has_its_own_ssh_key_or_the_common_one(site: Site) -> None:
    keys = {"FAIRLEAD_CONTROL_SSH_KEY": "common", "FAIRLEAD_CONTROL_SSH_KEY_EU_WEST": "own key"}
    scope = open_scope(site, keys)
    assert rollout.ssh_key(scope) == Secret("common")
    assert rollout.ssh_key(scope.in_environment("eu-west")) == Secret("own key")
    deployer = rollout.deployer_of(scope)
    assert isinstance(deployer, AnsibleDeployer)
    assert deployer.ssh_key == Secret("common")
    assert rollout.ssh_key(replace(scope, variables=read_variables({}))) is None


def call(site: Site, name: str, *words: str, **variables: str) -> Any:
    """One command, as the `fairlead` program has it."""
    app = typer.Typer()
    for command in (commands.provision, commands.deploy, commands.verify):
        app.command()(command)
    argv = [name, "-e", "staging", "--repo", str(site.person), *words]
    return CliRunner().invoke(app, argv, env={**SECRETS, **variables})


def test_provision_prints_the_address_alone_on_stdout(scope: Scope, site: Site) -> None:
    assert call(site, "provision", "--quiet").stdout == "192.0.2.10\n"
    assert call(site, "provision", "--quiet", VM_IP="192.0.2.9").stdout == "192.0.2.9\n"
    assert json.loads(call(site, "provision", "--json").stdout) == {
        "version": 1,
        "environment": "staging",
        "plan": False,
        "vm_ip": "192.0.2.10",
        "changed": False,
        "changes": [],
        "skipped": None,
    }


def test_an_environment_without_an_inventory_is_an_error_of_configuration(scope: Scope, site: Site) -> None:
    result = call(site, "deploy")
    assert isinstance(result.exception, InvalidSetting)
    assert layout.inventory_file("staging") in result.exception.what


def test_a_broken_address_is_refused_before_anything_starts(scope: Scope, site: Site) -> None:
    result = call(site, "verify", "--vm-ip", "-oProxyCommand=id")
    assert isinstance(result.exception, InvalidSetting)


def test_results_are_written_as_junit(scope: Scope, site: Site, tmp_path: Path) -> None:
    verification = verified(scope, deployed(scope))
    commands._write_junit(tmp_path / "reports/verify.xml", verification, "staging")
    assert 'name="running digests"' in (tmp_path / "reports/verify.xml").read_text()
