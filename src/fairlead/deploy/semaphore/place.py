"""What a deploy runs on in Semaphore: a project's template with its repository, inventory and environment.

Names are looked up every time; no id is written down. What would run is compared with what fairlead.yaml means, and a
fingerprint tells whether somebody edits it while a task waits.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.config import layout
from fairlead.config.models import SemaphoreDeploy
from fairlead.deploy.semaphore.api import Server
from fairlead.errors import SemaphoreMissing, SemaphoreRefused

_SORTED = {"sort": "name", "order": "asc"}
OURS = ("VM_IP", "fairlead_", "allow_unpinned", "ansible_host_key_checking")
# -vvv would print the module's arguments, with the application's secrets.
_HARMLESS = re.compile(r"-v{1,2}|--diff|--forks=\d+", re.ASCII)
_MEANING = {
    "template": (
        "name", "playbook", "arguments", "git_branch", "app",
        "inventory_id", "repository_id", "environment_id", "allow_override_args_in_task", "survey_vars",
    ),
    "inventory": ("type", "inventory", "ssh_key_id", "become_key_id"),
    "repository": ("git_url", "git_branch", "ssh_key_id"),
    "environment": ("json", "env"),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A template and what it is made of, as the server has it now."""

    project: int
    template: Mapping[str, Any]
    inventory: Mapping[str, Any]
    repository: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The template's name."""
        return str(self.template.get("name", ""))

    @property
    def template_id(self) -> int:
        """The template's id."""
        return int(self.template["id"])

    @property
    def fingerprint(self) -> str:
        """A digest of all that decides what a task of the template runs."""
        parts = {part: {key: getattr(self, part).get(key) for key in keys} for part, keys in _MEANING.items()}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def differences(self, playbook: str, environment: str, images: Mapping[str, object]) -> Iterator[str]:
        """Where it would not run this playbook of the release's commit for this environment, in words."""
        template, inventory = self.template, self.inventory
        if template.get("playbook") != playbook:
            yield f"its playbook is {template.get('playbook')!r}, not {playbook!r}"
        if template.get("app", "") not in ("", "ansible"):
            yield f"its app is {template['app']!r}, not 'ansible'"
        wanted = layout.inventory_file(environment)
        if (inventory.get("type"), inventory.get("inventory")) != ("file", wanted):
            yield f"its inventory {inventory.get('name')!r} is not the repository's file {wanted}"
        if str(self.repository.get("git_url", "")).startswith("/"):
            yield "its repository is a path, from which Semaphore checks out no commit: write file://…"
        yield from self._overrides(images)

    def _overrides(self, images: Mapping[str, object]) -> Iterator[str]:
        for word in _words(self.template.get("arguments")):
            if not _HARMLESS.fullmatch(word):
                yield f"its arguments have {word!r}, which may leave out what a deploy is"
        for name in _names(self.environment.get("json")):
            if name.startswith(OURS) or name in images:
                yield f"its environment {self.environment.get('name')!r} sets {name}, which would beat this deploy's"


def _words(text: object) -> list[str]:
    try:
        words = json.loads(str(text or "[]"))
    except ValueError:
        return [str(text)]
    return [str(word) for word in words] if isinstance(words, list) else [str(words)]


def _names(text: object) -> list[str]:
    try:
        values = json.loads(str(text or "{}"))
    except ValueError:
        return []
    return list(values) if isinstance(values, dict) else []


def project_of(server: Server, settings: SemaphoreDeploy, app: str) -> int:
    """The project's id. Raises SemaphoreMissing."""
    wanted = settings.project or app
    return int(named(server.listed("/projects"), wanted, "project")["id"])


def template_name(settings: SemaphoreDeploy, playbook: str, environment: str) -> str:
    """The name of the template that runs a playbook."""
    name = settings.template if playbook == layout.PLAYBOOK else settings.inspection
    return name.replace("{environment}", environment)


def find(server: Server, project: int, name: str) -> Place:
    """The template of that name with its parts. Raises SemaphoreMissing."""
    root = f"/project/{project}"
    template = named(server.listed(f"{root}/templates", **_SORTED), name, "template")
    parts = {
        part: _by_id(server.listed(f"{root}/{route}", **_SORTED), template.get(f"{part}_id"))
        for part, route in (("inventory", "inventory"), ("repository", "repositories"), ("environment", "environment"))
    }
    return Place(project, template, **parts)


def require_fit(place: Place, playbook: str, environment: str, images: Mapping[str, object]) -> Place:
    """The place itself. Raises SemaphoreRefused where it would run something else."""
    if differences := list(place.differences(playbook, environment, images)):
        raise SemaphoreRefused(
            f"Semaphore's template {place.name!r} does not run what git has",
            why="\n".join(differences),
            remedy=f"fairlead semaphore setup -e {environment} --dry-run shows the differences; without it, mends them",
        )
    return place


def named(found: list[dict[str, Any]], name: str, kind: str) -> dict[str, Any]:
    """The object of that name. Raises SemaphoreMissing, which names those that are there."""
    fitting = [item for item in found if item.get("name") == name]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(sorted(str(item.get("name")) for item in found)) or "none"
    raise SemaphoreMissing(
        f"Semaphore has {'more than one' if fitting else 'no'} {kind} {name!r} that this token may see",
        why=f"It has: {there}",
        remedy="fairlead semaphore setup -e … makes it; deploy.project and deploy.template in fairlead.yaml name it",
    )


def _by_id(found: list[dict[str, Any]], wanted: object) -> dict[str, Any]:
    return next((item for item in found if item.get("id") == wanted), {})
