"""What this computer needs: programs, versions, a state directory."""

import importlib.metadata
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fairlead import process
from fairlead.errors import ProgramError
from fairlead.pipeline.doctor.fact import Fact, fails

Version = tuple[int, int]
PYTHON: Version = (3, 11)
GIT: Version = (2, 31)  # `rev-parse --path-format`
ANSIBLE: Version = (2, 16)


def python() -> Iterator[Fact]:
    """The interpreter that runs Fairlead."""
    remedy = "" if sys.version_info[:2] >= PYTHON else "Install Python 3.11 or later"
    yield Fact("python", not remedy, platform.python_version(), remedy)


def git() -> Iterator[Fact]:
    """git, new enough."""
    yield _program("git", ["git", "--version"], GIT, "apt-get install git")


def ssh() -> Iterator[Fact]:
    """The ssh that Ansible and git start."""
    yield _program("ssh", ["ssh", "-V"], (0, 0), "apt-get install openssh-client")


def ansible() -> Iterator[Fact]:
    """ansible-core, beside Fairlead in the same Python: that is the one that deploys."""
    try:
        found = importlib.metadata.version("ansible-core")
    except importlib.metadata.PackageNotFoundError:
        found = "is not installed"
    yield judged("ansible-core", found, ANSIBLE, f"{sys.executable} -m pip install 'ansible-core>=2.16'")


def state_directory(path: Path) -> Iterator[Fact]:
    """Where runs in flight are kept."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            yield Fact("state directory", True, str(path))
    except OSError as error:
        remedy = "export FAIRLEAD_STATE_DIR=… to a directory that this user may write"
        yield Fact("state directory", False, f"{path}: {error.strerror or error}", remedy)


def judged(fact: str, found: str, least: Version, remedy: str) -> Fact:
    """A version against the least one; the first `N.N` in the text is the version."""
    match = re.search(r"(\d+)\.(\d+)", found)
    if match is None:
        return Fact(fact, False, found or "has no version", remedy)
    version = (int(match[1]), int(match[2]))
    if version < least:
        return Fact(fact, False, f"{found}, and {least[0]}.{least[1]} is needed", remedy)
    return Fact(fact, True, found)


def _program(name: str, argv: list[str], least: Version, remedy: str) -> Fact:
    try:
        done = process.run(argv, timeout=30)
    except ProgramError as error:
        return fails(name, error)
    return judged(name, (done.stdout or done.stderr).strip(), least, remedy)
