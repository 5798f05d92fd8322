"""The lab's git server: bare repositories in its directory, reached by path."""

import re
from pathlib import Path

from fairlead import process
from fairlead.errors import LabUsage

BRANCH = "main"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}", re.ASCII)


def init_argv(path: Path) -> list[str]:
    """Make a bare repository; harmless where there is one."""
    return ["git", "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", "--", str(path)]


def ensure(directory: Path, name: str) -> str:
    """The URL of the bare repository `name`, made if it is not there."""
    if not _NAME.fullmatch(name):
        raise LabUsage(
            f"{name!r} is no name for a repository", remedy="Use letters, digits and dashes, for example: deployment"
        )
    path = directory / "git" / f"{name}.git"
    process.run(init_argv(path), timeout=30)
    return str(path)


def all_of(directory: Path) -> dict[str, str]:
    """Name and URL of every repository of the lab."""
    return {path.stem: str(path) for path in sorted((directory / "git").glob("*.git"))}
