"""git as a program: its argv, its environment, and what its refusals mean.

Only https, ssh and file are spoken; nothing prompts; hooks and submodules are off. What the operator's own git
configuration says about identity, signing, credential helpers and ssh stays in force.
"""

import base64
import contextlib
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from fairlead.config.secrets import Secret
from fairlead.deployment_repo import plain
from fairlead.errors import NotARepository, RemoteDenied, RemoteUnreachable, RepositoryError, UsageError
from fairlead.process import NO_SECRETS, Completed, Mask, inherited, run

NETWORK_TIMEOUT = 120.0  # seconds for one fetch or push
LOCAL_TIMEOUT = 60.0
ANY_EXIT = range(256)
PROTOCOLS = "https:ssh:file"
_HEADER = "GIT_AUTHORIZATION_HEADER"

_SETTINGS: Mapping[str, str] = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.quotePath": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "push.recurseSubmodules": "no",
    "push.followTags": "false",
    # Housekeeping runs when a release is proven (Repository.tidy), not in the middle of it.
    "gc.auto": "0",
    "gc.autoDetach": "false",
    "maintenance.auto": "false",
    "i18n.commitEncoding": "utf-8",
    "i18n.logOutputEncoding": "utf-8",
    "log.showSignature": "false",
    "log.mailmap": "false",
    "color.ui": "false",
    # bytes per second, seconds: a server that stalls is given up
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
}
_ENVIRONMENT: Mapping[str, str] = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": PROTOCOLS,
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
    "LANGUAGE": "",
}
# `git rev-parse --local-env-vars` without configuration: they would lead git to another repository than the one named.
_ELSEWHERE = frozenset({
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE",
    "GIT_IMPLICIT_WORK_TREE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NOTES_REF", "GIT_EXTERNAL_DIFF", "GIT_SSL_NO_VERIFY",
})  # fmt: skip

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_BRANCH = re.compile(r"(?!.*(\.\.|//|/\.|\.lock(/|$)|[./]$))[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}", re.ASCII)
_URL = re.compile(
    r"(https|ssh)://([^\s@/]+@)?[A-Za-z0-9\[][^\s/]*/\S*"
    r"|file:///\S*"
    r"|[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:(?!-)\S+"
    r"|/[^\x00-\x1f]*",
    re.ASCII,
)


def commit_id(text: str) -> str:
    """A full commit id as git prints it. Raises UsageError."""
    if not _COMMIT.fullmatch(text):
        raise UsageError(
            f"{plain.one_line(text)!r} is not a full commit id",
            why="A commit is named by its 40 (or 64) hexadecimal digits",
            remedy="git rev-parse COMMIT",
        )
    return text


def branch_name(text: str) -> str:
    """A branch's name that cannot be read as an option or a range. Raises UsageError."""
    if not _BRANCH.fullmatch(text):
        raise UsageError(f"{plain.one_line(text)!r} is not a branch's name", remedy="Write a name such as main")
    return text


