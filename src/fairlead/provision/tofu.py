"""OpenTofu's command line: what is said, and the one place that runs it.

It gets its infrastructure secrets, and of the environment only what it needs. It is stopped by one SIGINT and waited
for: killed, it would forget what it has made (measured).
"""

import json
import re
import select
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from fairlead import process
from fairlead.config import layout
from fairlead.config.secrets import Secret
from fairlead.errors import (
    FairleadError,
    OpentofuUnsuitable,
    ProgramFailed,
    ProgramInterrupted,
    ProgramMissing,
    ProvisionError,
    StateRefused,
)
from fairlead.process import Beside, Completed, Mask
from fairlead.provision.inputs import LOCK, STATE, digest_of
from fairlead.provision.lease import KEEPALIVES, lease_lost

OLDEST = (1, 10)
GRACE = 1800.0  # seconds between SIGINT and SIGKILL: as long as the provider may work on one resource
MOST_WORDS = 40  # lines of an error; one of OpenTofu has about six, and they come together
LOCK_PATIENCE = 30.0  # seconds, for the lock of a predecessor that is ending
PROVIDER = "registry.opentofu.org/bpg/proxmox"
NO_CHANGES, CHANGES = 0, 2  # plan -detailed-exitcode
UNSAVED = "errored.tfstate"  # what OpenTofu leaves behind when it cannot save its state
_GARBAGE = "400"  # percent: Go collects more seldom; a plan takes 7 % less time and 13 MiB more (measured)
_CODE = (".tf", ".tofu", ".json")
_LOUD = ("DEBUG", "TRACE", "JSON")
_LOGS = ("TF_LOG", "TF_LOG_CORE", "TF_LOG_PROVIDER")
# The last is what it says where the code enforces encryption and TF_ENCRYPTION is not there.
_ENCRYPTION = ("ncrypt", "cipher", "single static variable reference is required")
_BOX = re.compile(r"^[╷│╵] ?")


def init_argv(*, locked: bool) -> list[str]:
    """Backend and provider. locked: a lock file is committed, and nothing else is accepted."""
    return ["init", "-input=false", "-no-color", *(["-lockfile=readonly"] if locked else [])]


def plan_argv(tfvars: str, out: Path | None = None, patience: float | None = None) -> list[str]:
    """A plan, to a file if one is named. Exit code 0: nothing to do, 2: changes.

    tfvars: the path from the repository's root. patience: for the lock; None: none is taken.
    """
    lock = "-lock=false" if patience is None else _lock(patience)
    words = ["plan", "-input=false", "-no-color", "-detailed-exitcode", lock]
    return [*words, *_variables(tfvars), *([f"-out={out}"] if out else [])]


def apply_argv(plan: Path) -> list[str]:
    """Exactly that plan."""
    return ["apply", "-input=false", "-no-color", _lock(), str(plan)]


def import_argv(tfvars: str, address: str, identifier: str) -> list[str]:
    """A resource that exists into the state. identifier: the provider's, `node/vm_id`."""
    words = ["import", "-input=false", "-no-color", _lock(), *_variables(tfvars)]
    return [*words, address, identifier]


def show_argv(plan: Path) -> list[str]:
    """A plan as JSON."""
    return ["show", "-json", "-no-color", str(plan)]


def push_argv(state: Path) -> list[str]:
    """A state that could not be saved, into the backend; OpenTofu refuses an older one."""
    return ["state", "push", _lock(), str(state)]


def _lock(patience: float = LOCK_PATIENCE) -> str:
    return f"-lock-timeout={patience:g}s"


def _variables(tfvars: str) -> list[str]:
    return [f"-var-file={PurePosixPath(tfvars).relative_to(layout.OPENTOFU)}"]


