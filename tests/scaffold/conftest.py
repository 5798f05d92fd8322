"""A deployment repository as a person has it: written by init, committed, edited."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead.scaffold.answers import Answers, ImageAnswer
from fairlead.scaffold.copy import write
from fairlead.scaffold.render import FILES

ANSWERS = Answers(
    app="tracker",
    environments=("live", "test-2"),
    images=(ImageAnswer.parse("app_image=registry.example.com/tracker/api"),),
    addresses={"live": "192.0.2.20", "test-2": "2001:db8::7"},
)

RunGit = Callable[..., str]


def git(directory: Path, *words: str) -> str:
    """Run git as the operator does; its output."""
    identity = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", "-C", directory, *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A scaffold, committed to main, in a repository that knows its operator."""
    directory = tmp_path / "tracker"
    write(directory, ANSWERS)
    git(directory, "config", "user.name", "Ana")
    git(directory, "config", "user.email", "ana@example.com")
    commit(directory, "Begin")
    return directory


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The files of a later Fairlead: one line added to the Makefile, one file added."""
    source = tmp_path / "newer"
    shutil.copytree(FILES, source, ignore=shutil.ignore_patterns("__pycache__"))
    makefile = source / "Makefile"
    makefile.write_text(makefile.read_text() + "\nnew-target: ## From a later Fairlead\n\t@true\n")
    (source / "deployment" / "new.yml").write_text("new: true\n")
    return source


def commit(directory: Path, message: str) -> None:
    """Commit everything that is in the working tree."""
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", message)
