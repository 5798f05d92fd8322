"""Makes a Semaphore project what fairlead.yaml means, or says what it would change. Repeating it changes nothing.

Objects are known by their names. Secrets are sent when their object is made, or on demand, and never read back.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fairlead.config import layout
from fairlead.config.models import SemaphoreDeploy
from fairlead.config.secrets import Secret
from fairlead.deploy.semaphore.api import Server
from fairlead.deploy.semaphore.place import OURS, template_name
from fairlead.errors import InvalidSetting

Action = Literal["create", "update", "keep"]
Find = Callable[[str], Secret]
SECRET_PREFIX = "FAIRLEAD_APPLICATION_"  # noqa: S105 - of variables' names
NO_KEY = "None"
VERBOSE = '["-v"]'  # results whole in the output: which service, which image, whose fault
_SORTED = {"sort": "name", "order": "asc"}
# What a PUT must carry besides what is changed: it sets every field.
_CARRIED = {
    "keys": ("type",),
    "repositories": (),
    "inventory": (),
    "environment": (),
    "templates": ("type", "description", "survey_vars"),
}


@dataclass(frozen=True)
class Blueprint:
    """What a project must have for one environment.

    git_url: as Semaphore's host reaches it. images: the variables that git pins. ssh_key, git_key: give the secret, or
    raise MissingSecret; asked only where one is sent. git_login: for https, who and with which token; None: the
    repository needs none. secret: gives an application secret.
    """

    settings: SemaphoreDeploy
    app: str
    environment: str
    git_url: str
    branch: str
    images: tuple[str, ...]
    secret_names: tuple[str, ...]
    ssh_key: Callable[[], Secret]
    git_key: Callable[[], Secret]
    git_login: tuple[str, Secret] | None
    secret: Find

    @property
    def project(self) -> str:
        """The project's name."""
        return self.settings.project or self.app


@dataclass(frozen=True)
class Change:
    """What happened, or would, to one object. lines: `field: old → new`, without secrets."""

    kind: str
    name: str
    action: Action
    lines: tuple[str, ...] = ()


