"""Writing a deployment repository's files: `fairlead init`.

Beside the working files, the pristine tree goes to the branch `fairlead-scaffold`: what a later `init --update` needs
to tell the operator's edits from ours.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead.errors import FilesExist, ScaffoldError
from fairlead.scaffold.answers import Answers
from fairlead.scaffold.git import PRISTINE, Git
from fairlead.scaffold.render import RECORD, Record, render, unmatched_variables


@dataclass(frozen=True, slots=True)
class Written:
    """What init wrote: paths relative to the directory, and the image variables that the Compose template needs
    and no answer gives."""

    paths: tuple[str, ...]
    unmatched_variables: tuple[str, ...]


def write(directory: Path, answers: Answers) -> Written:
    """Write the scaffold into `directory`, made if needed, a git repository afterwards.

    Nothing is committed to the branch that is checked out. Raises InvalidAnswer, InvalidSetting, and FilesExist, which
    names every file that is in the way; then nothing has been written.
    """
    files = render(answers)
    _refuse_existing(directory, files)
    directory.mkdir(parents=True, exist_ok=True)
    git = Git(directory)
    git.init()
    _keep_pristine(git, files)
    _write_files(directory, files)
    return Written(tuple(files), tuple(unmatched_variables(files)))


def pristine_message(record: Record) -> str:
    """The message of a commit on `fairlead-scaffold`."""
    return (
        f"Scaffold of Fairlead {record.version}\n\n"
        "The files as `fairlead init` writes them, without any edit: the base of `fairlead init --update`.\n"
        f"Push this branch, never commit to it.\n\nFairlead-Scaffold: {record.version} {record.content}\n"
    )


def _refuse_existing(directory: Path, files: Iterable[str]) -> None:
    in_the_way = [path for path in files if os.path.lexists(directory / path)]
    in_the_way += sorted({str(link) for path in files for link in _not_folders(directory, path)})
    if in_the_way:
        raise FilesExist(
            f"{directory} already has {', '.join(in_the_way)}",
            why="init never overwrites; nothing was written",
            remedy="Move these away, or choose an empty directory; to bring a scaffold forward: fairlead init --update",
        )


def _not_folders(directory: Path, path: str) -> list[Path]:
    """Parents of a path, below the directory, that are links or files: writing through them would end elsewhere."""
    parents = [parent for parent in Path(path).parents if parent != Path()]
    return [p for p in parents if (directory / p).is_symlink() or (directory / p).is_file()]


def _keep_pristine(git: Git, files: Mapping[str, bytes]) -> None:
    """Commit the pristine tree; the same tree left by an interrupted init is taken as it is."""
    if tip := git.resolve(f"refs/heads/{PRISTINE}"):
        if git.read(tip, RECORD) == files[RECORD]:
            return
        raise FilesExist(
            f"{git.directory} already has the branch {PRISTINE}",
            why="It holds another scaffold; nothing was written",
            remedy=f"fairlead init --update, or, to begin anew: git branch --move {PRISTINE} {PRISTINE}-old",
        )
    commit = git.commit_pristine(git.tree(files), (), pristine_message(Record.parse(files[RECORD])))
    git.move({PRISTINE: (commit, None)})


def _write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    written: list[Path] = []
    try:
        for path, content in files.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                written.append(target)
                file.write(content)
    except OSError as error:
        for target in written:
            target.unlink(missing_ok=True)
        raise ScaffoldError(
            f"{error.filename or directory} cannot be written", why=error.strerror or "", remedy="Then init again"
        ) from error
