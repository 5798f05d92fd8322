"""Where things are in a deployment repository. Nothing else knows these paths."""

import re
from pathlib import PurePosixPath

from fairlead.errors import InvalidSetting

CONFIGURATION = "fairlead.yaml"
DEPLOYMENT = "deployment"
QUARANTINE = "deployment/quarantine.yml"
ANSIBLE = "deployment/ansible"
GROUP_VARS = f"{ANSIBLE}/group_vars"
PLAYBOOK = f"{ANSIBLE}/deploy.yml"
INSPECTION = f"{ANSIBLE}/inspect.yml"
KNOWN_HOSTS = f"{ANSIBLE}/known_hosts"
OPENTOFU = "deployment/opentofu"
LOCK_FILE = f"{OPENTOFU}/.terraform.lock.hcl"
_TFVARS = f"{OPENTOFU}/environments"
_INVENTORY = f"{ANSIBLE}/inventory"
# Changes to these concern no machine: the orchestrator's own file, the record of failures, the image factory, and what
# provisioning commits itself.
_ELSEWHERE = (QUARANTINE, "deployment/cicd", "deployment/docker", "deployment/packer", KNOWN_HOSTS, LOCK_FILE)


def images_file(environment: str) -> str:
    """The pins of an environment: the only file that a bump changes."""
    return f"{GROUP_VARS}/{environment}/images.yml"


def inventory_file(environment: str) -> str:
    """The environment's Ansible inventory."""
    return f"{_INVENTORY}/{environment}"


def tfvars_file(environment: str, chosen: str = "") -> str:
    """The environment's OpenTofu variables.

    chosen: TFVARS_FILE, another file of the same environment, such as `environments/staging.large.tfvars`. Only that
    is seen as the environment's by `concerns`. Raises InvalidSetting for any other.
    """
    own = f"{_TFVARS}/{environment}.tfvars"
    if chosen and not re.fullmatch(rf"{_TFVARS}/{re.escape(environment)}(\.[A-Za-z0-9_-]+)*\.tfvars", chosen):
        raise InvalidSetting(
            f"TFVARS_FILE {chosen!r} is not a file with {environment}'s variables",
            why="What it says would make another environment's machine, or a change of it would not be noticed",
            remedy=f"Unset TFVARS_FILE, or name {own} or {_TFVARS}/{environment}.NAME.tfvars, from the root",
        )
    return chosen or own


def concerns(path: str, environment: str) -> bool:
    """Whether a change of this file changes what `environment` runs: its own variables, or deployment code for all.

    Files of another environment, documentation and the orchestrator's files do not.
    """
    if any(_is_under(path, elsewhere) for elsewhere in _ELSEWHERE) or not _is_under(path, DEPLOYMENT):
        return False
    for folder in (GROUP_VARS, _INVENTORY, _TFVARS):
        if _is_under(path, folder):
            owner = PurePosixPath(path).relative_to(folder).parts[0]
            return owner.split(".", 1)[0] in (environment, "all")
    return True


def is_rolled_back(path: str, environment: str) -> bool:
    """Whether a rollback restores this file as it was in the proven release: deployment code, beside the pins.

    Infrastructure is never taken back by itself: a smaller disk or another address would cost a machine.
    """
    return concerns(path, environment) and not _is_under(path, OPENTOFU) and path != images_file(environment)


def _is_under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
