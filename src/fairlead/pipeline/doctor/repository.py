"""The deployment repository and its fairlead.yaml: here, in the head commit, on the remote."""

from collections.abc import Iterator
from pathlib import Path

from fairlead.config import layout
from fairlead.config.file import ConfigurationFile
from fairlead.config.models import Configuration
from fairlead.deployment_repo.permissions import try_commit, try_push
from fairlead.deployment_repo.repository import NOTES, Repository
from fairlead.errors import FairleadError, UnreadableFile
from fairlead.pipeline.doctor.fact import Fact, fails

HERE = f"{layout.CONFIGURATION} here"
REMOTE = "git remote"


def configuration_here(place: Path) -> tuple[ConfigurationFile | None, Fact]:
    """The working tree's fairlead.yaml; None where it cannot be used."""
    try:
        file = _read(ConfigurationFile.in_directory(place))
        return file, Fact(HERE, True, file.source)
    except FairleadError as error:
        return None, fails(HERE, error, configuration=True)


def configuration_in(
    repository: Repository, commit: str, here: ConfigurationFile | None
) -> tuple[ConfigurationFile | None, Fact]:
    """The commit's fairlead.yaml, which all commands use, and how the working tree's differs from it."""
    name = f"{layout.CONFIGURATION} on {repository.branch}"
    try:
        text = repository.read(commit, layout.CONFIGURATION)
        if text is None:
            raise UnreadableFile(
                f"There is no {layout.CONFIGURATION} in commit {commit[:12]}",
                remedy=f"git add {layout.CONFIGURATION} && git commit && git push",
            )
        file = _read(ConfigurationFile(text, f"{layout.CONFIGURATION} in commit {commit[:7]}"))
    except FairleadError as error:
        return None, fails(name, error, configuration=True)
    if here and (different := differing(here.configuration, file.configuration)):
        detail = f"commit {commit[:9]}, which counts; the one here differs in {', '.join(different)}"
        remedy = f"git diff {commit[:9]} -- {layout.CONFIGURATION}; pull, or commit and push"
        return file, Fact(name, True, detail, remedy)
    return file, Fact(name, True, f"commit {commit[:9]}")


def _read(file: ConfigurationFile) -> ConfigurationFile:
    """The same, where it can be read."""
    file.configuration  # noqa: B018 - what cannot be read raises here
    return file


def differing(here: Configuration, there: Configuration) -> list[str]:
    """The top-level settings in which two configurations differ."""
    return [name for name in Configuration.model_fields if getattr(here, name) != getattr(there, name)]


def remote_answers(repository: Repository) -> Fact:
    """The remote gives the branch and the proofs."""
    try:
        repository.fetch()
    except FairleadError as error:
        return fails(REMOTE, error)
    return Fact(REMOTE, True, f"{repository.remote} answers, {repository.branch} is at {repository.head()[:9]}")


def push_allowed(repository: Repository, commit: str) -> Iterator[Fact]:
    """The right to push the branch."""
    ref = f"refs/heads/{repository.branch}"
    yield _pushed("git push", repository, commit, ref)


def proofs_allowed(repository: Repository, commit: str) -> Iterator[Fact]:
    """The right to push proofs."""
    yield _pushed("git push of proofs", repository, repository.notes_head() or commit, NOTES)


def commits_made(repository: Repository, commit: str) -> Iterator[Fact]:
    """Identity and signing."""
    try:
        who = try_commit(repository, commit)
    except FairleadError as error:
        yield fails("git commit", error)
    else:
        yield Fact("git commit", True, f"as {who}{', signed' if repository.signing else ''}")


def _pushed(name: str, repository: Repository, commit: str, ref: str) -> Fact:
    try:
        try_push(repository, commit, ref)
    except FairleadError as error:
        return fails(name, error)
    return Fact(name, True, f"{repository.remote} accepts pushes to {ref} (dry run)")
