"""What the steps of a run do, behind one seam: thin calls into the stages, each safe to repeat.

What they return is recorded in DBOS's tables: JSON, small, without secrets. What is wrong they raise: ReleaseFailed for
the release's own fault, Superseded for a release that is not the newest any more, anything else for the site's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypedDict

from fairlead.deploy.base import Deployer, Event, OnEvent, ignore
from fairlead.deployment_repo.message import ImageChange
from fairlead.errors import ReleaseFailed
from fairlead.images import ImageReference
from fairlead.pipeline import release
from fairlead.pipeline.detect import Answer, Detection, detect
from fairlead.pipeline.scope import Scope
from fairlead.provision.base import Machine
from fairlead.verify import base as checks
from fairlead.verify.base import CheckResult, Verdict, Verification

Said = dict[str, Any]
"""A stage's result: `text` for people, and what later stages need."""


class Request(TypedDict):
    """What a run is started with; it is recorded before the first step.

    commit: the branch's head that was looked at. changes: the pins to bump, empty for an unproven head.
    """

    run: str
    environment: str
    commit: str
    changes: list[Said]
    on_failure: str


class Stages(Protocol):
    """The stages of one environment. Each is safe to repeat with the same arguments."""

    def bump(self, request: Request) -> Said:
        """`commit`: the release's commit, made by this run now or earlier, or the head that was looked at."""

    def provision(self, commit: str, run: str) -> Said:
        """`vm_ip`: the machine's address. Raises Superseded."""

    def deploy(self, commit: str, vm_ip: str, run: str) -> Said:
        """Brings the machine to the commit. Raises ReleaseFailed, Superseded."""

    def verify(self, commit: str, vm_ip: str) -> Said:
        """`checks`, `began`, `ended`: what a proof needs. Raises ReleaseFailed."""

    def prove(self, commit: str, run: str, verified: Said) -> Said:
        """Records the proof."""

    def roll_back(self, commit: str, run: str, reason: str) -> Said:
        """`commit`: the one that pins what `to` had proven. Raises Superseded, ReleaseFailed: there is no way back."""


