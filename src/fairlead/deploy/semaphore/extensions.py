"""What Semaphore's API takes and gives beyond its 2.10 swagger file, as far as Fairlead relies on it.

The contract test of the lab's stand-in holds routes, parameters and answers to the swagger file plus this list.
`tried` is what was measured on a real 2.10 server; `read` was found in its source (d4a2713, October 2024).
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Extension:
    """One addition. route: as the swagger file writes it. fields: of the request's body. answers: of the answer's."""

    route: str
    known_by: Literal["tried", "read"]
    what: str
    fields: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()


_TASK = ("project_id", "message", "commit_hash", "created", "start", "end", "dry_run")
_SECRETS = ("secrets",)

EXTENSIONS = (
    Extension("POST /user/tokens", "tried", "no body is needed; the answer's id is the bearer token"),
    Extension(
        "POST /project/{project_id}/tasks",
        "tried",
        "checks out commit_hash, keeps message; the task's environment is a JSON object as text",
        ("project_id", "message", "commit_hash"),
        _TASK,
    ),
    Extension(
        "POST /project/{project_id}/tasks/{task_id}/stop",
        "read",
        "wants a body; a running task becomes stopping and is killed, one that is lost after a restart becomes stopped",
        ("force",),
    ),
    Extension("GET /project/{project_id}/tasks/{task_id}", "read", "400 for a task that is not there", (), _TASK),
    Extension("GET /project/{project_id}/tasks/last", "read", "newest first, with what POST took", (), _TASK),
    Extension(
        "GET /project/{project_id}/environment/{environment_id}",
        "read",
        "one environment with the names of its secrets, never their values",
        (),
        ("id", "name", "project_id", "json", "env", *_SECRETS),
    ),
    Extension(
        "POST /project/{project_id}/environment",
        "tried",
        "secrets: name, secret, type (var: an extra-var; env: a variable of the process), operation: create",
        _SECRETS,
    ),
    Extension(
        "PUT /project/{project_id}/environment/{environment_id}",
        "read",
        "secrets as in POST, also operation: delete with its id; update changes nothing (2.10)",
        ("id", *_SECRETS),
    ),
    Extension("PUT /project/{project_id}/keys/{key_id}", "read", "a new value", ("id", "override_secret")),
    Extension("PUT /project/{project_id}/repositories/{repository_id}", "read", "the id in the body too", ("id",)),
    Extension("PUT /project/{project_id}/inventory/{inventory_id}", "read", "the id in the body too", ("id",)),
    Extension(
        "POST /project/{project_id}/templates", "tried", "a type; answers with its id", ("type",), ("id", "type")
    ),
    Extension("GET /project/{project_id}/templates", "tried", "a type", (), ("type",)),
    Extension("PUT /project/{project_id}/templates/{template_id}", "read", "its id and type", ("id", "type")),
    Extension("POST /projects", "tried", "answers with the project", (), ("id", "name", "alert", "max_parallel_tasks")),
)
