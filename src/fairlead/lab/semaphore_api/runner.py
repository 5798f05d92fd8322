"""Runs tasks as Semaphore does: a queue in memory, looked at every few seconds, one task of a template at a time.

What waits or runs when the server ends stays so for ever: the queue is gone, the status is not (semaphore#3287).
"""

import json
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead import process
from fairlead.deploy.private import end_processes, private_directory, write_private
from fairlead.errors import ProgramError
from fairlead.lab.semaphore_api.store import Fields, Store

ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
ENDED = ("success", "error", "stopped")
_PASSED_ON = ("PATH", "LANG", "SSL_CERT_FILE")


class Runner:
    """The queue. directory: for clones. tick: seconds between two looks at the queue (the real one's: 5)."""

    def __init__(self, store: Store, directory: Path, tick: float) -> None:
        self.paused = False
        self._store = store
        self._directory = directory
        self._tick = tick
        self._queue: list[int] = []
        self._running: dict[int, Path] = {}
        self._ending = threading.Event()
        self._alone = threading.Lock()

    def start(self) -> None:
        """Begin to look at the queue."""
        threading.Thread(target=self._look, daemon=True).start()

    def end(self) -> None:
        """Kill what runs: the server ends."""
        self._ending.set()
        for private in list(self._running.values()):
            end_processes(private)

    def enqueue(self, task: int) -> None:
        """Let a new task wait for its turn."""
        with self._alone:
            self._queue.append(task)
        self._say(task, f"Task {task} added to queue")

    def stop(self, task: int, *, force: bool) -> None:
        """As Semaphore stops: a task that it does not know (any more) is stopped; one that runs is killed."""
        known, private = task in self._queue or task in self._running, self._running.get(task)
        self._status(task, "stopped" if force or not known else "stopping")
        if private:
            end_processes(private)

    def _look(self) -> None:
        while not self._ending.wait(self._tick):
            with self._alone:
                task = self._queue[0] if self._queue and not self.paused else None
                if task is not None:
                    self._queue.pop(0)
                    if self._is_blocked(task):
                        self._queue.append(task)
                        task = None
            if task is not None:
                threading.Thread(target=self._run, args=(task,), daemon=True).start()

    def _is_blocked(self, task: int) -> bool:
        template = self._task(task)["template_id"]
        return any(self._task(other)["template_id"] == template for other in self._running)

    def _run(self, number: int) -> None:
        if self._task(number)["status"] == "stopping":
            self._status(number, "stopped")
            return
        with private_directory() as private:
            self._running[number] = private
            try:
                self._status(number, "starting")
                self._say(number, f"Started: {number}")
                self._status(number, "running")
                self._play(self._task(number), private)
            except (ProgramError, OSError, ValueError) as error:
                self._say(number, f"Running app failed: {error}")
                self._status(number, "error")
            else:
                self._status(number, "success")
            finally:
                del self._running[number]

    def _play(self, task: Fields, private: Path) -> None:
        parts = self._parts(task)
        checkout = self._checkout(task, parts)
        try:
            process.run(
                playbook_argv(task, parts, private),
                cwd=checkout,
                environment=self._environment(parts, private),
                inherit=False,
                on_line=lambda _stream, line: self._say(task["id"], line),
            )
        finally:
            end_processes(private)  # ssh keeps connections open for the next task, in a directory that is wiped now

    def _parts(self, task: Fields) -> dict[str, Fields]:
        template = self._store.read("template", task["template_id"]) or {}
        parts = {name: self._store.read(name, template.get(f"{name}_id")) or {} for name in _PARTS}
        inventory_key = self._store.read("key", parts["inventory"].get("ssh_key_id")) or {}
        repository_key = self._store.read("key", parts["repository"].get("ssh_key_id")) or {}
        return {**parts, "template": template, "key": inventory_key, "git_key": repository_key}

    def _environment(self, parts: Mapping[str, Fields], private: Path) -> dict[str, str]:
        """The variables that Ansible gets. Host keys are not checked, as in Semaphore's own image."""
        inherited = process.inherited()
        given: dict[str, str] = json.loads(parts["environment"].get("env") or "{}")
        secrets = {one["name"]: one["secret"] for one in _secrets(parts) if one["type"] == "env"}
        own = {"PYTHONUNBUFFERED": "1", "ANSIBLE_FORCE_COLOR": "True", "ANSIBLE_HOST_KEY_CHECKING": "False"}
        own["HOME"] = str(private)
        if private_key := parts["key"].get("ssh", {}).get("private_key"):
            own["ANSIBLE_PRIVATE_KEY_FILE"] = str(write_private(private / "key", private_key.rstrip("\n") + "\n"))
        return {name: inherited[name] for name in _PASSED_ON if name in inherited} | own | given | secrets

    def _checkout(self, task: Fields, parts: Mapping[str, Fields]) -> Path:
        """The clone at the task's commit. A path is run as it stands, whatever commit is asked for."""
        repository, template = parts["repository"], parts["template"]
        if repository["git_url"].startswith("/"):
            return Path(repository["git_url"])
        place = self._directory / f"repository_{repository['id']}_{template['id']}"
        branch = task.get("git_branch") or template.get("git_branch") or repository["git_branch"]
        for argv in git_argvs(_address(repository["git_url"], parts["git_key"]), branch, place, task["commit_hash"]):
            process.run(argv, environment={"GIT_TERMINAL_PROMPT": "0"}, timeout=120)
        return place

    def _task(self, number: int) -> Fields:
        return self._store.read("task", number) or {}

    def _status(self, number: int, status: str) -> None:
        """What has ended stays so; what is being stopped does not run again. A server that ends writes nothing more."""
        if self._ending.is_set():
            return
        now, fields = self._task(number).get("status"), {"status": status}
        if now in ENDED or (now == "stopping" and status in ("waiting", "starting", "running")):
            return
        if now == "stopping" and status == "success":
            return
        moment = {"running": "start", "success": "end", "error": "end", "stopped": "end"}.get(status)
        self._store.change("task", number, fields | ({moment: now_text()} if moment else {}))

    def _say(self, number: int, line: str) -> None:
        if self._ending.is_set():
            return
        self._store.say(number, now_text(), line)