@dataclass(frozen=True)
class Tofu:
    """OpenTofu in one directory, for one workspace.

    variables: what it may know of the environment. secrets: by its own variables. cache: where `make setup` builds it.
    lost: a descriptor that becomes readable when it has to stop.
    """

    directory: Path
    workspace: str
    variables: Mapping[str, str]
    secrets: Mapping[str, Secret] = field(repr=False)
    mask: Mask
    cache: Path
    lost: int | None = None

    @property
    def configuration(self) -> Path:
        """Where the code is; also where an unsaved state is left."""
        return self.directory / "configuration"

    @property
    def data(self) -> Path:
        """OpenTofu's own: provider, backend."""
        return self.directory / "data"

    @property
    def plan(self) -> Path:
        """The plan file. It holds the token: it is removed when the block ends that made it."""
        return self.directory / "plan"

    def run(self, words: Sequence[str], *, expect: Collection[int] = (0,), workspace: bool = True) -> Completed:
        """Run it. Raises ProvisionError with OpenTofu's own words, StateRefused, ProgramInterrupted.

        workspace: whether in ours. `init` would ask for one that is not there; all others make it.
        """
        try:
            done = process.run(
                self._argv(words),
                cwd=self.configuration,
                environment=self._in_workspace() if workspace else self.environment(),
                inherit=False,
                mask=self.mask,
                grace=GRACE,
                expect=range(256),
                until=self.lost,
            )
        except ProgramFailed as error:
            raise failure(words[0], self.workspace, error.what) from error
        except ProgramInterrupted as error:
            raise self._stopped(error) from error
        if done.exit_code not in expect:
            raise failure(words[0], self.workspace, done.stderr or done.stdout)
        return done

    def beside(self, words: Sequence[str]) -> AbstractContextManager[Beside]:
        """Run it while a block runs; see `process.beside`."""
        return process.beside(self._argv(words), self._in_workspace(), cwd=self.configuration)

    def _argv(self, words: Sequence[str]) -> list[str]:
        return [program(self.variables, self.cache), *words]

    def _stopped(self, error: ProgramInterrupted) -> FairleadError:
        """By a person, or because the lease was lost."""
        lost = self.lost is not None and select.select([self.lost], [], [], 0)[0]
        return lease_lost(self.workspace) if lost else error

    def _in_workspace(self) -> dict[str, str]:
        return {**self.environment(), "TF_WORKSPACE": self.workspace}

    def environment(self) -> dict[str, str]:
        """All that the child process gets. Raises OpentofuUnsuitable where its log would show the token."""
        refuse_loud_logs(self.variables)
        given = {name: value for name, value in self.variables.items() if not name.startswith("TF_CLI")}
        own = {
            "TF_DATA_DIR": str(self.data),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "GOGC": _GARBAGE,
            "PGAPPNAME": f"opentofu-{self.workspace}",
            "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in KEEPALIVES.items()),
        }
        if settings := self._settings():
            own["TF_CLI_CONFIG_FILE"] = str(settings)
        return {**given, **{name: value.reveal() for name, value in self.secrets.items()}, **own}

    def _settings(self) -> Path | None:
        """The operator's own settings file, else one that finds the provider where `make setup` built it."""
        own = Path(self.variables.get("TF_CLI_CONFIG_FILE", ""))
        if own.is_file():
            return own
        mirror = self.cache / "opentofu" / "providers"
        if not (mirror / PROVIDER).is_dir():
            return None
        path = self.directory / "tofu.rc"
        path.write_text(settings(mirror), encoding="utf-8")
        return path

    @property
    def unsaved(self) -> Path:
        """The state that an apply could not save."""
        return self.configuration / UNSAVED

    @property
    def lock(self) -> Path:
        """Locked by the process that works here."""
        return self.directory / "lock"

    @property
    def initialised(self) -> Path:
        """Says for which code `init` was done."""
        return self.directory / "initialised"

    @property
    def applied(self) -> Path:
        """Says which inputs were applied here last; the database, which knows more, takes longer to ask."""
        return self.directory / "applied"

    def is_initialised(self) -> bool:
        """Whether `init` was done for this code, provider and database."""
        return says(self.initialised, self.code_digest())

    def is_settled(self) -> bool:
        """Whether a plan can be made as things are: initialised, and no state that waits to be saved."""
        return self.is_initialised() and not self.unsaved.is_file()

    def code_digest(self) -> str:
        """A digest of what `init` depends on."""
        code = self.configuration
        kept = [path for path in sorted(code.rglob("*")) if path.suffix in _CODE or path.name == LOCK]
        content = {path.relative_to(code).as_posix(): path.read_bytes() for path in kept if path.name != UNSAVED}
        content["program"] = program(self.variables, self.cache).encode()
        content["settings"] = self.variables.get("TF_CLI_CONFIG_FILE", "").encode()
        return digest_of(content, {STATE: self.secrets[STATE]})

    def schema(self) -> str:
        """The schema of the state, as `init` configured it."""
        try:
            backend = json.loads((self.data / "terraform.tfstate").read_bytes())["backend"]
            return backend["config"]["schema_name"] or "terraform_remote_state"
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ProvisionError(
                f"{self.workspace}: OpenTofu's state is not in PostgreSQL",
                why='deployment/opentofu/versions.tf has no `backend "pg"`',
                remedy="Restore what fairlead init wrote there",
            ) from error

    def shown(self) -> dict[str, Any]:
        """The plan file as JSON."""
        parsed: dict[str, Any] = json.loads(self.run(show_argv(self.plan)).stdout)
        return parsed


