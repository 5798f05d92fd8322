"""The routes that are served, what each takes, and what it does. Named as in Semaphore's swagger file.

tests/lab/semaphore_api holds this table to the swagger file plus deploy/semaphore/extensions.py.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fairlead.lab.semaphore_api.runner import Runner, now_text
from fairlead.lab.semaphore_api.store import Fields, Store

VERSION = "v2.10.43-stand-in"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and what becomes the JSON body; None: no body."""

    status: int
    content: Any = None
    cookie: str = ""


class Refusal(Exception):
    """An answer that ends a request."""

    def __init__(self, status: int, error: str = "") -> None:
        super().__init__(error)
        self.answer = Answer(status, {"error": error} if error else None)


@dataclass
class Api:
    """What the handlers work on. password: of the user admin."""

    store: Store
    runner: Runner
    password: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request that fits a route. numbers: the path's, by name. query: the first value of each."""

    numbers: Mapping[str, int]
    body: Fields
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def project(self) -> int:
        """The project of the path."""
        return self.numbers["project_id"]


Handler = Callable[[Api, Request], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. fields: of its body; others are refused, where Go would silently drop them."""

    method: str
    path: str
    handler: Handler
    fields: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    open: bool = False

    @property
    def name(self) -> str:
        """As an extension names it."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object in a project. created: the status of a POST, with the object as its body where it is 201."""

    name: str
    route: str
    number: str
    fields: tuple[str, ...]
    created: int
    shown: tuple[str, ...]


KINDS = (
    Kind(
        "key", "keys", "key_id", ("name", "type", "project_id", "ssh", "login_password"), 204,
        ("id", "name", "type", "project_id"),
    ),
    Kind(
        "repository", "repositories", "repository_id",
        ("name", "project_id", "git_url", "git_branch", "ssh_key_id"), 204,
        ("id", "name", "project_id", "git_url", "git_branch", "ssh_key_id"),
    ),
    Kind(
        "inventory", "inventory", "inventory_id",
        ("name", "project_id", "inventory", "ssh_key_id", "type"), 201,
        ("id", "name", "project_id", "inventory", "ssh_key_id", "type"),
    ),
    Kind(
        "environment", "environment", "environment_id",
        ("name", "project_id", "json", "env", "secrets"), 204,
        ("id", "name", "project_id", "json", "env"),
    ),
    Kind(
        "template", "templates", "template_id",
        (
            "name", "project_id", "inventory_id", "repository_id", "environment_id", "playbook", "app", "type",
            "arguments", "description", "allow_override_args_in_task", "suppress_success_alerts", "survey_vars",
        ), 201,
        (
            "id", "name", "project_id", "inventory_id", "repository_id", "environment_id", "playbook", "app", "type",
            "arguments", "description", "allow_override_args_in_task", "suppress_success_alerts", "git_branch",
        ),
    ),
)  # fmt: skip
TASK_FIELDS = (
    "template_id", "project_id", "environment", "message", "commit_hash", "dry_run", "debug", "diff", "git_branch",
)  # fmt: skip
TASK_SHOWN = (
    "id", "template_id", "project_id", "status", "environment", "message", "commit_hash", "dry_run", "debug",
    "created", "start", "end", "playbook", "limit", "git_branch",
)  # fmt: skip
_PROJECT = ("name", "alert", "max_parallel_tasks")


def log_in(api: Api, request: Request) -> Answer:
    """A session for the browser's cookie."""
    if (request.body.get("auth"), request.body.get("password")) != ("admin", api.password):
        raise Refusal(401)
    session = api.store.add("session", 0, {"secret": secrets.token_hex(16)})
    return Answer(204, cookie=f"semaphore={session['secret']}; Path=/; HttpOnly")


def make_token(api: Api, _request: Request) -> Answer:
    """A token, in small letters: the real server compares the whole header so."""
    token = {"token": secrets.token_urlsafe(32).lower(), "created": now_text()}
    api.store.add("token", 0, token)
    return Answer(201, {"id": token["token"], "created": token["created"], "user_id": 1, "expired": False})


def info(_api: Api, _request: Request) -> Answer:
    """The version."""
    return Answer(200, {"version": VERSION})


def projects(api: Api, _request: Request) -> Answer:
    """All projects."""
    return Answer(200, api.store.all("project") or None)


def add_project(api: Api, request: Request) -> Answer:
    """A project with the key None, as the real server makes it."""
    made = api.store.add("project", 0, {"max_parallel_tasks": 0, "alert": False, **request.body})
    api.store.add("key", made["id"], {"name": "None", "type": "none", "project_id": made["id"]})
    return Answer(201, made)


def lister(kind: Kind) -> Handler:
    """All objects of a kind; null where there is none, as Go writes an empty list."""

    def handle(api: Api, request: Request) -> Answer:
        found = sorted(api.store.all(kind.name, request.project), key=lambda item: str(item.get("name")))
        return Answer(200, [_shown(kind.shown, item) for item in found] or None)

    return handle


def adder(kind: Kind) -> Handler:
    """A new object. Most answer 204 and do not say its number."""

    def handle(api: Api, request: Request) -> Answer:
        _require_project(request)
        made = api.store.add(kind.name, request.project, _prepared(kind, {}, request.body))
        return Answer(201, _shown(kind.shown, made)) if kind.created == 201 else Answer(204)

    return handle


def changer(kind: Kind) -> Handler:
    """An object's new values; the number stands in the body too."""

    def handle(api: Api, request: Request) -> Answer:
        number = request.numbers[kind.number]
        old = api.store.read(kind.name, number, request.project)
        if old is None:
            raise Refusal(404)
        _require_project(request)
        if request.body.get("id") != number:
            raise Refusal(400, f"{kind.name} ID in body and URL must be the same")
        api.store.change(kind.name, number, _prepared(kind, old, request.body))
        return Answer(204)

    return handle


def _require_project(request: Request) -> None:
    if request.body.get("project_id") != request.project:
        raise Refusal(400, "Project ID in body and URL must be the same")
    if not request.body.get("name"):
        raise Refusal(400, "name can not be empty")


def _prepared(kind: Kind, old: Fields, new: Fields) -> Fields:
    """What is stored of a request."""
    if kind.name == "environment":
        for part in ("json", "env"):
            _require_json(new.get(part), part)
        return {**new, "secrets": _with_secrets(old.get("secrets", []), new.get("secrets") or [])}
    if kind.name == "key" and old and not new.get("override_secret"):
        return {"name": new["name"]}
    if kind.name == "key":
        _require_key(new)
    return new


def _require_json(text: object, part: str) -> None:
    try:
        json.loads(str(text))
    except ValueError:
        raise Refusal(400, f"{part} must be valid JSON") from None


def _require_key(key: Fields) -> None:
    if key.get("type") == "ssh" and not key.get("ssh", {}).get("private_key"):
        raise Refusal(400, "private key can not be empty")
    if key.get("type") == "login_password" and not key.get("login_password", {}).get("password"):
        raise Refusal(400, "password can not be empty")


def _with_secrets(old: list[Fields], operations: list[Fields]) -> list[Fields]:
    """create adds, delete removes by number, update does nothing (2.10)."""
    kept = list(old)
    for one in operations:
        if one.get("operation") == "delete":
            kept = [secret for secret in kept if secret["id"] != one["id"]]
        if one.get("operation") == "create":
            number = max((secret["id"] for secret in kept), default=0) + 1
            kept.append({"id": number, "type": one["type"], "name": one["name"], "secret": one["secret"]})
    return kept


def read_environment(api: Api, request: Request) -> Answer:
    """One environment, with the names of its secrets."""
    found = api.store.read("environment", request.numbers["environment_id"], request.project)
    if found is None:
        raise Refusal(404)
    named = [{**secret, "secret": "", "operation": ""} for secret in found.get("secrets", [])]
    return Answer(200, {**_shown(("id", "name", "project_id", "json", "env"), found), "secrets": named})


def add_task(api: Api, request: Request) -> Answer:
    """A task that waits."""
    template = api.store.read("template", request.body.get("template_id"), request.project)
    if template is None:
        raise Refusal(500)  # the real server's answer to a template that is not there
    _require_json(request.body.get("environment") or "{}", "environment")
    fields = {"status": "waiting", "created": now_text(), "start": None, "end": None, "playbook": "", "limit": ""}
    task = api.store.add("task", request.project, {**request.body, **fields, "project_id": request.project})
    api.runner.enqueue(task["id"])
    return Answer(201, _shown(TASK_SHOWN, task))


def last_tasks(api: Api, request: Request) -> Answer:
    """The newest 200."""
    found = api.store.all("task", request.project)[:200]
    return Answer(200, [_shown(TASK_SHOWN, task) for task in found] or None)


def read_task(api: Api, request: Request) -> Answer:
    """One task."""
    return Answer(200, _shown(TASK_SHOWN, _task(api, request)))


def task_output(api: Api, request: Request) -> Answer:
    """All that it printed."""
    return Answer(200, api.store.said(_task(api, request)["id"]) or None)


def stop_task(api: Api, request: Request) -> Answer:
    """Stop it. Wants a body."""
    api.runner.stop(_task(api, request)["id"], force=bool(request.body.get("force")))
    return Answer(204)


def _task(api: Api, request: Request) -> Fields:
    """400 for one that is not there: the real server's answer."""
    task = api.store.read("task", request.numbers["task_id"], request.project)
    if task is None:
        raise Refusal(400)
    return task


def _shown(names: tuple[str, ...], fields: Fields) -> Fields:
    return {name: fields.get(name) for name in names}


_SORTING = ("sort", "order")


def _of_kind(kind: Kind) -> tuple[Route, ...]:
    root = f"/project/{{project_id}}/{kind.route}"
    more = ("id", *(("override_secret",) if kind.name == "key" else ()))
    return (
        Route("GET", root, lister(kind), query=_SORTING),
        Route("POST", root, adder(kind), kind.fields),
        Route("PUT", f"{root}/{{{kind.number}}}", changer(kind), (*kind.fields, *more)),
    )


_TASKS = "/project/{project_id}/tasks"
ROUTES: tuple[Route, ...] = (
    Route("POST", "/auth/login", log_in, ("auth", "password"), open=True),
    Route("POST", "/user/tokens", make_token),
    Route("GET", "/info", info),
    Route("GET", "/projects", projects),
    Route("POST", "/projects", add_project, _PROJECT),
    *(route for kind in KINDS for route in _of_kind(kind)),
    Route("GET", "/project/{project_id}/environment/{environment_id}", read_environment),
    Route("POST", _TASKS, add_task, TASK_FIELDS),
    Route("GET", f"{_TASKS}/last", last_tasks),
    Route("GET", f"{_TASKS}/{{task_id}}", read_task),
    Route("GET", f"{_TASKS}/{{task_id}}/output", task_output),
    Route("POST", f"{_TASKS}/{{task_id}}/stop", stop_task, ("force",)),
)
