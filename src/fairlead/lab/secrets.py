"""The lab's secrets, laid out as FAIRLEAD_SECRETS_DIR wants them: an SSH key per machine, passwords made up once."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from fairlead.lab.machines import Machine

APPLICATION = ("postgres_password", "keycloak_admin_password")  # what the demos need


def place_in(directory: Path) -> Path:
    """For FAIRLEAD_SECRETS_DIR."""
    return directory / "secrets"


def ensure_infrastructure(directory: Path, values: Mapping[str, str], keys: Mapping[str, Path]) -> None:
    """What OpenTofu needs, by file name, and the SSH keys of the machines that it makes, by environment."""
    infrastructure, control = place_in(directory) / "infrastructure", place_in(directory) / "control"
    for folder in (infrastructure, control):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, value in values.items():
        write_whole(infrastructure / name, value)
    for environment, key in keys.items():
        write_whole(_key_in(control, environment), key.read_text("ascii"))


def ensure_control(directory: Path, name: str, value: str) -> None:
    """A secret of Fairlead's own."""
    control = place_in(directory) / "control"
    control.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(control / name, value)


def _key_in(control: Path, environment: str) -> Path:
    return control / f"ssh_key_{environment.replace('-', '_')}"


def ensure(directory: Path, machines: Iterable[Machine]) -> Path:
    """`<directory>/secrets`, with what the demo needs to be deployed; nobody else may read it."""
    place = place_in(directory)
    control, application = place / "control", place / "application"
    for folder in (place, control, application):
        folder.mkdir(exist_ok=True, mode=0o700)
    for machine in machines:
        write_whole(_key_in(control, machine.environment), machine.ssh_key.read_text("ascii"))
    for name in APPLICATION:
        if not (application / name).exists():
            write_whole(application / name, secrets.token_urlsafe(18))
    return place


def write_whole(path: Path, content: str) -> None:
    """Whole or not at all, also after a kill, and by however many commands at once; for this user only.

    Raises OSError. A file that has the content already is left as it is.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == content.encode("ascii"):
            return
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # nobody else's, mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as draft:
            draft.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
