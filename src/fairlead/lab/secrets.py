"""The lab's secrets, laid out as FAIRLEAD_SECRETS_DIR wants them: an SSH key per machine, passwords made up once."""

import secrets
from collections.abc import Iterable
from pathlib import Path

from fairlead.lab.machines import Machine

APPLICATION = ("postgres_password", "keycloak_admin_password")  # what the demos need


def ensure(directory: Path, machines: Iterable[Machine]) -> Path:
    """`<directory>/secrets`, with what the demo needs to be deployed; nobody else may read it."""
    place = directory / "secrets"
    control, application = place / "control", place / "application"
    for folder in (place, control, application):
        folder.mkdir(exist_ok=True, mode=0o700)
    for machine in machines:
        _write(control / f"ssh_key_{machine.environment.replace('-', '_')}", machine.ssh_key.read_text("ascii"))
    for name in APPLICATION:
        if not (application / name).exists():
            _write(application / name, secrets.token_urlsafe(18))
    return place


def _write(path: Path, content: str) -> None:
    """Whole or not at all, also after a kill."""
    draft = path.with_name(f".{path.name}")
    draft.touch(mode=0o600)
    draft.write_text(content, "ascii")
    draft.replace(path)