@dataclass
class RepositoryStages:
    """The stages of a deployment repository's environment.

    scope: as looked at. deployer, machine: instead of what fairlead.yaml names. on_event: told what a deploy does.
    retries, delay (seconds): of the checks, instead of what the file says.
    """

    scope: Scope
    deployer: Deployer | None = None
    machine: Machine | None = None
    on_event: OnEvent = field(default=ignore)
    retries: int | None = None
    delay: float | None = None

    def bump(self, request: Request) -> Said:
        """See Stages."""
        if not request["changes"]:
            return {"commit": request["commit"], "text": f"no image is new; {request['commit'][:9]} is not proven yet"}
        changes = [_change(change) for change in request["changes"]]
        made = release.bump(self.scope, changes, request["run"])
        titles = ", ".join(change.title for change in made.changes) or "every pin is already there"
        return {"commit": made.commit, "text": f"{titles}: {made.commit[:9]}"}

    def provision(self, commit: str, run: str) -> Said:
        """See Stages."""
        from fairlead.pipeline import machines  # noqa: PLC0415 - a look that finds nothing does not pay for it

        scope = self._newest(commit)
        machine = self.machine or machines.provision(scope, machines.Wish(run=run))
        how = "is ready" if machine.changed else f"is there ({machine.skipped})" if machine.skipped else "is there"
        return {"vm_ip": machine.vm_ip, "text": f"{machine.vm_ip} {how}"}

    def deploy(self, commit: str, vm_ip: str, run: str) -> Said:
        """See Stages."""
        from fairlead.pipeline import rollout  # noqa: PLC0415

        scope = self._newest(commit)
        result = rollout.deploy(scope, Machine(vm_ip), run, deployer=self.deployer, on_event=self.on_event)
        if result.code == "stale":
            self._newest(commit)  # somebody else was quicker with a newer release; else the fault is the machine's
        if fault := rollout.deploy_fault(scope, result):
            raise fault
        services = ", ".join(f"{change.service} {change.action}" for change in result.changes)
        return {"text": services or "nothing had to change"}

    def verify(self, commit: str, vm_ip: str) -> Said:
        """See Stages."""
        from fairlead.pipeline import rollout  # noqa: PLC0415

        scope = self.scope.at(commit)
        new = not rollout.proven_before(scope)
        verification = rollout.verify(
            scope,
            Machine(vm_ip),
            new=new,
            deployer=self.deployer,
            retries=self.retries,
            delay=self.delay,
            on_attempt=self._tell_attempt,
        )
        if fault := rollout.verification_fault(scope, verification):
            self._newest(commit)
            raise fault
        names = [result.name for result in verification.results]
        times = {"began": verification.began.isoformat(), "ended": verification.ended.isoformat()}
        return {"checks": names, **times, "text": f"{len(names)} checks passed"}

    def _tell_attempt(self, check: str, attempt: int, outcome: checks.Outcome) -> None:
        """What fails is tried again for minutes; whoever watches should know what for."""
        if not outcome.passed:
            said = f"attempt {attempt}: expected {outcome.expected}; came {outcome.came}"
            self.on_event(Event(check, "retrying", detail=said))

    def prove(self, commit: str, run: str, verified: Said) -> Said:
        """See Stages."""
        from fairlead.pipeline import rollout  # noqa: PLC0415

        rollout.prove(self.scope.at(commit), run, _verification(verified))
        return {"text": f"{commit[:9]} is proven"}

    def roll_back(self, commit: str, run: str, reason: str) -> Said:
        """See Stages."""
        scope = self.scope
        proven = release.last_proven(scope, commit)
        today, reason = datetime.now(UTC).date().isoformat(), reason.removeprefix(f"{scope.environment}: ")
        try:
            made = release.roll_back(scope, commit, proven.commit, run, reason, quarantine_on=today)
        except ReleaseFailed:
            self._newest(commit)  # another machine went back already, or on; else there is no way back
            raise
        titles = [*(change.title for change in made.changes), *made.message.restored]
        return {"commit": made.commit, "to": proven.commit, "text": f"{', '.join(titles)}: {made.commit[:9]}"}

    def _newest(self, commit: str) -> Scope:
        """The release's scope, if nothing newer concerns the environment. Raises Superseded."""
        scope = self.scope.at(commit)
        release.require_newest(scope)
        return scope


def look(scope: Scope) -> Detection:
    """Is there work? Raises as detect does."""
    return detect(scope)


def request_of(scope: Scope, detection: Detection, run: str) -> Request:
    """What a run for this detection is started with."""
    changes = detection.changes if detection.answer is Answer.CANDIDATES else ()
    return Request(
        run=run,
        environment=scope.environment,
        commit=detection.commit,
        changes=[_written(change) for change in changes],
        on_failure=scope.configuration.on_failure_in(scope.environment),
    )


def _written(change: ImageChange) -> Said:
    texts = {"policy": change.policy, "source": change.source, "revision": change.revision}
    return {"name": change.name, "old": str(change.old) if change.old else None, "new": str(change.new), **texts}


def _change(written: Mapping[str, Any]) -> ImageChange:
    old = ImageReference.parse(written["old"]) if written["old"] else None
    texts = {name: written[name] for name in ("policy", "source", "revision")}
    return ImageChange(written["name"], old, ImageReference.parse(written["new"]), **texts)


def _verification(verified: Said) -> Verification:
    """The verification that passed, as far as a proof needs it."""
    results = tuple(CheckResult(name, True, "", "", 1, 0.0) for name in verified["checks"])
    began, ended = (datetime.fromisoformat(verified[name]) for name in ("began", "ended"))
    return Verification(Verdict.PASSED, results, began, ended)
