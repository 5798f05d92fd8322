"""The stand-in is held to Semaphore's API, in both directions: what it takes and what it answers.

contract.json holds what the swagger file of Semaphore 2.10 says of the stand-in's routes: fields of the body, query,
statuses of success, fields of the answer. Whatever goes beyond it stands in deploy/semaphore/extensions.py.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.deploy.semaphore.extensions import EXTENSIONS
from fairlead.lab.semaphore_api.routes import KINDS, ROUTES, Route
from fairlead.lab.semaphore_api.store import FIRST_TASK
from tests.deploy.semaphore import Yard
from tests.lab.semaphore_api.running import Running, running

CONTRACT: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "contract.json").read_text())


def allowed(route: str, part: str) -> set[str]:
    """What the swagger file and the extensions know of a route."""
    more = [extension for extension in EXTENSIONS if extension.route == route]
    own = {"fields": [name for one in more for name in one.fields], "answers": [n for one in more for n in one.answers]}
    return {*CONTRACT.get(route, {}).get(part, ()), *own.get(part, ())}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_and_parameter_is_semaphores(route: Route) -> None:
    assert route.name in CONTRACT or route.name in {extension.route for extension in EXTENSIONS}
    assert set(route.fields) <= allowed(route.name, "fields")
    assert set(route.query) <= allowed(route.name, "query")


def test_everything_that_is_promised_is_served() -> None:
    served = {route.name for route in ROUTES}
    assert served >= CONTRACT.keys()
    assert served >= {extension.route for extension in EXTENSIONS}
    for extension in EXTENSIONS:
        assert set(extension.fields) <= set(next(one.fields for one in ROUTES if one.name == extension.route))


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    (tmp_path / "yard").mkdir()
    with running(tmp_path / "semaphore") as server:
        yield Yard(tmp_path / "yard", server)


def ask(server: Running, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and answer of one request."""
    token = (server.directory / "token").read_text()
    request = urllib.request.Request(f"{server.url}/api{path}", method=method)
    for name, value in {"Authorization": f"Bearer {token}", **headers}.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, None if body is None else json.dumps(body).encode(), timeout=60) as answer:
            content = answer.read()
            return answer.status, json.loads(content) if content else None
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, None


def bodies(project: int) -> dict[str, Any]:
    """A good body for every route that takes one."""
    named = {"name": "new", "project_id": project}
    whole = {
        "keys": {**named, "type": "none"},
        "repositories": {**named, "git_url": "file:///x", "git_branch": "main", "ssh_key_id": 1},
        "inventory": {**named, "type": "file", "inventory": "x", "ssh_key_id": 1},
        "environment": {**named, "json": "{}", "env": "{}"},
        "templates": {**named, "playbook": "x.yml", "app": "ansible"},
    }
    root = "/project/{project_id}"
    posts = {f"POST {root}/{kind}": body for kind, body in whole.items()}
    puts = {f"PUT {root}/{kind.route}/{{{kind.number}}}": {**whole[kind.route], "id": 1} for kind in KINDS}
    task = {"template_id": 1, "environment": "{}", "message": "m", "project_id": project}
    return {
        **posts,
        **puts,
        "POST /auth/login": {"auth": "admin", "password": "changeme"},
        "POST /projects": {"name": "another"},
        f"POST {root}/tasks": task,
        f"POST {root}/tasks/{{task_id}}/stop": {"force": True},
    }


def test_every_answer_has_the_status_and_the_fields_of_semaphores(yard: Yard) -> None:
    yard.semaphore.plan(paused=True)
    given = bodies(yard.project)
    numbers = {kind.number: 1 for kind in KINDS} | {"project_id": yard.project, "task_id": FIRST_TASK}
    for route in sorted(ROUTES, key=lambda route: (route.method != "POST", "{task_id}" in route.path)):
        status, answer = ask(yard.semaphore, route.method, route.path.format(**numbers), given.get(route.name))
        assert status in CONTRACT.get(route.name, {"statuses": [200]})["statuses"], route.name
        for one in answer if isinstance(answer, list) else [answer] if answer else []:
            assert set(one) <= allowed(route.name, "answers"), route.name


def test_the_real_servers_habits(yard: Yard) -> None:
    server, project = yard.semaphore, yard.project
    yard.semaphore.plan(paused=True)
    root = f"/project/{project}"
    posted = [ask(server, "POST", f"{root}/tasks", {"template_id": 1, "project_id": project})[1] for _ in range(2)]
    assert [task["id"] for task in posted] == [FIRST_TASK, FIRST_TASK - 1]
    assert [task["status"] for task in posted] == ["waiting"] * 2
    assert ask(server, "POST", f"{root}/tasks", {"template_id": 99, "project_id": project})[0] == 500
    assert ask(server, "GET", f"{root}/tasks/7")[0] == 400
    assert ask(server, "GET", "/project/99/tasks/last")[0] == 404
    assert ask(server, "POST", f"{root}/keys", {"name": "x", "type": "ssh", "project_id": project})[0] == 400
    assert ask(server, "POST", f"{root}/keys", {"name": "x", "type": "none", "project_id": 99})[0] == 400
    assert ask(server, "POST", f"{root}/keys", {"name": "x", "colour": "red"})[0] == 400
    assert ask(server, "POST", f"{root}/tasks/{FIRST_TASK}/stop")[0] == 400  # wants a body
    assert ask(server, "GET", "/projects", Authorization="Bearer wrong")[0] == 401
    assert ask(server, "POST", "/auth/login", {"auth": "admin", "password": "wrong"})[0] == 401
    assert ask(server, "POST", f"{root}/tasks/{FIRST_TASK}/stop", {})[0] == 204
    yard.semaphore.restart()
    assert [task["status"] for task in yard.posted] == ["waiting", "stopping"]  # nobody will ever run them
    assert ask(server, "POST", f"{root}/tasks/{FIRST_TASK - 1}/stop", {})[0] == 204
    assert [task["status"] for task in yard.posted] == ["stopped", "stopping"]
