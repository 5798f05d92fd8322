"""Asks all of it: first what everything rests on, then the rest side by side."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from fairlead.config.file import ConfigurationFile
from fairlead.config.models import SemaphoreDeploy
from fairlead.config.variables import Variables
from fairlead.deployment_repo.repository import Repository
from fairlead.errors import FairleadError
from fairlead.pipeline.doctor import here, opentofu, proxmox, registry, repository, secret
from fairlead.pipeline.doctor.fact import Fact, Question, fails, side_by_side
from fairlead.pipeline.doctor.machine import machine
from fairlead.pipeline.doctor.semaphore import semaphore
from fairlead.pipeline.scope import Scope


def examine(place: Path, environment: str | None, variables: Variables) -> Iterator[Fact]:
    """Every fact, as it is found out. environment: one only. Raises InvalidSetting for one that does not exist."""
    mask = variables.secrets.mask()
    for fact in _examine(place, environment, variables):
        yield fact.masked(mask)


def _examine(place: Path, environment: str | None, variables: Variables) -> Iterator[Fact]:
    yield from side_by_side(
        [here.python, here.git, here.ssh, here.ansible, partial(here.state_directory, variables.state)]
    )
    here_file, fact = repository.configuration_here(place)
    yield fact
    branch = here_file.brief.branch if here_file else "main"
    try:
        opened = Repository.open(place, branch)
    except FairleadError as error:
        yield fails(repository.REMOTE, error, configuration=True)
        return
    yield repository.remote_answers(opened)
    try:
        commit = _commit(opened)
    except FairleadError as error:
        yield fails(f"branch {branch}", error)
        return
    committed, fact = repository.configuration_in(opened, commit, here_file)
    yield fact
    yield from _rest(opened, commit, committed or here_file, environment, variables)


def _commit(opened: Repository) -> str:
    """The head, else what was it at the last fetch, else what is checked out: the rest can still be looked at."""
    try:
        return opened.head()
    except FairleadError:
        return opened.resolve("HEAD")


def _rest(
    opened: Repository,
    commit: str,
    file: ConfigurationFile | None,
    environment: str | None,
    variables: Variables,
) -> Iterator[Fact]:
    git: list[Question] = [
        partial(ask, opened, commit)
        for ask in (repository.push_allowed, repository.proofs_allowed, repository.commits_made)
    ]
    if file is None:
        yield from side_by_side(git)
        return
    scope = Scope(environment or "", commit, file.deployed_with(variables.deploy_with), opened, variables)
    scopes = [scope.in_environment(name) for name in scope.brief.environments] if not environment else [scope]
    scopes[0].require_environment()
    with tempfile.TemporaryDirectory(prefix="fairlead-") as directory:
        checkout = Path(directory)
        opened.export(commit, checkout)
        yield from side_by_side([*git, *_questions(scopes, checkout)])


def _questions(scopes: list[Scope], checkout: Path) -> Iterator[Callable[[], Iterator[Fact]]]:
    configuration, variables = scopes[0].configuration, scopes[0].variables
    yield partial(secret.named, configuration, variables.secrets)
    for name in registry.registries_of(configuration):
        yield partial(registry.registry, registry.Site(name, configuration, variables, checkout))
    if isinstance(configuration.deploy, SemaphoreDeploy):
        for scope in scopes:
            yield partial(semaphore, scope, checkout)
    if not scopes[0].brief.made:
        for scope in scopes:
            yield partial(machine, scope, checkout)
        return
    yield partial(opentofu.program, variables)
    yield partial(opentofu.provider, variables, checkout)
    yield partial(opentofu.state, scopes[0], checkout)
    for scope in scopes:
        yield partial(proxmox.environment, scope, checkout)
