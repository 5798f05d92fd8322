"""One task of Semaphore's from its start to its end: found again, posted once, followed, stopped at the deadline."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fairlead import process
from fairlead.deploy.base import Event, OnEvent
from fairlead.deploy.semaphore.api import Server
from fairlead.deploy.semaphore.output import Transcript
from fairlead.deploy.semaphore.place import Place
from fairlead.errors import SemaphoreError, SemaphoreRefused, SemaphoreUnreachable

GIVEN_UP = ("stopped", "rejected")
ENDED = ("success", "error", *GIVEN_UP)
RUNNING = ("running", "stopping")
_POSTS = 3


@dataclass(frozen=True)
class Pace:
    """Times in seconds.

    poll: between two looks. running: how long a task may run. patience: how long it may wait before that, and how long
    the server may be away. stopping: how long a stop may take. clock, pause: injected by tests.
    """

    poll: float = 1.0
    running: float = 3600.0
    patience: float = 600.0
    stopping: float = 30.0
    clock: Callable[[], float] = field(default=time.monotonic)
    pause: Callable[[float], None] = field(default=process.pause)


@dataclass(frozen=True)
class Followed:
    """How a task ended. status: Semaphore's word. late: why it was stopped by us, "" where it ended by itself.

    ran: whether it ever ran. transcript: what it printed, as far as the server gave it.
    """

    task: int
    status: str
    transcript: Transcript
    ran: bool = True
    late: str = ""


@dataclass(frozen=True)
class Tasks:
    """The tasks of one project."""

    server: Server
    project: int
    pace: Pace

    @property
    def _root(self) -> str:
        return f"/project/{self.project}/tasks"

    def read(self, task: int) -> dict[str, Any]:
        """One task."""
        return self.server.read(f"{self._root}/{task}")

    def carrying(self, prefix: str) -> list[dict[str, Any]]:
        """The tasks whose message begins so, the newest first, of the last 200."""
        found = self.server.listed(f"{self._root}/last")
        return [task for task in found if str(task.get("message", "")).startswith(prefix)]

    def post(self, place: Place, body: Mapping[str, Any]) -> dict[str, Any]:
        """Start a task, once: after an answer that is lost it is looked for before it is posted again.

        Raises SemaphoreError.
        """
        message = str(body["message"])
        for attempt in range(1, _POSTS + 1):
            try:
                return self._posted(self.server.post(self._root, {**body, "template_id": place.template_id}))
            except SemaphoreUnreachable:
                self.pace.pause(self.pace.poll)
                if found := self._look_again(message):
                    return found
                if attempt == _POSTS:
                    raise
        raise AssertionError

    def _posted(self, answer: Any) -> dict[str, Any]:
        if not isinstance(answer, dict) or not isinstance(answer.get("id"), int):
            raise SemaphoreRefused(
                "Semaphore's answer to a new task names no task",
                why=f"Came: {str(answer)[:200]}",
                remedy="Repeat the command: it looks for the task before it starts one",
            )
        return answer

    def _look_again(self, message: str) -> dict[str, Any] | None:
        """The task with exactly this message, once the server answers again."""
        for found in self._patiently(lambda: self.carrying(message)):
            return next((task for task in found if task.get("message") == message), None)
        return None

    def _patiently(self, ask: Callable[[], Any]) -> Iterator[Any]:
        """Answers, again and again. Raises SemaphoreUnreachable when none came for as long as `patience`."""
        answered = self.pace.clock()
        while True:
            try:
                answer = ask()
            except SemaphoreUnreachable:
                if self.pace.clock() - answered > self.pace.patience:
                    raise
            else:
                answered = self.pace.clock()
                yield answer
            self.pace.pause(self.pace.poll)

    def follow(self, task: int, transcript: Transcript, on_event: OnEvent) -> Followed:
        """Watch it to its end, or to its deadline. Raises SemaphoreError where nothing can be said of it."""
        name, began, ran, last = f"Semaphore's task {task}", self.pace.clock(), False, ""
        for answer in self._patiently(lambda: self.read(task)):
            status = str(answer.get("status", ""))
            if status != last and status not in ENDED:
                on_event(Event(name, "note" if last else "started", 0.0, f"{status}{self._behind(status)}"))
            last = status
            if status in RUNNING and not ran:
                began, ran = self.pace.clock(), True
            self._take_output(task, transcript)
            if status in ENDED:
                on_event(Event(name, "ok" if status == "success" else "failed", self.pace.clock() - began, status))
                return Followed(task, status, transcript, ran=ran or bool(answer.get("start")))
            if late := self._late(ran=ran, began=began):
                return self._stop(task, transcript, ran=ran, late=late)
        raise AssertionError

    def _behind(self, status: str) -> str:
        """What runs while ours waits: Semaphore lets one task of a template run at a time."""
        if status != "waiting":
            return ""
        try:
            others = [other for other in self.server.listed(f"{self._root}/last") if other.get("status") in RUNNING]
        except SemaphoreError:
            return ""
        return "".join(f"; task {other.get('id')} runs: {other.get('message')}" for other in others)

    def _take_output(self, task: int, transcript: Transcript) -> None:
        """The output is for watching: whatever is wrong with it changes no result."""
        try:
            transcript.take(self.server.listed(f"{self._root}/{task}/output"))
        except SemaphoreError as error:
            transcript.missing = error.what

    def _late(self, *, ran: bool, began: float) -> str:
        spent, bound = self.pace.clock() - began, self.pace.running if ran else self.pace.patience
        if spent <= bound:
            return ""
        return f"it {'ran' if ran else 'waited'} for more than {bound:g} s"

    def _stop(self, task: int, transcript: Transcript, *, ran: bool, late: str) -> Followed:
        """Ask Semaphore to stop it, and wait a little; force it where asking does not help."""
        status = ""
        for force in (False, True):
            try:
                self.server.post(f"{self._root}/{task}/stop", {"force": force})
                status = self._until_ended(task)
            except SemaphoreError as error:
                status = status or f"not stopped ({error.what})"
            if status in ENDED:
                break
        self._take_output(task, transcript)
        return Followed(task, status, transcript, ran=ran, late=late)

    def _until_ended(self, task: int) -> str:
        deadline = self.pace.clock() + self.pace.stopping
        while True:
            self.pace.pause(self.pace.poll)
            status = str(self.read(task).get("status", ""))
            if status in ENDED or self.pace.clock() > deadline:
                return status


def task_body(values: Mapping[str, object], message: str, commit: str, *, dry_run: bool = False) -> dict[str, Any]:
    """What is posted. values: extra-vars, which the real server shows in `ps` on its host: no secret among them."""
    return {
        "environment": json.dumps(values, ensure_ascii=True),
        "message": message,
        "commit_hash": commit,
        "dry_run": dry_run,
        "debug": False,
        "diff": False,
    }
