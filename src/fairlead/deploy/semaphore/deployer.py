"""The deployer by Semaphore: which task, what it means, and what the machine is in when nothing can be said of it."""

import contextlib
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fairlead.config import layout
from fairlead.config.models import SemaphoreDeploy
from fairlead.deploy import report
from fairlead.deploy.base import (
    DeployRequest,
    DeployResult,
    Outcome,
    Running,
    RunningRequest,
    Target,
    cannot_look,
    unpinned,
)
from fairlead.deploy.inventory import extra_vars, unsafe
from fairlead.deploy.semaphore.api import Server
from fairlead.deploy.semaphore.following import ENDED, GIVEN_UP, Followed, Pace, Tasks, task_body
from fairlead.deploy.semaphore.host_key import ssh_variables
from fairlead.deploy.semaphore.output import Transcript
from fairlead.deploy.semaphore.place import Place, find, project_of, require_fit, template_name
from fairlead.deploy.semaphore.records import Record, Records
from fairlead.errors import ProgramInterrupted, SemaphoreError, SemaphoreMissing, SemaphoreRefused, SiteFault
from fairlead.process import NO_SECRETS, Mask

AtPoint = Callable[[str], None]


def _go_on(_point: str) -> None:
    """Nothing happens at the points where tests end the process."""


