"""What the scaffold needs of git: pristine trees on a branch of their own, and a merge that touches no working tree.

Every function that names a command returns its words; `Git` runs them. Works with git 2.39 (`merge-tree --write-tree`
came with 2.38).
"""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairlead import process
from fairlead.errors import IdentityMissing, ProgramFailed

PRISTINE = "fairlead-scaffold"
REMOTE = "origin"
_NOWHERE = "0" * 40
_PATIENCE = 60.0  # seconds for a remote
# A hook or an outer git command may have left these; they would point at another repository.
_FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
_QUIET = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https:ssh:file"}
_SCAFFOLDER = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Fairlead"), ("EMAIL", "scaffold@fairlead.invalid"))
}


def commit_tree(tree: str, parents: Sequence[str], *, sign: bool = False) -> list[str]:
    """A commit of a tree; its message comes on standard input."""
    signing = ["-S"] if sign else ["--no-gpg-sign"]
    return ["commit-tree", *signing, *(word for parent in parents for word in ("-p", parent)), tree]


def merge_tree(ours: str, theirs: str) -> list[str]:
    """Merge two commits into a tree: exit code 1 and the files in conflict, NUL between them, where it cannot."""
    return ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", ours, theirs]


def fetch_branch(branch: str) -> list[str]:
    """The branch of the remote into its tracking branch."""
    return ["fetch", "--quiet", "--no-tags", REMOTE, f"+refs/heads/{branch}:refs/remotes/{REMOTE}/{branch}"]


def update_refs(updates: Mapping[str, tuple[str, str | None]]) -> str:
    """Input of `update-ref --stdin`, all branches or none: branch -> (new, old); old None: it must not exist yet."""
    lines = [f"update refs/heads/{name} {new} {old or _NOWHERE}" for name, (new, old) in updates.items()]
    return "".join(f"{line}\n" for line in ["start", *lines, "commit"])


def index_info(blobs: Mapping[str, str]) -> str:
    """Input of `update-index -z --index-info`: path -> blob."""
    return "".join(f"100644 {blob}\t{path}\0" for path, blob in blobs.items())


@dataclass(frozen=True, slots=True)
class Merged:
    """A merge's tree, and the files that it could not merge."""

    tree: str
    conflicts: tuple[str, ...]


class Git:
    """git in one directory: no prompts, no hooks, no other transport than https, ssh and files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def _run(
        self,
        words: Sequence[str],
        *,
        stdin: str | bytes = b"",
        environment: Mapping[str, str] | None = None,
        expect: Collection[int] = (0,),
        timeout: float | None = None,
    ) -> process.Completed:
        inherited = {name: value for name, value in process.inherited().items() if name not in _FOREIGN}
        return process.run(
            ["git", "-C", self.directory, "-c", "core.hooksPath=/dev/null", *words],
            stdin=stdin,
            environment={**inherited, **_QUIET, **(environment or {})},
            inherit=False,
            expect=expect,
            timeout=timeout,
        )

    def _line(self, words: Sequence[str], **how: object) -> str:
        return self._run(words, **how).stdout.strip()  # type: ignore[arg-type]

    def init(self) -> None:
        """Make a repository here, unless there is one; its branch is `main`."""
        if not (self.directory / ".git").exists():
            self._run(["init", "--quiet", "--initial-branch=main"])

    def resolve(self, revision: str) -> str | None:
        """The commit that a revision names, or None."""
        found = self._line(["rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"], expect=(0, 1, 128))
        return found or None

    def branch(self) -> str:
        """The branch that is checked out, also before its first commit; "" for a detached head."""
        return self._line(["symbolic-ref", "--quiet", "--short", "HEAD"], expect=(0, 1))

    def has_remote(self) -> bool:
        """Whether `origin` is known."""
        return REMOTE in self._line(["remote"]).splitlines()

    def add_remote(self, url: str) -> None:
        """Make `origin` this repository, unless there is an `origin`."""
        if not self.has_remote():
            self._run(["remote", "add", REMOTE, url])

    def fetch(self, branch: str) -> bool:
        """Fetch one branch of `origin`. False: the remote has no such branch, or does not answer."""
        return self._run(fetch_branch(branch), expect=(0, 1, 128), timeout=_PATIENCE).exit_code == 0

    def contains(self, commit: str, ancestor: str) -> bool:
        """Whether `ancestor` is in the history of `commit`."""
        return self._run(["merge-base", "--is-ancestor", ancestor, commit], expect=(0, 1)).exit_code == 0

    def history(self, commit: str) -> list[str]:
        """A commit and its first parents, newest first."""
        return self._line(["rev-list", "--first-parent", commit]).splitlines()

    def read(self, commit: str, path: str) -> bytes | None:
        """A file of a commit, or None where it has none."""
        done = self._run(["cat-file", "blob", f"{commit}:{path}"], expect=(0, 128))
        return done.stdout.encode() if done.exit_code == 0 else None

    def tree(self, files: Mapping[str, bytes]) -> str:
        """Store files, byte for byte, as a tree."""
        with tempfile.TemporaryDirectory(prefix="fairlead-scaffold-") as name:
            for number, content in enumerate(files.values()):
                (Path(name) / str(number)).write_bytes(content)
            paths = "".join(f"{name}/{number}\n" for number in range(len(files)))
            hashes = self._line(["hash-object", "-w", "--no-filters", "--stdin-paths"], stdin=paths).splitlines()
            index = {"GIT_INDEX_FILE": f"{name}/index"}
            blobs = index_info(dict(zip(files, hashes, strict=True)))
            self._run(["update-index", "-z", "--index-info"], stdin=blobs, environment=index)
            return self._line(["write-tree"], environment=index)

    def commit_pristine(self, tree: str, parents: Sequence[str], message: str) -> str:
        """A commit in Fairlead's own name: no person's identity, no signature."""
        return self._line(commit_tree(tree, parents), stdin=message, environment=_SCAFFOLDER)

    def commit(self, tree: str, parents: Sequence[str], message: str) -> str:
        """A commit in the operator's name, signed where git is told to sign. Raises IdentityMissing."""
        sign = self._line(["config", "--type=bool", "--default=false", "--get", "commit.gpgSign"]) == "true"
        try:
            self._run(["var", "GIT_COMMITTER_IDENT"])
        except ProgramFailed as error:
            raise IdentityMissing(
                "git does not know who you are", why=error.why, remedy="git config --global user.email you@example.com"
            ) from error
        return self._line(commit_tree(tree, parents, sign=sign), stdin=message)

    def merge(self, ours: str, theirs: str) -> Merged:
        """Merge without a working tree."""
        done = self._run(merge_tree(ours, theirs), expect=(0, 1))
        tree, *paths = done.stdout.rstrip("\0").split("\0")
        return Merged(tree.strip(), tuple(paths))

    def move(self, updates: Mapping[str, tuple[str, str | None]]) -> None:
        """Make or move branches, all or none. See `update_refs`."""
        self._run(["update-ref", "--stdin"], stdin=update_refs(updates))
