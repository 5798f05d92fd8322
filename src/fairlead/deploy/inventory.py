"""What Ansible is told: which inventory, which values. Pure.

The inventory is the deployment repository's own file, as by hand and with Semaphore; only `VM_IP` fills it in.
Inventory values and extra-vars are templates on the controller (measured: `{{ lookup('pipe', ...) }}` in one runs a
program), so every value from outside is checked by its grammar and marked unsafe, which Ansible never evaluates.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from fairlead.config import layout
from fairlead.config.addresses import machine_address
from fairlead.config.models import AnsibleDeploy
from fairlead.config.secrets import Secret
from fairlead.config.values import NAME, RUN
from fairlead.deploy.base import DeployRequest, Target
from fairlead.errors import InvalidSetting

_NAME = re.compile(NAME, re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?", re.ASCII)
_RUN = re.compile(RUN, re.ASCII)
# fairlead.yaml's `deploy` settings and the playbook's variables. Passed only where fairlead.yaml says something: else
# the repository's group_vars decide, as they do by hand.
_SETTINGS = {"directory": "app_directory", "user": "ansible_user", "port": "ansible_port"}
# Secrets may not decide how Ansible connects, or what Fairlead says.
_RESERVED = ("ansible_", "fairlead_")


def inventory(request: Target) -> Path:
    """The environment's inventory in the export. Raises InvalidSetting where the commit has none."""
    path = request.checkout / layout.inventory_file(request.environment)
    if not path.is_file():
        raise InvalidSetting(
            f"There is no inventory {layout.inventory_file(request.environment)} in commit {request.commit[:12]}",
            remedy="Write it like the other environments', or run fairlead init --update",
        )
    return path


def extra_vars(request: Target, settings: AnsibleDeploy) -> dict[str, object]:
    """The values for the playbook, in the form that Ansible reads from a JSON file. Raises InvalidSetting."""
    values: dict[str, object] = {name: unsafe(secret.reveal()) for name, secret in _checked_secrets(request).items()}
    explicit = {name: getattr(settings, name) for name in _SETTINGS if name in settings.model_fields_set}
    values |= {_SETTINGS[name]: value if isinstance(value, int) else unsafe(value) for name, value in explicit.items()}
    values["VM_IP"] = unsafe(machine_address(request.vm_ip, "vm_ip"))
    values["fairlead_commit"] = unsafe(_matching(_COMMIT, request.commit, "commit"))
    if isinstance(request, DeployRequest):
        values["fairlead_run"] = unsafe(_matching(_RUN, request.run, "run"))
        values["fairlead_fence"] = request.fence
    return values


def print_extra_vars(values: Mapping[str, object]) -> str:
    """The file's content. ASCII only: no reader's encoding can change it."""
    return json.dumps(values, ensure_ascii=True)


def unsafe(text: str) -> dict[str, str]:
    """Text that Ansible takes as it is (its JSON form of `!unsafe`)."""
    return {"__ansible_unsafe": text}


def _checked_secrets(request: Target) -> Mapping[str, Secret]:
    for name in request.secrets:
        _matching(_NAME, name, "secret's name")
        if name.startswith(_RESERVED) or name in request.pins or name in _SETTINGS.values():
            raise InvalidSetting(
                f"secrets.application: {name} cannot be a secret's name",
                why="It is a variable of Ansible's, of Fairlead's or of an image",
                remedy="Choose another name",
            )
    return request.secrets


def _matching(grammar: re.Pattern[str], text: str, what: str) -> str:
    if not grammar.fullmatch(text):
        raise InvalidSetting(
            f"{text!r} is not a {what}", why="It goes to Ansible, which would evaluate some characters"
        )
    return text
