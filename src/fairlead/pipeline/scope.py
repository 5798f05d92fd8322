"""One environment of one commit: what every stage works on."""

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fairlead.config import layout
from fairlead.config.file import Brief, ConfigurationFile
from fairlead.config.load import parse_yaml
from fairlead.config.secrets import SecretClass
from fairlead.config.variables import Variables
from fairlead.deployment_repo.git import NO_ACCESS, Access, GitUrl
from fairlead.deployment_repo.repository import Repository
from fairlead.errors import InvalidSetting, UnreadableFile
from fairlead.images import ImageReference

if TYPE_CHECKING:
    from fairlead.config.models import Configuration, Environment

_ADDRESS = re.compile(r"[a-z]+://|[^/]+@[^/]+:")


@dataclass(frozen=True)
class Scope:
    """An environment, and the commit whose configuration and pins it has. repository: fetched. file: the commit's."""

    environment: str
    commit: str
    file: ConfigurationFile
    repository: Repository
    variables: Variables

    @classmethod
    def open(
        cls,
        place: Path | str,
        environment: str,
        commit: str | None,
        variables: Variables,
        known: Brief | None = None,
    ) -> Self:
        """Fetch the deployment branch and the proofs, and read fairlead.yaml from the commit (default: the head).

        place: a checkout, which may be shallow, detached and older than the branch: only the branch's name is read
        from it. Or the repository's address, `URL#BRANCH` (default: main), of which a clone is kept in the state
        directory. known: what an earlier call read of a fairlead.yaml. Raises ConfigurationError, RepositoryError.
        """
        repository = _repository(str(place), variables, known)
        repository.fetch()
        chosen = repository.resolve(commit) if commit else repository.head()
        scope = cls(environment, chosen, _file(repository, chosen, variables, known), repository, variables)
        scope.require_environment()
        return scope

    @classmethod
    def open_all(cls, place: Path | str, variables: Variables) -> "tuple[Self, ...]":
        """Every environment of the head, as `open` reads one."""
        repository = _repository(str(place), variables)
        repository.fetch()
        head = repository.head()
        file = _file(repository, head, variables)
        return tuple(cls(name, head, file, repository, variables) for name in file.brief.environments)

    @property
    def configuration(self) -> "Configuration":
        """All that fairlead.yaml says. Raises UnreadableFile, InvalidYaml, InvalidSetting."""
        return self.file.configuration

    @property
    def brief(self) -> Brief:
        """What provisioning needs of it, which may be known already. Raises as `configuration` does."""
        return self.file.brief

    def require_environment(self) -> None:
        """Raise InvalidSetting where fairlead.yaml has no such environment."""
        if self.environment not in self.brief.environments:
            raise InvalidSetting(
                f"There is no environment {self.environment!r} in {layout.CONFIGURATION}",
                remedy=f"Use one of: {', '.join(self.brief.environments)}",
            )

    @property
    def settings(self) -> "Environment":
        """What fairlead.yaml says of this environment. Raises InvalidSetting."""
        self.require_environment()
        return self.configuration.environments[self.environment]

    @property
    def pins(self) -> dict[str, ImageReference]:
        """What the commit pins for this environment, by Ansible variable."""
        return self.pins_at(self.commit)

    def pins_at(self, commit: str, environment: str | None = None) -> dict[str, ImageReference]:
        """What another commit pins. Raises InvalidPins."""
        from fairlead.deployment_repo.pins import read_pins  # noqa: PLC0415 - provisioning does not pay for YAML

        path = layout.images_file(environment or self.environment)
        text = self.repository.read(commit, path)
        return read_pins(text, path) if text is not None else {}

    def at(self, commit: str) -> Self:
        """The same environment at another commit, with that commit's configuration."""
        there = replace(self, commit=commit, file=_file(self.repository, commit, self.variables))
        there.brief  # noqa: B018 - what cannot be read is refused here, before any work
        return there

    def in_environment(self, environment: str) -> Self:
        """Another environment at the same commit."""
        return replace(self, environment=environment)


def _repository(place: str, variables: Variables, known: Brief | None = None) -> Repository:
    """The checkout at a path, or our own clone of an address."""
    if not _ADDRESS.match(place):
        branch = _branch(Path(place), variables.deploy_with, known)
        return Repository.open(Path(place), branch, access=_access(variables))
    address, _, branch = place.partition("#")
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    url = GitUrl.parse(address)
    return Repository.clone(url, variables.state / "clones" / name, branch or "main", _access(variables))


def _access(variables: Variables) -> Access:
    """What an https remote is reached with, where git has no credentials of its own: a token, as a CI system has it."""
    username = variables.secrets.find(SecretClass.CONTROL, "git_username")
    token = variables.secrets.find(SecretClass.CONTROL, "git_token")
    return Access(username=username.reveal() if username else NO_ACCESS.username, password=token)


def _branch(place: Path, deployer: str, known: Brief | None) -> str:
    """The deployment branch's name, from the checkout's own fairlead.yaml; the rest of it is not looked at yet."""
    file = replace(ConfigurationFile.in_directory(place), deployer=deployer, known=known)
    if file.remembered:
        return file.remembered.branch
    data = parse_yaml(file.text, file.source).data
    git = data.get("git") if isinstance(data, dict) else None
    branch = git.get("branch") if isinstance(git, dict) else None
    return branch if isinstance(branch, str) else "main"


def _file(repository: Repository, commit: str, variables: Variables, known: Brief | None = None) -> ConfigurationFile:
    """The commit's own."""
    text = repository.read(commit, layout.CONFIGURATION)
    if text is None:
        raise UnreadableFile(
            f"There is no {layout.CONFIGURATION} in commit {commit[:12]}",
            remedy="Commit and push the file that fairlead init wrote",
        )
    return ConfigurationFile(text, f"{layout.CONFIGURATION} in commit {commit[:7]}", variables.deploy_with, known)
