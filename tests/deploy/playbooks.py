"""Small deployment repositories whose playbook runs on this very machine: Ansible is real, only ssh is not needed."""

import contextlib
import sys
from pathlib import Path
from typing import Any

from fairlead.config import layout
from fairlead.config.secrets import Secret
from fairlead.deploy.base import DeployRequest
from fairlead.images import ImageReference

INVENTORY = f"[staging]\napp ansible_connection=local ansible_python_interpreter={sys.executable}\n"
PIN = ImageReference("registry.example.com", "shop/web", "1.0", f"sha256:{'1' * 64}")
PLAY = "- hosts: all\n  gather_facts: false\n  tasks:\n"


def write_repository(checkout: Path, tasks: str) -> Path:
    """An export whose deploy.yml has these tasks (YAML, a list)."""
    inventory = checkout / layout.inventory_file("staging")
    inventory.parent.mkdir(parents=True)
    inventory.write_text(INVENTORY)
    indented = "".join(f"  {line}\n" for line in tasks.strip().splitlines())
    (checkout / layout.PLAYBOOK).write_text(PLAY + indented)
    return checkout


def request(checkout: Path, secrets: dict[str, str] | None = None, **fields: Any) -> DeployRequest:
    """A deploy of that export."""
    return DeployRequest(
        environment="staging",
        app="shop",
        commit="c" * 40,
        checkout=checkout,
        vm_ip="192.0.2.10",
        pins={"app_image": PIN},
        secrets={name: Secret(value) for name, value in (secrets or {}).items()},
        fence=1,
        run="run-1",
        **fields,
    )


def processes_with(word: str) -> list[str]:
    """The command lines that have it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_text(errors="replace").replace("\0", " "))
    return [line for line in found if word in line]