@dataclass(frozen=True, slots=True)
class GitUrl:
    """An address that git may use: https, ssh or a path. Variables in it stay literal; no helper program runs."""

    text: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address. Raises NotARepository for `ext::`, options and other protocols."""
        if not _URL.fullmatch(text):
            raise NotARepository(
                f"{plain.one_line(_without_password(text))!r} is not an address that git may use",
                why="Only https, ssh and files are spoken",
                remedy="Write https://host/team/repository.git, ssh://git@host/…, git@host:… or an absolute path",
            )
        return cls(text)

    @property
    def password(self) -> str | None:
        """The password in the address, which git hosts put there for their own runners."""
        return _password(self.text)

    def __str__(self) -> str:
        return _without_password(self.text)


def _password(text: str) -> str | None:
    with contextlib.suppress(ValueError):
        return urlsplit(text).password or None
    return None


def _without_password(text: str) -> str:
    return re.sub(r"^([a-z]+://)[^/@]*@", r"\1", text)


@dataclass(frozen=True, slots=True)
class Access:
    """What reaching the remote needs beyond git's own configuration; all control secrets.

    ca: PEM file of the site's authority. ssh_key, known_hosts: files for ssh; with a key, only that key is offered.
    """

    username: str = "git"
    password: Secret | None = None
    ca: Path | None = None
    ssh_key: Path | None = None
    known_hosts: Path | None = None


NO_ACCESS = Access()


@dataclass(frozen=True)
class Git:
    """Runs git in one directory. urls: the remote's addresses as configured, for the header and for the mask.

    own_ssh: whether git's configuration names the ssh program to use.
    """

    directory: Path
    access: Access = NO_ACCESS
    urls: tuple[str, ...] = ()
    own_ssh: bool = False

    def argv(self, *words: str) -> list[str]:
        """git's whole command line. Operands from outside belong behind `--` or `--end-of-options`."""
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        return ["git", "-C", str(self.directory), *settings, *self._credentials(), *words]

    def _credentials(self) -> Iterator[str]:
        """The password travels in the environment and goes to the remote's own host only."""
        if self.access.password:
            for url in self.urls:
                if url.startswith("https://"):
                    yield f"--config-env=http.https://{_host(url)}/.extraHeader={_HEADER}"

    def environment(self) -> dict[str, str]:
        """The child's whole environment: what Fairlead inherited, without what leads git elsewhere."""
        kept = {name: value for name, value in inherited().items() if name not in _ELSEWHERE}
        return {**kept, **_ENVIRONMENT, **self._ssh(kept), **self._https()}

    def _ssh(self, kept: Mapping[str, str]) -> dict[str, str]:
        if self.access.ssh_key or self.access.known_hosts:
            return {"GIT_SSH_COMMAND": shlex.join(ssh_argv(self.access))}
        chosen = self.own_ssh or "GIT_SSH_COMMAND" in kept or "GIT_SSH" in kept
        return {} if chosen else {"GIT_SSH_COMMAND": shlex.join(ssh_argv(self.access))}

    def _https(self) -> dict[str, str]:
        variables = {"GIT_SSL_CAINFO": str(self.access.ca)} if self.access.ca else {}
        if self.access.password:
            pair = f"{self.access.username}:{self.access.password.reveal()}".encode()
            variables[_HEADER] = f"Authorization: Basic {base64.b64encode(pair).decode()}"
        return variables

    def run(
        self,
        *words: str,
        stdin: str | bytes = b"",
        expect: Collection[int] = (0,),
        encoding: str = "utf-8",
    ) -> Completed:
        """Run git on the repository itself. Raises RepositoryError with git's words for any other exit code.

        Nothing is masked: what comes back is content that may be committed again.
        """
        completed = self._run(words, LOCAL_TIMEOUT, NO_SECRETS, stdin, encoding)
        if completed.exit_code not in expect:
            raise local_failure(words[0], completed)
        return completed

    def talk(self, *words: str) -> Completed:
        """Run git against the remote, with the time and the masking that this needs; any exit code comes back."""
        return self._run(words, NETWORK_TIMEOUT, self.mask())

    def _run(
        self, words: Sequence[str], timeout: float, mask: Mask, stdin: str | bytes = b"", encoding: str = "utf-8"
    ) -> Completed:
        return run(
            self.argv(*words),
            environment=self.environment(),
            inherit=False,
            stdin=stdin,
            mask=mask,
            timeout=timeout,
            expect=ANY_EXIT,
            encoding=encoding,
        )

    def mask(self) -> Mask:
        """Hides the passwords that this repository is reached with."""
        secrets = {word for url in self.urls if (raw := _password(url)) for word in (raw, unquote(raw))}
        if self.access.password:
            pair = f"{self.access.username}:{self.access.password.reveal()}"
            secrets |= {self.access.password.reveal(), base64.b64encode(pair.encode()).decode()}
        return Mask(secrets) if secrets else NO_SECRETS


