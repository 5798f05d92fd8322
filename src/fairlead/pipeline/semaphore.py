"""What a Semaphore project needs for one environment: gathered from fairlead.yaml, git and the secrets."""

from fairlead.config.models import SemaphoreDeploy
from fairlead.config.secrets import Secret, SecretClass
from fairlead.deploy.semaphore.setup import Blueprint, Change, Setup
from fairlead.errors import InvalidSetting
from fairlead.pipeline import rollout
from fairlead.pipeline.scope import Scope


def set_up(scope: Scope, *, dry_run: bool, renew: bool) -> list[Change]:
    """Make or update the project's parts for the environment. Raises SemaphoreError, ConfigurationError."""
    return Setup(rollout.semaphore_server(scope), blueprint_of(scope), dry_run=dry_run, renew=renew).run()


def blueprint_of(scope: Scope) -> Blueprint:
    """What the project must have. Raises InvalidSetting where Semaphore does not deploy."""
    secrets = scope.variables.secrets
    token, username = (secrets.find(SecretClass.CONTROL, name) for name in ("git_token", "git_username"))
    return Blueprint(
        settings=semaphore_settings(scope),
        app=scope.configuration.app,
        environment=scope.environment,
        git_url=scope.configuration.git.url or remote_url(scope),
        branch=scope.repository.branch,
        images=tuple(scope.configuration.images),
        secret_names=scope.configuration.secrets.application,
        ssh_key=lambda: rollout.ssh_key(scope) or secrets.get(SecretClass.CONTROL, rollout.SSH_KEY),
        git_key=lambda: secrets.get(SecretClass.CONTROL, "git_ssh_key"),
        git_login=(username.reveal() if username else "git", token) if token else None,
        secret=lambda name: _application(scope, name),
    )


def semaphore_settings(scope: Scope) -> SemaphoreDeploy:
    """fairlead.yaml's `deploy`. Raises InvalidSetting where it is another deployer's."""
    settings = scope.configuration.deploy
    if not isinstance(settings, SemaphoreDeploy):
        raise InvalidSetting(
            f"{scope.environment} is deployed by {settings.by}",
            remedy="Write deploy: {with: semaphore} in fairlead.yaml, or export FAIRLEAD_DEPLOY_WITH=semaphore",
        )
    return settings


def remote_url(scope: Scope) -> str:
    """Where the checkout's remote is."""
    repository = scope.repository
    return repository.git.run("remote", "get-url", repository.remote).stdout.strip()


def _application(scope: Scope, name: str) -> Secret:
    return scope.variables.secrets.get(SecretClass.APPLICATION, name)