@dataclass
class Setup:
    """One pass over a project. dry_run: change nothing. renew: send every secret again."""

    server: Server
    blueprint: Blueprint
    dry_run: bool = False
    renew: bool = False
    changes: list[Change] = field(default_factory=list)
    _project: int | None = None

    def run(self) -> list[Change]:
        """Make or update everything. Raises SemaphoreError, MissingSecret, InvalidSetting."""
        wanted = self.blueprint
        self._project = self._ensure_project(wanted.project)
        host_key, git_key = self._host_key(), self._git_key()
        repository = self._ensure(
            "repositories",
            f"fairlead {wanted.app}",
            {"git_url": git_address(wanted.git_url), "git_branch": wanted.branch, "ssh_key_id": git_key},
        )
        inventory = self._ensure(
            "inventory",
            f"fairlead {wanted.environment}",
            {"type": "file", "inventory": layout.inventory_file(wanted.environment), "ssh_key_id": host_key},
        )
        environment = self._environment()
        parts = {"repository_id": repository, "inventory_id": inventory, "environment_id": environment}
        for playbook in (layout.PLAYBOOK, layout.INSPECTION):
            name = template_name(wanted.settings, playbook, wanted.environment)
            fields = {"playbook": playbook, "app": "ansible", "arguments": VERBOSE, **parts}
            self._ensure("templates", name, {**fields, "allow_override_args_in_task": False})
        return self.changes

    def _ensure_project(self, name: str) -> int | None:
        found = next((item for item in self.server.listed("/projects") if item.get("name") == name), None)
        self.changes.append(Change("project", name, "keep" if found else "create"))
        if found or self.dry_run:
            return int(found["id"]) if found else None
        self.server.post("/projects", {"name": name, "alert": False, "max_parallel_tasks": 0})
        return next(int(item["id"]) for item in self.server.listed("/projects") if item.get("name") == name)

    def _host_key(self) -> int | None:
        wanted = self.blueprint
        return self._ensure(
            "keys",
            f"fairlead {wanted.environment} ssh",
            {"type": "ssh"},
            lambda: {"ssh": {"login": wanted.settings.user, "private_key": wanted.ssh_key().reveal()}},
        )

    def _git_key(self) -> int | None:
        wanted = self.blueprint
        name = f"fairlead {wanted.app} git"
        if wanted.git_url.startswith("https://") and wanted.git_login:
            login, token = wanted.git_login
            given = {"login_password": {"login": login, "password": token.reveal()}}
            return self._ensure("keys", name, {"type": "login_password"}, lambda: given)
        if wanted.git_url.startswith(("https://", "file://", "/")):
            return self._ensure("keys", NO_KEY, {"type": "none"})
        login = wanted.git_url.removeprefix("ssh://").partition("@")[0]
        return self._ensure(
            "keys",
            name,
            {"type": "ssh"},
            lambda: {"ssh": {"login": login, "private_key": wanted.git_key().reveal()}},
        )

    def _ensure(
        self, kind: str, name: str, fields: Mapping[str, Any], secret: Callable[[], Mapping[str, Any]] | None = None
    ) -> int | None:
        """The object's number; None: it would be made. secret: fields that are sent and never read back."""
        found = self._found(kind, name)
        lines = _lines(found or {}, fields)
        renewed = found is not None and secret is not None and self.renew
        if renewed:
            lines = (*lines, "its secret is sent again")
        self.changes.append(Change(kind, name, "create" if found is None else "update" if lines else "keep", lines))
        if self.dry_run or (found and not lines):
            return found["id"] if found else None
        sent = dict(secret()) if secret and (found is None or renewed) else {}
        self._send(kind, name, found, {**fields, **sent, **({"override_secret": True} if renewed else {})})
        return int((self._found(kind, name) or {})["id"])

    def _send(self, kind: str, name: str, found: Mapping[str, Any] | None, fields: Mapping[str, Any]) -> None:
        root, body = f"/project/{self._project}/{kind}", {"name": name, "project_id": self._project, **fields}
        if found is None:
            self.server.post(root, body)
            return
        carried = {key: found[key] for key in _CARRIED[kind] if key in found and key not in body}
        self.server.put(f"{root}/{found['id']}", {**carried, **body, "id": found["id"]})

    def _found(self, kind: str, name: str) -> dict[str, Any] | None:
        if self._project is None:
            return None
        found = self.server.listed(f"/project/{self._project}/{kind}", **_SORTED)
        return next((item for item in found if item.get("name") == name), None)

    def _environment(self) -> int | None:
        """Application secrets become variables of Ansible's process, and extra-vars that read them from there.

        So no value stands in ansible-playbook's arguments, which everybody on Semaphore's host may see.
        """
        name = f"fairlead {self.blueprint.environment}"
        found = self._found("environment", name)
        kept = self.server.read(f"/project/{self._project}/environment/{found['id']}") if found else {}
        operations = list(self._operations(kept.get("secrets") or []))
        theirs = {key: value for key, value in _values(kept).items() if not self._beats_ours(key)}
        values = json.dumps({**theirs, **extra_vars(self.blueprint.secret_names)}, sort_keys=True)
        fields = {"json": values, "env": kept.get("env") or "{}"}
        lines = (*_lines(_normal(kept), fields), *(f"secret {one['name']}: {one['operation']}" for one in operations))
        self.changes.append(
            Change("environment", name, "create" if found is None else "update" if lines else "keep", lines)
        )
        if self.dry_run or (found and not lines):
            return found["id"] if found else None
        secrets = [self._valued(one) for one in operations]
        self._send("environment", name, found, {**fields, "secrets": secrets})
        return int((self._found("environment", name) or {})["id"])

    def _beats_ours(self, name: str) -> bool:
        """The environment's values beat a task's (2.10)."""
        return name.startswith(OURS) or name in self.blueprint.images

    def _operations(self, there: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """2.10's `update` changes nothing, so a secret is renewed by deleting and creating it."""
        ours = {one["name"]: one for one in there if str(one.get("name")).startswith(SECRET_PREFIX)}
        wanted = [variable(name) for name in self.blueprint.secret_names]
        for name, one in ours.items():
            if self.renew or name not in wanted:
                yield {"id": one["id"], "name": name, "type": "env", "operation": "delete"}
        for name in wanted:
            if self.renew or name not in ours:
                yield {"name": name, "type": "env", "operation": "create"}

    def _valued(self, operation: dict[str, Any]) -> dict[str, Any]:
        if operation["operation"] == "delete":
            return operation
        name = operation["name"].removeprefix(SECRET_PREFIX).lower()
        return {**operation, "secret": self.blueprint.secret(name).reveal()}


def variable(name: str) -> str:
    """The process variable of an application secret: the same as Fairlead's own."""
    return f"{SECRET_PREFIX}{name.upper()}"


def extra_vars(names: tuple[str, ...]) -> dict[str, str]:
    """Ansible variables that read the secrets where they are needed; a missing one is an error, not empty text."""
    return {name: f"{{{{ lookup('ansible.builtin.env', '{variable(name)}', default=undef()) }}}}" for name in names}


def git_address(url: str) -> str:
    """The repository's address for Semaphore, which checks out no commit from a plain path. Raises InvalidSetting."""
    if url.startswith("/"):
        return f"file://{url}"
    if "://" in url or "@" in url:
        return url
    raise InvalidSetting(
        f"The remote {url!r} is an address that Semaphore's host cannot use",
        remedy="Write git: {url: https://…} in fairlead.yaml",
    )


def _values(environment: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads(environment.get("json") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _normal(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The environment with its JSON in our order: only values are compared."""
    return {**environment, "json": json.dumps(_values(environment), sort_keys=True)} if environment else {}


def _lines(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """`field: old → new` for each field that differs."""
    return tuple(
        f"{key}: {_shown(found.get(key))} → {_shown(value)}" for key, value in wanted.items() if found.get(key) != value
    )


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)
