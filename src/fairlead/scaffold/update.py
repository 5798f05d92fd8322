"""Bringing an older scaffold forward: `fairlead init --update`.

A three-way merge of the files as they were shipped, the files as they are shipped now, and the operator's. The base is
found by the record in the operator's tree, so it is right also where an earlier update was never merged, and where
merging was by squash. git merges only what has an ancestor in common: a temporary commit of the operator's tree with
the old pristine commit as its parent gives it one (`merge-tree --merge-base` needs git 2.40).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import semver

from fairlead import __version__
from fairlead.errors import NotARepository, ScaffoldConflict, ScaffoldError, ScaffoldUnknown
from fairlead.scaffold.copy import pristine_message
from fairlead.scaffold.git import PRISTINE, REMOTE, Git, Merged
from fairlead.scaffold.render import FILES, RECORD, Record, render


@dataclass(frozen=True, slots=True)
class Update:
    """What an update gave. branch: where the result is, None when nothing was to do. commit: its commit."""

    before: str
    after: str
    branch: str | None = None
    commit: str | None = None


def update(directory: Path, *, source: Path = FILES, version: str = __version__) -> Update:
    """Merge the current scaffold with the operator's edits into a branch `fairlead-update-VERSION`.

    Works on the commit that is checked out; neither it, nor the index, nor the working tree is touched. source,
    version: the files to bring in.

    Raises NotARepository, ScaffoldUnknown, IdentityMissing, and ScaffoldConflict, which lists the files that a person
    must merge: then there is no result branch.
    """
    git = Git(directory)
    head = _head(git)
    old = _record(git, head)
    _refuse_older(old, version)
    files = render(old.answers, source=source, version=version)
    new = Record.parse(files[RECORD])
    if new == old:
        return Update(old.version, new.version)
    return _merge(git, head, old, new, files)


def _merge(git: Git, head: str, old: Record, new: Record, files: Mapping[str, bytes]) -> Update:
    branch = f"fairlead-update-{new.version}"
    _refuse_branch(git, branch)
    tip = _newest_pristine(git)
    base = _find(git, tip, old)
    pristine = _find_or_commit(git, tip, new, files)
    step = _one_step(git, base, pristine, new)
    graft = git.commit_pristine(f"{head}^{{tree}}", (base,), "The operator's tree, for one merge\n")
    merged = git.merge(graft, step)
    moved = {PRISTINE: (pristine, git.resolve(f"refs/heads/{PRISTINE}"))}
    if merged.conflicts:
        git.move(moved)
        raise _conflict(merged, step, branch)
    commit = git.commit(merged.tree, (head,), _message(old, new))
    git.move({**moved, branch: (commit, None)})
    return Update(old.version, new.version, branch, commit)


def _head(git: Git) -> str:
    top = git.directory / ".git"
    head = git.resolve("HEAD") if top.exists() else None
    if head is None:
        raise NotARepository(
            f"{git.directory} is not the root of a git repository with a commit",
            remedy="Call it in the deployment repository, with the scaffold committed: git add --all && git commit",
        )
    return head


def _record(git: Git, commit: str) -> Record:
    content = git.read(commit, RECORD)
    if content is None:
        raise ScaffoldUnknown(
            f"The commit that is checked out in {git.directory} has no {RECORD}",
            why="Only what fairlead init wrote can be updated",
            remedy="Check out the deployment branch, or write a new repository: fairlead init DIRECTORY",
        )
    return Record.parse(content)


def _refuse_older(old: Record, version: str) -> None:
    if semver.Version.parse(version) < semver.Version.parse(old.version):
        raise ScaffoldUnknown(
            f"The scaffold is from Fairlead {old.version}, and this is {version}",
            remedy=f"Update Fairlead first: pip install 'fairlead>={old.version}'",
        )


def _refuse_branch(git: Git, branch: str) -> None:
    if git.resolve(f"refs/heads/{branch}"):
        raise ScaffoldError(
            f"The branch {branch} is there already",
            why="An earlier update made it",
            remedy=f"Merge it, or remove it and update again: git branch --delete --force {branch}",
        )


def _newest_pristine(git: Git) -> str:
    """The tip of `fairlead-scaffold`, here or at the remote: the one that contains the other."""
    if git.has_remote():
        git.fetch(PRISTINE)
    local, remote = (git.resolve(f"refs/{place}/{PRISTINE}") for place in ("heads", f"remotes/{REMOTE}"))
    tip = remote if local is None or (remote and git.contains(remote, local)) else local
    if tip is None:
        raise ScaffoldUnknown(
            f"There is no branch {PRISTINE}, neither here nor at {REMOTE}",
            why="It holds the files as they were shipped, without which your edits cannot be told from ours",
            remedy=f"In the clone where fairlead init ran: git push {REMOTE} {PRISTINE}",
        )
    return tip


def _find(git: Git, tip: str, record: Record) -> str:
    """The pristine commit that a record tells of."""
    for commit in git.history(tip):
        if git.read(commit, RECORD) == record.to_bytes():
            return commit
    raise ScaffoldUnknown(
        f"The branch {PRISTINE} has no scaffold of Fairlead {record.version} with {record.content[:19]}",
        why=f"{RECORD} was edited, or an update was merged whose {PRISTINE} was not pushed",
        remedy=f"In the clone where fairlead init --update ran: git push {REMOTE} {PRISTINE}",
    )


def _find_or_commit(git: Git, tip: str, record: Record, files: Mapping[str, bytes]) -> str:
    if git.read(tip, RECORD) == files[RECORD]:
        return tip
    return git.commit_pristine(git.tree(files), (tip,), pristine_message(record))


def _one_step(git: Git, base: str, pristine: str, record: Record) -> str:
    """The new scaffold as one commit on the base, whatever lies between: what a person can cherry-pick."""
    if git.history(pristine)[1:2] == [base]:
        return pristine
    return git.commit_pristine(f"{pristine}^{{tree}}", (base,), pristine_message(record))


def _message(old: Record, new: Record) -> str:
    return (
        f"build: bring the scaffold from Fairlead {old.version} to {new.version}\n\n"
        "What fairlead init writes today, merged with the edits of this repository.\n"
    )


def _conflict(merged: Merged, step: str, branch: str) -> ScaffoldConflict:
    return ScaffoldConflict(
        f"Both you and the new scaffold changed the same lines of {', '.join(merged.conflicts)}",
        why="Your branch, index and working tree are as they were",
        remedy=f"Merge these by hand: git switch --create {branch} && git cherry-pick {step}",
    )
