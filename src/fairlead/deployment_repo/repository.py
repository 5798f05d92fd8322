"""The deployment repository: read commits, make commits, push them; never by way of the working tree.

A commit is made from git's objects: the new bytes go into `git fast-import`, the resulting tree into `git commit-tree`.
A kill at any point leaves objects that nothing names. The push is a compare-and-set: it names the head that it was
made on (`--force-with-lease=<branch>:<head>`), so a branch that moved or was rewound refuses it.
"""

import contextlib
import fcntl
import re
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TextIO

from fairlead.deployment_repo import plain
from fairlead.deployment_repo.git import (
    ANY_EXIT,
    NETWORK_TIMEOUT,
    NO_ACCESS,
    Access,
    Git,
    GitUrl,
    branch_name,
    commit_id,
    local_failure,
    remote_failure,
)
from fairlead.errors import (
    Busy,
    IdentityMissing,
    NotARepository,
    ProgramTimedOut,
    RemoteDenied,
    RepositoryError,
    RewrittenHistory,
    SigningFailed,
    UnsafePath,
    UsageError,
)
from fairlead.process import Completed

NOTES = "refs/notes/fairlead"
LOOSE_OBJECTS = 6700  # git's own limit before it packs them (git-config(1), gc.auto)
RECENT = 500  # commits in which a run looks for its own
_REMOTE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", re.ASCII)
_TREE, _LINK, _SUBMODULE = "40000", "120000", "160000"
_POLL = 0.02  # seconds between two looks at the lock
_LONGEST_FILE = 16 * 1024 * 1024
# A push that lost the race, by git itself or by the server's own lock.
_LOST = re.compile(
    r"\[rejected\]|\[remote rejected\].*(cannot lock ref|failed to (update|lock) ref|incorrect old value"
    r"|reference already exists|fetch first|non-fast-forward)",
    re.IGNORECASE,
)
# A fetch that lost it here, to a git that knows no lock of ours: a person's, or a push that moves its tracking ref.
_MOVED = "cannot lock ref"
_NO_IDENTITY = re.compile(
    r"tell me who you are|empty ident name|auto-detection is disabled|no email was given|no name was given|"
    r"unable to auto-detect|name consists only of disallowed",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit's id and its message."""

    id: str
    message: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a commit. mode: git's, 100644 or 100755."""

    content: bytes
    mode: str = "100644"


Look = Entry | UnsafePath | None


@dataclass(frozen=True)
class Repository:
    """One clone of the deployment repository and the branch that Fairlead works on.

    common: git's common directory, which holds the lock. checkout: the operator's working tree, or None for a clone
    of our own and for bare repositories. signing: whether git's configuration asks for signed commits. address: of a
    clone of our own. patience: seconds to wait for another process that fetches in this clone.
    """

    git: Git
    common: Path
    branch: str
    remote: str
    checkout: Path | None
    signing: bool
    address: str = ""
    patience: float = 2 * NETWORK_TIMEOUT

    @classmethod
    def open(cls, path: Path, branch: str = "main", remote: str = "origin", access: Access = NO_ACCESS) -> Self:
        """The repository at `path`: a working copy, a CI checkout (shallow, detached) or a bare clone.

        Raises NotARepository where there is none or it has no such remote.
        """
        branch_name(branch)
        if not _REMOTE.fullmatch(remote):
            raise UsageError(f"{plain.one_line(remote)!r} is not a remote's name", remedy="git remote")
        git = Git(path, access)
        common, inside, up = _places(git)
        settings = _settings(git, remote)
        urls = tuple(url for name in ("url", "pushurl") for url in settings.get(f"remote.{remote}.{name}", ()))
        if not urls:
            raise NotARepository(
                f"{path} has no remote {remote}",
                why="Pins are pushed to a remote and fetched from it",
                remedy=f"git -C {path} remote add {remote} URL",
            )
        top = (path / up).resolve() if inside else path
        git = replace(git, directory=top, urls=urls, own_ssh="core.sshcommand" in settings)
        signing = settings.get("commit.gpgsign", ("false",))[-1].lower() in ("true", "yes", "on", "1", "")
        return cls(git, common, branch, remote, top if inside else None, signing)

    @classmethod
    def clone(cls, url: GitUrl, directory: Path, branch: str = "main", access: Access = NO_ACCESS) -> Self:
        """Our own bare clone of `url` in `directory`, made if need be and fetched. Every step can be repeated."""
        if url.password:
            raise NotARepository(
                f"The address {url} holds a password",
                why="It would be stored in a file of the clone",
                remedy="Remove it from the address and give it as a control secret",
            )
        directory.mkdir(parents=True, exist_ok=True)
        git = Git(directory)
        if not _is_clone(git, url):
            with cls(git, directory, branch, "origin", None, signing=False, address=str(url))._lock():
                _make_clone(git, url)
        repository = replace(cls.open(directory, branch, "origin", access), address=str(url))
        repository.fetch()
        repository.tidy()
        return repository

    @property
    def place(self) -> str:
        """What people call the remote: its name in their checkout, or the address of which we keep a clone."""
        return self.address or self.remote

    @property
    def tracking(self) -> str:
        """The ref that remembers the remote's branch: our own, so that nobody's fetch settings matter."""
        return f"refs/fairlead/{self.remote}/{self.branch}"

    # ---- from the remote

    def fetch(self) -> None:
        """Bring the branch and the proof notes; deepen a shallow clone to its full history.

        Raises RewrittenHistory when the branch was rewritten since the last fetch here, RemoteUnreachable,
        RemoteDenied, NotARepository (no such branch).
        """
        with self._lock():
            completed = self._fetch()
            if _MOVED in completed.stderr:
                completed = self._fetch()
        if completed.exit_code:
            raise self._fetch_failure(completed)

    def _fetch(self) -> Completed:
        return self.git.talk(*fetch_argv(self.remote, self.branch, self.tracking, shallow=self.is_shallow))

    def _fetch_failure(self, completed: Completed) -> RepositoryError:
        if "(non-fast-forward)" in completed.stderr:
            return RewrittenHistory(
                f"The branch {self.branch} of {self.place} was rewritten",
                why="What was its head is no longer in its history, so releases and fences no longer hold",
                remedy=f"If that was meant: git -C {self.git.directory} update-ref -d {self.tracking}, then reset the "
                "fence",
            )
        return remote_failure("fetch", self.place, completed)

    @property
    def is_shallow(self) -> bool:
        """Whether history is cut short, as in most CI checkouts."""
        return (self.common / "shallow").exists()

    # ---- reading commits

    def head(self) -> str:
        """The remote branch's commit as of the last fetch. Raises NotARepository before the first one."""
        return self.resolve(self.tracking)

    def resolve(self, name: str) -> str:
        """The full id of a commit that a person named: an id, its beginning, a branch, `HEAD~1`."""
        found = self.git.run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", expect=(0, 1, 128)
        )
        if found.exit_code:
            raise NotARepository(
                f"{plain.one_line(name)!r} is no commit of this repository",
                remedy="git log --oneline shows the commits that are there",
            )
        return found.stdout.strip()

    def recent(self, limit: int = RECENT) -> Sequence[Commit]:
        """The head and the commits before it with their messages, newest first."""
        output = self.git.run("log", f"--max-count={limit}", "-z", "--format=%H%n%B", "--end-of-options", self.tracking)
        records = (record.partition("\n") for record in output.stdout.split("\0") if record)
        return [Commit(identifier, message) for identifier, _, message in records]

    def read(self, commit: str, path: str) -> bytes | None:
        """A file's bytes in a commit, None where there is none. Raises UnsafePath for links and submodules."""
        entry = self.entry(commit, path)
        return entry.content if entry else None

    def entry(self, commit: str, path: str) -> Entry | None:
        """A file with its mode. Raises UnsafePath."""
        return self.entries(commit, [path])[0]

    def entries(self, commit: str, paths: Sequence[str]) -> list[Entry | None]:
        """Several files of one commit, by one process. Raises UnsafePath."""
        found: list[Entry | None] = []
        for look in self.look([(commit, path) for path in paths]):
            if isinstance(look, UnsafePath):
                raise look
            found.append(look)
        return found

    def look(self, places: Sequence[tuple[str, str]]) -> list[Look]:
        """The files at (commit, path) places, by one process; the error in the place of what must not be read."""
        asked = [name for commit, path in places for name in _levels(commit_id(commit), path)]
        given = self.git.run("cat-file", "--batch", "--buffer", stdin="\n".join(asked) + "\n", encoding="latin-1")
        objects = dict(zip(asked, _objects(given.stdout.encode("latin-1"), len(asked)), strict=True))
        return [_entry(objects, commit, path) for commit, path in places]

    def changed_paths(self, old: str, new: str) -> list[str]:
        """The paths that differ between two commits' trees; a rename is two of them."""
        words = ("diff-tree", "-r", "-z", "--no-renames", "--name-only", commit_id(old), commit_id(new))
        return [path for path in self.git.run(*words).stdout.split("\0") if path]

    def touched_paths(self, old: str, new: str) -> list[str]:
        """The paths that any commit after `old`, up to `new`, changed, also where a later one took that back."""
        words = ("log", "-z", "--format=", "--no-renames", "--name-only", "--diff-merges=first-parent")
        output = self.git.run(*words, f"{commit_id(old)}..{commit_id(new)}", "--").stdout
        return sorted({path for path in output.replace("\0\n", "\0").split("\0") if path})

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `old` is `new` or in its history."""
        words = ("merge-base", "--is-ancestor", commit_id(old), commit_id(new))
        return self.git.run(*words, expect=(0, 1)).exit_code == 0

    def fence(self, commit: str) -> int:
        """The number of commits in `commit`'s history, itself included.

        It grows with every commit that a push may add. (`--first-parent` would not: a merge made the other way round,
        as `git pull` does, can make it smaller.) Raises RepositoryError where history is cut short.
        """
        if self.is_shallow:
            raise RepositoryError(
                f"{self.git.directory} is a shallow clone",
                why="A fence counts the whole history",
                remedy="git fetch --unshallow",
            )
        return int(self.git.run("rev-list", "--count", commit_id(commit)).stdout)

    def export(self, commit: str, directory: Path) -> None:
        """The files of a commit, in `directory`, as a clean checkout would have them.

        Raises UnsafePath for links that leave the repository; submodules are left empty.
        """
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fairlead-", dir=directory.parent) as private:
            archive = Path(private) / "tree.tar"
            self.git.run("archive", "--format=tar", f"--output={archive}", commit_id(commit))
            with tarfile.open(archive, "r:") as tar:
                _extract(tar, directory, commit)

    # ---- making commits

    def commit(self, parent: str, files: Mapping[str, Entry | None], message: str) -> str:
        """A commit on `parent` in which `files` have these contents (None: are gone); nothing refers to it until it is
        pushed.

        Read a file before changing it: reading is what refuses links and keeps the mode.
        Author, committer and signing come from git's configuration. Raises IdentityMissing, SigningFailed, UnsafePath.
        """
        edits = [_edit(check_path(path), entry) for path, entry in files.items()]
        return self._commit(parent, edits, message, digits=len(parent), sign=self.signing)

    def commit_note(self, parent: str | None, commit: str, text: str, message: str) -> str:
        """A commit of the notes ref on `parent` in which `commit`'s note is `text`."""
        edit = _data(f"N inline {commit_id(commit)}", text.encode())
        return self._commit(parent, [edit], message, digits=len(commit), sign=False)

    def _commit(self, parent: str | None, edits: Sequence[bytes], message: str, *, digits: int, sign: bool) -> str:
        stream = import_stream(uuid.uuid4().hex, parent, edits, digits)
        draft = self.git.run("fast-import", "--quiet", stdin=stream)
        tree = f"{commit_id(draft.stdout.strip())}^{{tree}}"
        words = ["commit-tree", *(["-S"] if sign else []), *(["-p", parent] if parent else []), "-F", "-", tree]
        made = self.git.run(*words, stdin=message, expect=ANY_EXIT)
        if made.exit_code:
            raise _commit_failure(made, sign=sign)
        return made.stdout.strip()

    def push(self, commit: str, expected: str) -> bool:
        """Make `commit` the branch's head if that is still `expected`. False: someone else was first.

        `head()` knows of it after the next fetch. Raises RemoteDenied (also for a protected branch or a server's hook)
        and RemoteUnreachable.
        """
        return self._push(commit, expected, f"refs/heads/{self.branch}")

    def push_notes(self, commit: str, expected: str | None) -> bool:
        """Make `commit` the head of the notes ref if that is still `expected`. False: someone else was first."""
        if not self._push(commit, expected or "", NOTES):
            return False
        # So that it can be read at once; a fetch that was quicker is right. Who waits in vain has pushed nonetheless.
        with contextlib.suppress(Busy), self._lock():
            self.git.run("update-ref", NOTES, commit, expected or "0" * len(commit), expect=(0, 128))
        return True

    def notes_head(self) -> str | None:
        """The notes ref as of the last fetch."""
        found = self.git.run("rev-parse", "--verify", "--quiet", NOTES, expect=(0, 1))
        return found.stdout.strip() or None

    def _push(self, commit: str, expected: str, ref: str) -> bool:
        completed = self.git.talk(*push_argv(self.remote, commit_id(commit), ref, expected))
        words = completed.stdout + completed.stderr
        if completed.exit_code == 0:
            return True
        if _LOST.search(words):
            return False
        if "[remote rejected]" in words:
            raise _rejected(ref, self.place, completed)
        raise remote_failure("push", self.place, completed)

    def tidy(self) -> None:
        """Let git pack what has gathered, at the numbers at which it would do so by itself; else git would be slower
        with every release. It is never a reason to fail.
        """
        with contextlib.suppress(RepositoryError, ProgramTimedOut):
            self.git.run("-c", f"gc.auto={LOOSE_OBJECTS}", "gc", "--auto", "--quiet")

    # ---- the operator's checkout

    def catch_up(self, commit: str) -> str:
        """Bring the operator's checkout to `commit` when it is on the branch and clean; else say how, or "".

        Never touches files with uncommitted changes. A detached checkout and one of another branch stay as they are.
        """
        if not self.checkout:
            return ""
        status = self.git.run("status", "--porcelain=v2", "--branch", "--untracked-files=no", "-z").stdout.split("\0")
        if f"# branch.head {self.branch}" not in status:
            return ""
        by_hand = f"git pull --ff-only {self.remote} {self.branch}"
        if any(line and not line.startswith("# ") for line in status):
            return f"This checkout has uncommitted changes and was left alone. To catch up: {by_hand}"
        merged = self.git.run("merge", "--ff-only", "--quiet", commit_id(commit), expect=ANY_EXIT)
        if merged.exit_code == 0:
            return ""
        return f"This checkout was left alone: {plain.one_line(merged.stderr)} To catch up: git pull --rebase"

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """One writer of refs at a time in this clone: two at once would fail on each other's locks. Raises Busy."""
        path = self.common / "fairlead.lock"
        end = time.monotonic() + self.patience
        with path.open("a") as file:
            while not _taken(file):
                if time.monotonic() >= end:
                    raise Busy(
                        f"{self.git.directory}: another Fairlead has fetched in this clone for {self.patience:g} s",
                        why=f"It holds {path} and was perhaps stopped (SIGSTOP) or cannot reach {self.place}",
                        remedy=f"fuser -v {path}",
                    )
                time.sleep(_POLL)
            yield