_PARTS = ("inventory", "repository", "environment")


def now_text() -> str:
    """The time as Go writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def git_argvs(address: str, branch: str, place: Path, commit: str | None) -> list[list[str]]:
    """Clone where there is no clone, else fetch; then the commit, or the branch's head."""
    if place.is_dir():
        first = [
            "git",
            "-C",
            str(place),
            "fetch",
            "--quiet",
            "origin",
            f"+refs/heads/{branch}:refs/remotes/origin/{branch}",
        ]
    else:
        first = ["git", "clone", "--quiet", "--recursive", "--branch", branch, "--", address, str(place)]
    target = commit or f"origin/{branch}"
    return [first, ["git", "-C", str(place), "checkout", "--quiet", "--force", "--detach", target]]


def _address(url: str, key: Fields) -> str:
    login = key.get("login_password") or {}
    if not url.startswith(("http://", "https://")) or not login.get("password"):
        return url
    scheme, _, rest = url.partition("://")
    who = f"{login['login']}:{login['password']}" if login.get("login") else login["password"]
    return f"{scheme}://{who}@{rest}"


def playbook_argv(task: Fields, parts: Mapping[str, Fields], private: Path) -> list[str]:
    """ansible-playbook as the real server calls it: every extra-var stands in its arguments."""
    inventory, template = parts["inventory"], parts["template"]
    hosts = inventory["inventory"]
    if inventory["type"] == "static":
        hosts = str(write_private(private / "inventory", hosts))
    user = parts["key"].get("ssh", {}).get("login")
    words = [str(ANSIBLE), "-i", hosts, *(["--user", user] if user else [])]
    words += [*(["--diff"] if task.get("diff") else []), *(["--check"] if task.get("dry_run") else [])]
    words += ["--extra-vars", json.dumps(_extra_vars(task, parts["environment"]))]
    for secret in _secrets(parts):
        words += ["--extra-vars", f"{secret['name']}={secret['secret']}"] if secret["type"] == "var" else []
    return [*words, *_arguments(template), task.get("playbook") or template["playbook"]]


def _extra_vars(task: Fields, environment: Fields) -> dict[str, Any]:
    """The environment's values beat the task's."""
    details = {"id": task["id"], "message": task.get("message", ""), "username": "admin", "url": None}
    given = json.loads(task.get("environment") or "{}") | json.loads(environment.get("json") or "{}")
    return {**given, "semaphore_vars": {"task_details": details}}


def _arguments(template: Fields) -> Sequence[str]:
    return [str(word) for word in json.loads(template.get("arguments") or "[]")]


def _secrets(parts: Mapping[str, Fields]) -> Sequence[Fields]:
    return list(parts["environment"].get("secrets") or ())
