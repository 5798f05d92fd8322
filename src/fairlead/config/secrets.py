"""Secrets: a type that never shows its value, and the three classes with their sources.

infrastructure  the tools' own variables (TF_VAR_*, PG_CONN_STR): of all child processes only OpenTofu's gets them
application     FAIRLEAD_APPLICATION_<NAME>: Ansible's extra-vars
control         FAIRLEAD_CONTROL_<NAME> or the tool's own name (SEMAPHORE_TOKEN): Fairlead's own

A file `FAIRLEAD_SECRETS_DIR/<class>/<NAME>` (systemd credentials and Docker secrets look like that) beats the variable.
`FAIRLEAD_…_FILE` names a file with the value: CI systems hand SSH keys and other long secrets over like that.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote

from fairlead.errors import MissingSecret
from fairlead.process import MASKED, SHORTEST_SECRET, Mask

LONGEST_SECRET = 64 * 1024


class Secret:
    """A value that is shown as `***`; only `reveal()`, at the point of use, gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return MASKED

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        return MASKED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not stored")


class SecretClass(StrEnum):
    """Who may see a secret. The classes never mix."""

    INFRASTRUCTURE = "infrastructure"
    APPLICATION = "application"
    CONTROL = "control"


@dataclass(frozen=True)
class Secrets:
    """Reads secrets where they are kept. directory: FAIRLEAD_SECRETS_DIR. variables: the process environment."""

    directory: Path | None
    variables: Mapping[str, str] = field(repr=False)

    def find(self, kind: SecretClass, name: str) -> Secret | None:
        """The secret, or None where it has no source. Raises MissingSecret for one that cannot be used."""
        value = self._from_file(kind, name)
        if value is None:
            value = self._from_variables(_variables(kind, name))
        if value is None:
            return None
        if len(value) < SHORTEST_SECRET:
            raise MissingSecret(
                f"The {kind} secret {name} has {len(value)} characters",
                why=f"A value under {SHORTEST_SECRET} characters cannot be masked in logs",
                remedy="Use a longer value",
            )
        return Secret(value)

    def get(self, kind: SecretClass, name: str) -> Secret:
        """The secret. Raises MissingSecret, which names the places that were looked in."""
        secret = self.find(kind, name)
        if secret is None:
            places = [f"the variable {key}" for key in _variables(kind, name)]
            if self.directory:
                places.insert(0, f"the file {self.directory / kind / name}")
            raise MissingSecret(
                f"The {kind} secret {name} has no value",
                why=f"Looked for {' and '.join(places)}",
                remedy=f"export {_variables(kind, name)[0]}=…",
            )
        return secret

    def infrastructure(self) -> dict[str, Secret]:
        """Every infrastructure secret, by OpenTofu's own variable: TF_VAR_*, PG_CONN_STR, TF_ENCRYPTION.

        A value that is no secret (TF_VAR_cores) is one of them, and may be short.
        """
        found = {key: value for key, value in self.variables.items() if key.startswith("TF_VAR_") and value}
        found |= {key: self.variables[key] for key in _OPENTOFU_NAMES if self.variables.get(key)}
        for path in self._files(SecretClass.INFRASTRUCTURE):
            if value := self._from_file(SecretClass.INFRASTRUCTURE, path.name):
                found[_variables(SecretClass.INFRASTRUCTURE, path.name)[0]] = value
        return {key: Secret(value) for key, value in found.items()}

    def mask(self) -> Mask:
        """A mask of every secret that this process can see, of all classes; of `user:password`, also in a URL, the
        password too."""
        return Mask(part for value in self._all() for part in (value, value.partition(":")[2], *_password(value)))

    def _from_file(self, kind: SecretClass, name: str) -> str | None:
        if self.directory is None or "/" in name or name.startswith("."):
            return None
        path = self.directory / kind / name
        return _content(path) if path.is_file() else None

    def _from_variables(self, keys: Iterable[str]) -> str | None:
        for key in keys:
            if key in self.variables:
                return self.variables[key]
            if key.startswith(_OWN_PREFIXES) and (path := self.variables.get(f"{key}{_FILE}")):
                return _content(Path(path))
        return None

    def _files(self, kind: SecretClass) -> list[Path]:
        folder = self.directory / kind if self.directory else None
        return sorted(folder.iterdir()) if folder and folder.is_dir() else []

    def _all(self) -> Iterator[str]:
        for kind in SecretClass:
            for path in self._files(kind):
                if value := self._from_file(kind, path.name):
                    yield value
        for name, value in self.variables.items():
            if name in _OWN_NAMES or name.startswith(_OWN_PREFIXES):
                yield value
                if name.endswith(_FILE) and Path(value).is_file():
                    yield _content(Path(value))


_OPENTOFU_NAMES = ("PG_CONN_STR", "TF_ENCRYPTION")
_OWN_NAMES = ("FAIRLEAD_DATABASE_URL", "PG_CONN_STR", "TF_ENCRYPTION", "SEMAPHORE_TOKEN", "TF_VAR_proxmox_api_token")
_OWN_PREFIXES = ("FAIRLEAD_APPLICATION_", "FAIRLEAD_CONTROL_")
_FILE = "_FILE"


def _content(path: Path) -> str:
    """A secret's file without its last line's end. Raises MissingSecret for one that cannot be used."""
    try:
        if path.stat().st_size > LONGEST_SECRET:
            raise MissingSecret(f"{path} is larger than {LONGEST_SECRET} bytes", remedy="Put one secret in each file")
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = "It is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror or ""
        raise MissingSecret(f"{path} cannot be read", why=why, remedy=f"ls -l {path}") from None


def _password(value: str) -> list[str]:
    """The password in `postgres://user:password@host/` or in `host=… password=…`: programs print it on its own."""
    match = re.search(r"://[^:/@\s]*:([^@\s]+)@|\bpassword=(\S+)", value)
    return [unquote(match[1]) if match[1] else match[2].strip("'")] if match else []


def _variables(kind: SecretClass, name: str) -> tuple[str, ...]:
    """The variables that may hold a secret, the preferred one first."""
    match kind:
        case SecretClass.INFRASTRUCTURE:
            return (name,) if name.isupper() else (f"TF_VAR_{name}",)
        case SecretClass.APPLICATION:
            return (f"FAIRLEAD_APPLICATION_{name.upper()}",)
        case SecretClass.CONTROL:
            own = (
                name.upper()
            )  # only a tool's: a stranger's variable of that name would be neither masked nor kept back
            return (f"FAIRLEAD_CONTROL_{own}", *((own,) if own in _OWN_NAMES else ()))