def says(file: Path, text: str) -> bool:
    """Whether a file is there and has this content."""
    return file.is_file() and file.read_text(encoding="utf-8", errors="replace") == text


def settings(mirror: Path) -> str:
    """OpenTofu's settings file: our provider from the mirror, never from elsewhere; all others from their registry."""
    include = f'["{PROVIDER}"]'
    return (
        "disable_checkpoint = true\nprovider_installation {\n"
        f'  filesystem_mirror {{\n    path = "{mirror}"\n    include = {include}\n  }}\n'
        f"  direct {{\n    exclude = {include}\n  }}\n}}\n"
    )


def program(variables: Mapping[str, str], cache: Path) -> str:
    """OpenTofu: on PATH, else the newest in the cache. Raises ProgramMissing."""
    if found := shutil.which("tofu", path=variables.get("PATH", "")):
        return found
    built = sorted((cache / "opentofu").glob("tofu-*/tofu"), key=lambda path: _numbers(path.parent.name))
    if built:
        return str(built[-1])
    raise ProgramMissing(
        "OpenTofu (tofu) is not installed, or not on PATH",
        why="provision: {with: opentofu} needs it",
        remedy="https://opentofu.org/docs/intro/install/; in a checkout of Fairlead: make setup builds it",
    )


def require_version(variables: Mapping[str, str], cache: Path) -> tuple[int, ...]:
    """OpenTofu's version. Raises OpentofuUnsuitable for one before 1.10, ProgramMissing."""
    words = [program(variables, cache), "version", "-json"]
    said = process.run(words, environment=dict(variables), inherit=False, expect=range(256))
    match = re.search(r'"terraform_version":\s*"(\d+)\.(\d+)\.(\d+)', said.stdout)
    if match is None:
        raise OpentofuUnsuitable(f"{words[0]} is no OpenTofu", why=(said.stdout + said.stderr)[:200])
    version = tuple(map(int, match.groups()))
    if version[:2] < OLDEST:
        raise OpentofuUnsuitable(
            f"{words[0]} is OpenTofu {'.'.join(map(str, version))}",
            why="Before 1.10 its locks in PostgreSQL are not safe beside those of newer ones",
            remedy="Install OpenTofu 1.10 or newer: https://opentofu.org/docs/intro/install/",
        )
    return version


def refuse_loud_logs(variables: Mapping[str, str]) -> None:
    """Raise OpentofuUnsuitable where OpenTofu's log would show the Proxmox token (seen)."""
    for name in _LOGS:
        if variables.get(name, "").upper() in _LOUD:
            raise OpentofuUnsuitable(
                f"{name} is {variables[name]}",
                why="OpenTofu would print the Proxmox API token into its log",
                remedy=f"unset {name}; INFO shows no secrets",
            )


def failure(command: str, workspace: str, output: str) -> ProvisionError:
    """OpenTofu's own words as an error of ours."""
    said = own_words(output)
    if any(words in said for words in _ENCRYPTION):
        return StateRefused(
            f"{workspace}: OpenTofu cannot read or write its encrypted state",
            why=said,
            remedy="Set TF_ENCRYPTION to what the state was written with: docs/how-to/state-encryption.md",
        )
    if "doesn't match any of the checksums" in said or "checksum" in said:
        return ProvisionError(
            f"{workspace}: the provider here is not the one of .terraform.lock.hcl",
            why=said,
            remedy="If this build is meant: cd deployment/opentofu && tofu init -upgrade, and commit the lock file",
        )
    return ProvisionError(f"{workspace}: tofu {command} failed", why=said)


def own_words(output: str) -> str:
    """The errors that OpenTofu printed, without its boxes; else its last lines."""
    lines = [line for line in (_BOX.sub("", line).rstrip() for line in output.splitlines()) if line]
    begins = next((number for number, line in enumerate(lines) if line.startswith("Error:")), max(0, len(lines) - 8))
    return "\n".join(lines[begins : begins + MOST_WORDS])


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))