def _is_clone(git: Git, url: GitUrl) -> bool:
    """Whether a clone of this address was made here, to the end: the address is written last."""
    words = ("config", "--file", str(git.directory / "config"), "--get-all", "remote.origin.url")
    said = git.run(*words, expect=(0, 1)).stdout
    return said == f"{url.text}\n" and (git.directory / "HEAD").is_file()


def _make_clone(git: Git, url: GitUrl) -> None:
    """An empty clone, also where the making of one was killed. For the holder of the clone's lock."""
    for left in ("HEAD.lock", "config.lock"):
        (git.directory / left).unlink(missing_ok=True)
    git.run("init", "--quiet", "--bare")
    git.run("config", "--replace-all", "remote.origin.url", url.text)


def _taken(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def fetch_argv(remote: str, branch: str, tracking: str, *, shallow: bool) -> list[str]:
    """The branch only by fast-forward, so that a rewrite is seen; the notes as the remote has them, if it has any."""
    return [
        "fetch",
        "--no-progress",  # not --quiet, which hides that a branch was rewritten
        "--no-tags",
        "--no-recurse-submodules",
        "--no-write-fetch-head",
        "--refmap=",
        *(["--unshallow"] if shallow else []),
        "--",
        remote,
        f"refs/heads/{branch}:{tracking}",
        f"+{NOTES}*:{NOTES}*",
    ]


def push_argv(remote: str, commit: str, ref: str, expected: str) -> list[str]:
    """A compare-and-set: the ref becomes `commit` only if it is `expected` ("": does not exist)."""
    lease = f"--force-with-lease={ref}:{expected}"
    return ["push", "--quiet", "--porcelain", "--no-verify", lease, "--", remote, f"{commit}:{ref}"]


def import_stream(name: str, parent: str | None, edits: Sequence[bytes], digits: int = 40) -> bytes:
    """What `git fast-import` reads to write the edited tree and print the id of a draft commit that has it.

    digits: of the repository's ids, 40 or 64. The draft's ref is deleted in the same stream, so it never exists on
    disk. (git-fast-import(1), "reset".)
    """
    ref = f"refs/fairlead/draft-{name}"
    start = [f"commit {ref}", "mark :1", "committer Fairlead <fairlead@localhost> 0 +0000", "data 0"]
    start += [f"from {commit_id(parent)}"] if parent else []
    end = ["get-mark :1", f"reset {ref}", f"from {'0' * digits}", ""]
    return b"".join([_lines(start), *edits, _lines(end)])


def _extract(tar: tarfile.TarFile, directory: Path, commit: str) -> None:
    """Write a tree's files, then follow each link: it may lead nowhere, but not out. Raises UnsafePath.

    tarfile's own filters exist only since Python 3.11.4, and Debian 12 has 3.11.2. A git tree cannot put a file below a
    link, so that a link does no harm before it is followed.
    """
    root = directory.resolve()
    members = tar.getmembers()
    _refuse_way_out((member.name for member in members if ".." in Path(member.name).parts), commit)
    tar.extraction_filter = lambda member, _: member  # the checks before and after are the filter
    tar.extractall(directory)  # noqa: S202
    links = (member.name for member in members if member.issym())
    _refuse_way_out((link for link in links if not (root / link).resolve().is_relative_to(root)), commit)


def _refuse_way_out(paths: Iterator[str], commit: str) -> None:
    for path in paths:
        raise UnsafePath(
            f"{path} at {commit[:12]} leads out of the repository",
            why="A link or path that leaves the repository is not deployed",
            remedy="Replace it by the file itself",
        )


def _lines(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _edit(path: str, entry: Entry | None) -> bytes:
    """One file's change, as `git fast-import` reads it."""
    return _data(f"M {entry.mode} inline {path}", entry.content) if entry else f"D {path}\n".encode()


def _data(command: str, content: bytes) -> bytes:
    return f"{command}\ndata {len(content)}\n".encode() + content + b"\n"


def _places(git: Git) -> tuple[Path, bool, str]:
    """git's common directory, whether there is a working tree here, and the way up to its top."""
    words = ("rev-parse", "--path-format=absolute", "--git-common-dir", "--is-inside-work-tree", "--show-cdup")
    common, inside, *up = git.run(*words).stdout.split("\n")
    return Path(common), inside == "true", up[0] if up else ""


def _settings(git: Git, remote: str) -> dict[str, tuple[str, ...]]:
    """The few settings of git that matter here; names in lower case, as git prints them."""
    wanted = rf"^(commit\.gpgsign|core\.sshcommand|remote\.{re.escape(remote)}\.(push)?url)$"
    output = git.run("config", "-z", "--get-regexp", wanted, expect=(0, 1)).stdout
    found: dict[str, tuple[str, ...]] = {}
    for record in output.split("\0"):
        name, _, value = record.partition("\n")
        found[name] = (*found.get(name, ()), value)
    return found


def check_path(path: str) -> str:
    """A path inside the repository, with `/` between plain names. Raises UnsafePath."""
    parts = path.split("/")
    plain_names = all(part not in ("", ".", "..") and part.lower() != ".git" for part in parts)
    if not plain_names or not path.isprintable() or '"' in path or "\\" in path:
        raise UnsafePath(f"{plain.one_line(path)!r} is not a path inside the repository")
    return path


def _levels(commit: str, path: str) -> list[str]:
    """The names of every tree on the way to a file, and of the file, for `git cat-file`."""
    parts = check_path(path).split("/")
    return [f"{commit}:{'/'.join(parts[:depth])}" for depth in range(len(parts) + 1)]


def _objects(output: bytes, count: int) -> Iterator[bytes | None]:
    """The contents in `git cat-file --batch` output, in order; None for what is not there."""
    position = 0
    for _ in range(count):
        end = output.index(b"\n", position)
        header = output[position:end].rsplit(b" ", 2)
        position = end + 1
        if len(header) == 3 and header[1] in (b"blob", b"tree") and header[2].isdigit():
            size = int(header[2])
            yield output[position : position + size]
            position += size + 1
        else:
            yield None


def _entry(objects: Mapping[str, bytes | None], commit: str, path: str) -> Look:
    """Walk down from the root tree, so that a link on the way is seen and never followed."""
    names, parts = _levels(commit, path), path.split("/")
    hash_size = len(commit) // 2
    for depth, part in enumerate(parts):
        tree = objects[names[depth]]
        mode = _modes(tree, hash_size).get(part) if tree is not None else None
        last = depth == len(parts) - 1
        if mode in (_LINK, _SUBMODULE):
            return _unsafe("/".join(parts[: depth + 1]), commit, "submodule" if mode == _SUBMODULE else "symbolic link")
        if mode is None or (mode == _TREE) == last:
            return None
        if last and (content := objects[names[-1]]) is not None:
            return _checked(Entry(content, mode), path, commit)
    return None


def _modes(tree: bytes, hash_size: int) -> dict[str, str]:
    """Names and modes in a tree object: `mode SP name NUL hash`, over and over (git's object format)."""
    modes: dict[str, str] = {}
    position = 0
    while position < len(tree):
        end = tree.index(b"\0", position)
        mode, _, name = tree[position:end].partition(b" ")
        modes[name.decode("utf-8", "surrogateescape")] = mode.decode("ascii")
        position = end + 1 + hash_size
    return modes


def _checked(entry: Entry, path: str, commit: str) -> Look:
    if len(entry.content) > _LONGEST_FILE:
        return UnsafePath(f"{path} at {commit[:12]} has {len(entry.content)} bytes", why="Files up to 16 MiB are read")
    return entry


def _unsafe(path: str, commit: str, kind: str) -> UnsafePath:
    return UnsafePath(
        f"{path} at {commit[:12]} is a {kind}",
        why="Fairlead reads and writes only plain files inside the repository",
        remedy=f"Replace it by the file itself: git rm --cached {path}, then add the file",
    )


def _commit_failure(completed: Completed, *, sign: bool) -> RepositoryError:
    words = plain.lines(completed.stderr)
    if _NO_IDENTITY.search(completed.stderr):
        return IdentityMissing(
            "git does not know who commits",
            why=words,
            remedy="git config user.name NAME && git config user.email ADDRESS, or set GIT_AUTHOR_NAME, "
            "GIT_AUTHOR_EMAIL, GIT_COMMITTER_NAME and GIT_COMMITTER_EMAIL",
        )
    if sign:
        return SigningFailed(
            "git is to sign commits and cannot; nothing was committed",
            why=words,
            remedy="Try it by hand: git commit-tree -S HEAD^{tree} -m test. "
            "Look at user.signingkey, gpg.format and gpg.program",
        )
    return local_failure("commit-tree", completed)


def _rejected(ref: str, remote: str, completed: Completed) -> RemoteDenied:
    """The server's own no. Its words come first: they name the rule."""
    said = [line.removeprefix("remote: ") for line in completed.stderr.splitlines() if line.startswith("remote:")]
    reason = re.search(r"\[remote rejected\] \((.*)\)", completed.stdout + completed.stderr)
    words = plain.lines("\n".join([*said, reason[1] if reason else completed.stdout]))
    return RemoteDenied(
        f"{remote} refuses the push to {ref.removeprefix('refs/heads/')}",
        why=words,
        remedy="Allow this account to push to the branch (branch protection, hooks); nothing was changed",
    )
