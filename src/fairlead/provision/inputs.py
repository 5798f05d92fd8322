"""What a plan depends on: the commit's code and the environment's variables in it, and the infrastructure secrets."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from fairlead.config import layout
from fairlead.config.secrets import Secret
from fairlead.errors import MissingSecret
from fairlead.provision.base import ProvisionRequest

STATE, ENDPOINT, TOKEN = "PG_CONN_STR", "TF_VAR_proxmox_endpoint", "TF_VAR_proxmox_api_token"
LOCK = ".terraform.lock.hcl"


def require_secrets(request: ProvisionRequest) -> None:
    """Raise MissingSecret where one that is always needed is not there."""
    for name in (STATE, ENDPOINT, TOKEN):
        if name not in request.secrets:
            raise MissingSecret(
                f"The infrastructure secret {name.removeprefix('TF_VAR_')} has no value",
                why="provision: {with: opentofu} needs it",
                remedy=f"export {name}=…",
            )


def inputs_of(request: ProvisionRequest) -> str:
    """Their digest, in hexadecimal digits."""
    tfvars = layout.tfvars_file(request.environment, request.tfvars)
    return inputs_in(request.checkout / layout.OPENTOFU, tfvars, request.secrets)


def inputs_in(code: Path, tfvars: str, secrets: Mapping[str, Secret]) -> str:
    """The same, of a copy of the code. tfvars: the environment's, by its path in the repository."""
    files = {path.relative_to(code).as_posix(): path for path in sorted(code.rglob("*")) if path.is_file()}
    content = {
        name: path.read_bytes()
        for name, path in files.items()
        if name != LOCK and (not name.startswith("environments/") or tfvars.endswith(name))
    }
    return digest_of(content, secrets)


def digest_of(files: Mapping[str, bytes], secrets: Mapping[str, Secret]) -> str:
    """A digest of named contents; no two sets of them have the same."""
    digest = hashlib.sha256()
    parts = {**files, **{name: value.reveal().encode() for name, value in secrets.items()}}
    for name, content in sorted(parts.items()):
        digest.update(f"{len(name)} {name} {len(content)} ".encode() + content)
    return digest.hexdigest()