@dataclass(frozen=True)
class SemaphoreDeployer:
    """Deploys by tasks of a Semaphore project.

    records: where the running task's id is kept. mask: for what a task prints. at: told each point of a deploy.
    """

    server: Server
    settings: SemaphoreDeploy
    records: Records
    mask: Mask = NO_SECRETS
    pace: Pace = field(default_factory=Pace)
    at: AtPoint = _go_on

    def deploy(self, request: DeployRequest) -> DeployResult:
        """Run deploy.yml as a task of the template. See `Deployer.deploy`.

        The same run and commit is the same task: after a crash it is followed to its end, not started again.
        """
        values = self._values(request)
        try:
            return self._deploy(request, values)
        except SemaphoreError as error:
            reason = ": ".join(filter(None, (error.what, error.why)))
            return DeployResult(Outcome.SITE_FAULT, reason, remedy=error.remedy, code="semaphore")
        except ProgramInterrupted as error:
            raise ProgramInterrupted(error.what, why="Semaphore's task goes on", remedy=_AGAIN) from None

    def check_running(self, request: RunningRequest) -> Running:
        """Run inspect.yml as a task of the second template. See `Deployer.check_running`."""
        try:
            followed = self._inspect(request)
        except SemaphoreError as error:
            raise cannot_look(request, ": ".join(filter(None, (error.what, error.why))), error.remedy) from error
        results = followed.transcript.results
        seen = report.running(results)
        if followed.status == "success":  # the verdict is the status; what was seen is detail
            if seen is None and followed.transcript.is_whole:
                raise cannot_look(request, f"Semaphore's task {followed.task} looked at nothing", _VERBOSE)
            return Running(seen.containers, unpinned(request.pins, seen.containers)) if seen else Running((), ())
        if followed.status == "error" and seen and seen.differences:
            return seen
        raise cannot_look(request, *self._why(followed, request))

    def _values(self, request: Target) -> dict[str, object]:
        """No secret: those are in Semaphore's environment. The host key is checked whatever its host is set to."""
        told = {"ansible_host_key_checking": True, "fairlead_environment": unsafe(request.environment)}
        known_hosts = request.checkout / layout.KNOWN_HOSTS
        text = known_hosts.read_text(encoding="utf-8", errors="replace") if known_hosts.is_file() else ""
        keys = {name: unsafe(one) for name, one in ssh_variables(text, request.vm_ip, self.settings.port).items()}
        return extra_vars(replace(request, secrets={}), self.settings) | told | keys

    def _inspect(self, request: Target) -> Followed:
        place = self._place(request, layout.INSPECTION)
        tasks = self._tasks(place)
        body = task_body(self._values(request), _once(f"fairlead inspects {request.environment}"), request.commit)
        followed = self._follow(tasks, tasks.post(place, body)["id"], request)
        if self._place(request, layout.INSPECTION).fingerprint != place.fingerprint:
            raise cannot_look(request, _edited(followed.task))
        return followed

    def _place(self, request: Target, playbook: str) -> Place:
        project = project_of(self.server, self.settings, request.app)
        place = find(self.server, project, template_name(self.settings, playbook, request.environment))
        return require_fit(place, playbook, request.environment, request.pins)

    def _tasks(self, place: Place) -> Tasks:
        return Tasks(self.server, place.project, self.pace)

    def _follow(self, tasks: Tasks, task: int, request: Target) -> Followed:
        return tasks.follow(task, Transcript(self.mask, request.on_event), request.on_event)

    def _deploy(self, request: DeployRequest, values: dict[str, object]) -> DeployResult:
        place = self._place(request, layout.PLAYBOOK)
        tasks = self._tasks(place)
        if request.dry_run:
            body = task_body(values, _once(f"{_purpose(request)}: dry run"), request.commit, dry_run=True)
            return self._result(self._follow(tasks, tasks.post(place, body)["id"], request), request)
        record, attached = self._attach(tasks, request, place)
        if record is None:
            record = self._start(tasks, request, place, values, 1)
        elif attached in ENDED and record.told:
            earlier = self._result(self._follow(tasks, record.task, request), request)
            if earlier.outcome is Outcome.RELEASE_FAULT:
                return earlier
            record = self._start(tasks, request, place, values, record.attempt + 1)
        self.at("deploy:posted")
        followed = self._follow(tasks, record.task, request)
        self.at("deploy:ended")
        if (edited := self._place(request, layout.PLAYBOOK).fingerprint) != record.fingerprint:
            return self._edited(followed, record, edited)
        return self._told(followed, record, request)

    def _attach(self, tasks: Tasks, request: DeployRequest, place: Place) -> tuple[Record | None, str]:
        """The task of this run and commit, with its status, by the record, else by its message on the server."""
        purpose = _purpose(request)
        if record := self.records.read(purpose, self.server.url):
            with contextlib.suppress(SemaphoreMissing, SemaphoreRefused):  # 2.10 answers 400 for one that was deleted
                task = tasks.read(record.task)
                if task.get("message") == _message(purpose, record.attempt):
                    return record, str(task.get("status"))
        found = next(iter(tasks.carrying(f"{purpose}: try ")), None)
        if found is None:
            return None, ""
        attempt = _attempt(found)
        told = found.get("status") in ("error", "stopped")  # nobody here knows; a site fault may be tried again
        record = Record(self.server.url, place.project, found["id"], purpose, attempt, place.fingerprint, told)
        self.records.write(record)
        return record, str(found.get("status"))

    def _start(
        self, tasks: Tasks, request: DeployRequest, place: Place, values: dict[str, object], attempt: int
    ) -> Record:
        purpose = _purpose(request)
        self.at("deploy:before-post")
        task = tasks.post(place, task_body(values, _message(purpose, attempt), request.commit))
        self.at("deploy:before-record")
        record = Record(self.server.url, place.project, task["id"], purpose, attempt, place.fingerprint)
        self.records.write(record)
        return record

    def _told(self, followed: Followed, record: Record, request: DeployRequest) -> DeployResult:
        result = self._result(followed, request)
        if result.outcome is Outcome.SITE_FAULT and followed.status in ENDED:
            self.records.write(replace(record, told=True))
        return result

    def _edited(self, followed: Followed, record: Record, fingerprint: str) -> DeployResult:
        """The next try is a new task, on what is there now."""
        self.records.write(replace(record, told=True, fingerprint=fingerprint))
        return DeployResult(
            Outcome.SITE_FAULT,
            _edited(followed.task),
            remedy="Repeat the command: it starts a new task on what is there now",
            code="template-edited",
        )

    def _result(self, followed: Followed, request: DeployRequest) -> DeployResult:
        """The outcome. Success is the status alone; what the output says of it is detail."""
        if followed.late or followed.status in GIVEN_UP:
            return self._unfinished(followed, request)
        transcript = followed.transcript
        exit_code = 0 if followed.status == "success" else 1
        complaint = f"{transcript.missing}\n{transcript.tail}".strip()
        result = report.deploy_result(transcript.results, exit_code, request.vm_ip, complaint)
        if followed.status == "success" and not result.ok:
            unchanged = transcript.nothing_changed and not result.changes
            return DeployResult(Outcome.UNCHANGED if unchanged else Outcome.DEPLOYED, changes=result.changes)
        if followed.status != "success" and result.code == "playbook":
            return replace(
                result, reason=f"Semaphore's task {followed.task} ended with {followed.status}: {result.reason}"
            )
        return result

    def _unfinished(self, followed: Followed, request: DeployRequest) -> DeployResult:
        task = f"Semaphore's task {followed.task}"
        if followed.late:
            what = f"{task} was asked to stop, because {followed.late}; it is {followed.status or 'not known'} now"
        else:
            what = f"{task} was stopped, or lost when Semaphore was restarted"
        state = self._state(request) if followed.ran else "It never ran, so the machine is as it was"
        return DeployResult(Outcome.SITE_FAULT, f"{what}. {state}", remedy=_AGAIN, code="stopped")

    def _state(self, request: DeployRequest) -> str:
        """What the machine is in, as far as a look at it can tell."""
        looked = {name: value for name, value in vars(request).items() if name not in ("fence", "run", "dry_run")}
        try:
            running = self.check_running(RunningRequest(**looked))
        except SiteFault as error:
            return f"The machine could not be read: {error.why}"
        if running.matches:
            return "The machine runs this release; whether the deploy came to its end is not known"
        return f"The machine does not run this release: {'; '.join(running.differences)}"

    def _why(self, followed: Followed, request: Target) -> tuple[str, str]:
        transcript = followed.transcript
        if followed.late:
            return f"Semaphore's task {followed.task} was stopped, because {followed.late}", ""
        return report.why(transcript.results, request.vm_ip, f"{transcript.missing}\n{transcript.tail}".strip())


_VERBOSE = "fairlead doctor says whether its template passes -v; without it results cannot be read"
_LONGEST_RUN = 120  # Semaphore keeps 250 characters of a message
_AGAIN = "Repeat the command; fairlead doctor looks at Semaphore"


def _purpose(request: DeployRequest) -> str:
    """What a task is for, as its message begins: which run, environment and commit."""
    run = request.run
    if len(run) > _LONGEST_RUN:
        run = f"{run[:100]}~{hashlib.sha256(run.encode()).hexdigest()[:16]}"
    return f"fairlead {run} deploys {request.environment} {request.commit}"


def _once(message: str) -> str:
    """A message that no other task has: what is asked anew is never answered by an earlier task."""
    return f"{message} {secrets.token_hex(6)}"


def _edited(task: int) -> str:
    """Why nobody can say what ran."""
    return f"Semaphore's template, or what it is made of, was edited while task {task} was under way"


def _message(purpose: str, attempt: int) -> str:
    return f"{purpose}: try {attempt}"


def _attempt(task: dict[str, Any]) -> int:
    number = str(task.get("message", "")).rpartition(" ")[2]
    return int(number) if number.isdecimal() else 1
