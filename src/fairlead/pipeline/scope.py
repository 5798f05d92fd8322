"""One environment of one commit: what every stage works on."""

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from fairlead.config import layout
from fairlead.config.load import load_configuration, parse_yaml, read_file
from fairlead.config.models import Configuration, Environment
from fairlead.config.secrets import SecretClass
from fairlead.config.variables import Variables
from fairlead.deployment_repo.git import NO_ACCESS, Access, GitUrl
from fairlead.deployment_repo.pins import read_pins
from fairlead.deployment_repo.repository import Repository
from fairlead.errors import InvalidSetting, UnreadableFile
from fairlead.images import ImageReference

_ADDRESS = re.compile(r"[a-z]+://|[^/]+@[^/]+:")


@dataclass(frozen=True)
class Scope:
    """An environment, and the commit whose configuration and pins it has. repository: fetched."""

    environment: str
    commit: str
    configuration: Configuration
    repository: Repository
    variables: Variables

    @classmethod
    def open(cls, place: Path | str, environment: str, commit: str | None, variables: Variables) -> Self:
        """Fetch the deployment branch and the proofs, and read fairlead.yaml from the commit (default: the head).

        place: a checkout, which may be shallow, detached and older than the branch: only the branch's name is read
        from it. Or the repository's address, `URL#BRANCH` (default: main), of which a clone is kept in the state
        directory. Raises ConfigurationError, RepositoryError.
        """
        repository = _repository(str(place), variables)
        repository.fetch()
        chosen = repository.resolve(commit) if commit else repository.head()
        scope = cls(environment, chosen, _configuration(repository, chosen, variables), repository, variables)
        scope.settings  # noqa: B018 - an unknown environment is refused here, before any work
        return scope

    @classmethod
    def open_all(cls, place: Path | str, variables: Variables) -> "tuple[Self, ...]":
        """Every environment of the head, as `open` reads one."""
        repository = _repository(str(place), variables)
        repository.fetch()
        head = repository.head()
        configuration = _configuration(repository, head, variables)
        return tuple(cls(name, head, configuration, repository, variables) for name in configuration.environments)

    @property
    def settings(self) -> Environment:
        """What fairlead.yaml says of this environment. Raises InvalidSetting."""
        try:
            return self.configuration.environments[self.environment]
        except KeyError:
            raise InvalidSetting(
                f"There is no environment {self.environment!r} in {layout.CONFIGURATION}",
                remedy=f"Use one of: {', '.join(self.configuration.environments)}",
            ) from None

    @property
    def pins(self) -> dict[str, ImageReference]:
        """What the commit pins for this environment, by Ansible variable."""
        return self.pins_at(self.commit)

    def pins_at(self, commit: str, environment: str | None = None) -> dict[str, ImageReference]:
        """What another commit pins. Raises InvalidPins."""
        path = layout.images_file(environment or self.environment)
        text = self.repository.read(commit, path)
        return read_pins(text, path) if text is not None else {}

    def at(self, commit: str) -> Self:
        """The same environment at another commit, with that commit's configuration."""
        return replace(self, commit=commit, configuration=_configuration(self.repository, commit, self.variables))

    def in_environment(self, environment: str) -> Self:
        """Another environment at the same commit."""
        return replace(self, environment=environment)


def _repository(place: str, variables: Variables) -> Repository:
    """The checkout at a path, or our own clone of an address."""
    if not _ADDRESS.match(place):
        return Repository.open(Path(place), branch=_branch(Path(place)), access=_access(variables))
    address, _, branch = place.partition("#")
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    url = GitUrl.parse(address)
    return Repository.clone(url, variables.state / "clones" / name, branch or "main", _access(variables))


def _access(variables: Variables) -> Access:
    """What an https remote is reached with, where git has no credentials of its own: a token, as a CI system has it."""
    username = variables.secrets.find(SecretClass.CONTROL, "git_username")
    token = variables.secrets.find(SecretClass.CONTROL, "git_token")
    return Access(username=username.reveal() if username else NO_ACCESS.username, password=token)


def _branch(place: Path) -> str:
    """The deployment branch's name, from the checkout's own fairlead.yaml; the rest of it is not looked at yet."""
    source = place / layout.CONFIGURATION
    data = parse_yaml(read_file(source), str(source)).data
    git = data.get("git") if isinstance(data, dict) else None
    branch = git.get("branch") if isinstance(git, dict) else None
    return branch if isinstance(branch, str) else "main"


def _configuration(repository: Repository, commit: str, variables: Variables) -> Configuration:
    """The commit's own, but for who deploys where that is overridden."""
    text = repository.read(commit, layout.CONFIGURATION)
    if text is None:
        raise UnreadableFile(
            f"There is no {layout.CONFIGURATION} in commit {commit[:12]}",
            remedy="Commit and push the file that fairlead init wrote",
        )
    return load_configuration(text, f"{layout.CONFIGURATION} in commit {commit[:7]}").deployed_with(
        variables.deploy_with
    )