def ssh_argv(access: Access) -> list[str]:
    """The ssh that git starts: it never prompts, and with a known_hosts file of its own it accepts no other key."""
    argv = ["ssh", "-oBatchMode=yes"]
    if access.ssh_key:
        argv += ["-i", str(access.ssh_key), "-oIdentitiesOnly=yes"]
    if access.known_hosts:
        argv += [f"-oUserKnownHostsFile={access.known_hosts}", "-oStrictHostKeyChecking=yes"]
    return argv


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Words of git, and what they mean. REMOTE in the remedy stands for the remote."""

    words: re.Pattern[str]
    kind: type[RepositoryError]
    why: str
    remedy: str


def _refusal(words: str, kind: type[RepositoryError], why: str, remedy: str) -> _Refusal:
    return _Refusal(re.compile(words, re.IGNORECASE), kind, why, remedy)


# The first that matches counts. Words of git 2.39 to 2.51 under LC_ALL=C.
_REMOTE_REFUSALS = (
    _refusal(
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        RemoteDenied,
        "The git host's ssh key is not the known one",
        "Compare it with the host's published fingerprint, then: ssh-keyscan HOST >> ~/.ssh/known_hosts",
    ),
    _refusal(
        r"SSL certificate problem|server certificate verification failed|certificate verify failed",
        RemoteDenied,
        "The git host's certificate is not signed by a known authority",
        "Give git the site's CA: git config http.sslCAInfo FILE",
    ),
    _refusal(
        r"transport '\S*' not allowed",
        RemoteDenied,
        "Only https, ssh and files are spoken to git hosts",
        "Change the address: git remote set-url REMOTE https://…",
    ),
    _refusal(
        r"Authentication failed|could not read (Username|Password)|Permission denied|returned error: 40[13]"
        r"|Permission to .* denied|access denied|not allowed to|insufficient permission|HTTP Basic: Access denied",
        RemoteDenied,
        "The git host refuses the credentials",
        "Try it by hand: git ls-remote REMOTE; for pushes the account must be allowed to write",
    ),
    _refusal(
        r"couldn't find remote ref (?P<ref>\S+)",
        NotARepository,
        "The remote has no such branch",
        "Push it first, or set git.branch in fairlead.yaml",
    ),
    _refusal(
        r"repository .* not found|does not appear to be a git repository|returned error: 404|repository not found"
        r"|No such remote",
        NotARepository,
        "There is no such repository, or these credentials may not see it",
        "git ls-remote REMOTE tries it by hand",
    ),
    _refusal(
        r"Could not resolve host|Connection (refused|timed out|reset|closed)|Failed to connect|returned error: 5\d\d"
        r"|Operation (too slow|timed out)|early EOF|hung up unexpectedly|Network is unreachable|No route to host"
        r"|Could not read from remote repository|RPC failed|unexpected disconnect|kex_exchange_identification",
        RemoteUnreachable,
        "The git host does not answer",
        "Try again later; git ls-remote REMOTE shows whether it is back",
    ),
)
_LOCAL_REFUSALS = (
    _refusal(
        r"detected dubious ownership in repository at '(?P<path>[^']*)'",
        NotARepository,
        "The checkout belongs to another user, and git does not trust it",
        "git config --global --add safe.directory DIRECTORY",
    ),
    _refusal(
        r"not a git repository|cannot change to",
        NotARepository,
        "There is no git repository at that place",
        "Go to the deployment repository's checkout, or name it with --repo",
    ),
    _refusal(
        r"Unable to create '(?P<path>.*\.lock)': File exists",
        RepositoryError,
        "Another git works there, or one was killed and left its lock",
        "When no other git runs there, remove the lock file",
    ),
    _refusal(r"No space left on device", RepositoryError, "The disk is full", "Free some space; nothing was committed"),
)


def remote_failure(action: str, remote: str, completed: Completed) -> RepositoryError:
    """What a fetch or push that failed means: RemoteDenied, RemoteUnreachable, NotARepository."""
    return _failure(f"git {action} with {remote} failed", completed, (*_REMOTE_REFUSALS, *_LOCAL_REFUSALS), remote)


def local_failure(action: str, completed: Completed) -> RepositoryError:
    """What it means that git could not read or write the repository itself."""
    return _failure(f"git {action} failed", completed, _LOCAL_REFUSALS)


def _failure(what: str, completed: Completed, refusals: Sequence[_Refusal], remote: str = "") -> RepositoryError:
    words = plain.lines(completed.stderr or completed.stdout)
    for refusal in refusals:
        if match := refusal.words.search(completed.stderr):
            place = next((f": {name}" for name in match.groupdict().values() if name), "")
            return refusal.kind(
                what, why=f"{refusal.why}{place}\n{words}", remedy=refusal.remedy.replace("REMOTE", remote)
            )
    return RepositoryError(what, why=words or f"Exit code {completed.exit_code}")
