"""What Ansible's results mean: which outcome, whose fault, in words for a person. Pure.

A result is one line of the private file that callback/fairlead_events.py writes. A failure is the release's fault only
where the module says so, or where the application does not answer on its own machine after the module was content;
everything else (rendering, login, ssh, the engine) is a site fault: it rolls nothing back and quarantines nothing.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.config import layout
from fairlead.deploy.base import DeployResult, Outcome, Running, RunningContainer, ServiceChange
from fairlead.errors import InvalidReference
from fairlead.images import ImageReference
from fairlead.process import Mask

_GOOD = (Outcome.DEPLOYED, Outcome.UNCHANGED)
_FREE_TEXT = ("message", "reason", "log", "restored", "differences", "health_output")
_HEALTH_CHECKS = ("uri", "ansible.builtin.uri")


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task's end. report: the fields of Fairlead's own module, empty for others."""

    task: str
    action: str
    state: str
    seconds: float
    message: str
    report: Mapping[str, Any]

    @property
    def bad(self) -> bool:
        """Whether it ended the play."""
        return self.state in ("failed", "unreachable")


def read_results(text: str, mask: Mask) -> list[TaskResult]:
    """Every complete line; a line that was cut short by a kill is left out. Secrets in free text are masked."""
    lines = (json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n"))
    return [TaskResult(**masked(line, mask)) for line in lines]


def masked(line: Any, mask: Mask) -> Any:
    """The same result with every free text masked. Names and words of the contract stay: a secret may equal one."""
    if isinstance(line, Mapping):
        return {
            key: _mask_all(value, mask) if key in _FREE_TEXT else masked(value, mask) for key, value in line.items()
        }
    return [masked(item, mask) for item in line] if isinstance(line, list) else line


def _mask_all(text: Any, mask: Mask) -> Any:
    return [mask(str(line)) for line in text] if isinstance(text, list) else mask(str(text))


def deploy_result(results: Sequence[TaskResult], exit_code: int, machine: str, complaint: str) -> DeployResult:
    """The outcome of deploy.yml. complaint: what Ansible printed beside its results, for when there are none."""
    timings = {result.task: result.seconds for result in results if result.state != "skipped"}
    report = next((result.report for result in reversed(results) if result.report), {})
    timings |= {f"machine: {phase}": seconds for phase, seconds in report.get("timings", {}).items()}
    if exit_code == 0 and report.get("outcome") in _GOOD:
        return DeployResult(Outcome(report["outcome"]), changes=_changes(report), timings=timings)
    bad = _last_bad(results)
    fault = _fault(bad, report, machine) if bad else _no_report(complaint)
    return DeployResult(timings=timings, changes=_changes(report), **fault)


def running(results: Sequence[TaskResult]) -> Running | None:
    """What inspect.yml saw, or None where it could not look."""
    report = next((result.report for result in results if result.report.get("outcome") in ("match", "differs")), None)
    if report is None:
        return None
    containers = [_container(service, item) for service, items in report["services"].items() for item in items]
    return Running(tuple(containers), tuple(report["differences"]))


def why(results: Sequence[TaskResult], machine: str, complaint: str) -> tuple[str, str]:
    """Reason and remedy of results that hold no report."""
    bad = _last_bad(results)
    fault = _site_fault(bad, machine) if bad else _no_report(complaint)
    return fault["reason"], fault["remedy"]


def connection_fault(said: str, machine: str) -> tuple[str, str, str]:
    """What it means that ssh ended with these words: code ("host-key", "ssh-key", "unreachable"), reason, remedy."""
    fault = _site_fault(TaskResult("ssh", "ssh", "unreachable", 0.0, said, {}), machine)
    return fault["code"], fault["reason"], fault["remedy"]


def _last_bad(results: Sequence[TaskResult]) -> TaskResult | None:
    """The one that ended the play: earlier ones were rescued."""
    return next((result for result in reversed(results) if result.bad), None)


def _fault(bad: TaskResult, report: Mapping[str, Any], machine: str) -> dict[str, Any]:
    if bad.report.get("fault"):
        return _module_fault(bad.report)
    if bad.action in _HEALTH_CHECKS and report.get("outcome") in _GOOD:
        reason = f"After the deploy the application does not answer on its own machine: {_first_line(bad.message)}"
        return {"outcome": Outcome.RELEASE_FAULT, "code": "no-answer", "reason": reason}
    return _site_fault(bad, machine)


def _module_fault(report: Mapping[str, Any]) -> dict[str, Any]:
    fault = report["fault"]
    return {
        "outcome": Outcome.RELEASE_FAULT if report.get("outcome") == Outcome.RELEASE_FAULT else Outcome.SITE_FAULT,
        "code": str(fault["code"]),
        "reason": str(fault["reason"]),
        "remedy": _MODULE_REMEDIES.get(fault["code"], ""),
        "service": str(fault["service"]),
        "log": tuple(map(str, fault["log"])),
        "restored": str(fault["restored"]),
    }


_MODULE_REMEDIES = {
    "disk-full": "Free space on the machine, then repeat",
    "busy": "Wait for the other deployment to end, then repeat",
    "stale": "Deploy the head of the deployment branch",
    "registry": "Repeat when the registry answers; fairlead doctor checks it",
}


@dataclass(frozen=True, slots=True)
class _Hint:
    """Words of ssh or sudo, and what they mean here. `{machine}` and `{known_hosts}` are filled in."""

    code: str
    words: re.Pattern[str]
    reason: str
    remedy: str


def _hint(code: str, words: str, reason: str, remedy: str) -> _Hint:
    return _Hint(code, re.compile(words, re.IGNORECASE), reason, remedy)


_HINTS = (
    _hint(
        "host-key",
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "The host key of {machine} is not the one in {known_hosts}: another machine answers, or it was made anew",
        "Ask why before you accept it; then ssh-keygen -R {machine} -f {known_hosts} and ssh-keyscan {machine} >> it",
    ),
    _hint(
        "host-key",
        r"Host key verification failed|No \S+ host key is known",
        "The host key of {machine} is not in {known_hosts}",
        "Compare the key with the machine's own, then: ssh-keyscan {machine} >> {known_hosts}, commit and push",
    ),
    _hint(
        "ssh-key",
        r"Permission denied|Too many authentication failures",
        "{machine} refuses the SSH key",
        "Set the control secret ssh_key to the private key whose public half the machine has in authorized_keys",
    ),
    _hint(
        "ssh-key",
        r"error in libcrypto|invalid format|Load key",
        "The SSH key cannot be read",
        "Set the control secret ssh_key to an OpenSSH private key without a passphrase",
    ),
    _hint("unreachable", r"Could not resolve hostname", "{machine} has no address", "Check the address, or DNS"),
    _hint(
        "unreachable",
        r"Connection refused",
        "{machine} answers, but not on the SSH port",
        "Check deploy.port in fairlead.yaml, and sshd on the machine",
    ),
    _hint(
        "unreachable",
        r"timed? ?out|No route to host|Network is unreachable|Connection (reset|closed)|lost connection|broken pipe",
        "{machine} does not answer over SSH",
        "Check that the machine runs and is reachable from here, then repeat",
    ),
    _hint(
        "sudo",
        r"(missing|incorrect) sudo password|a password is required|not in the sudoers",
        "The SSH user may not use sudo on {machine} without a password",
        "Give it a line like 'deploy ALL=(ALL) NOPASSWD: ALL' in /etc/sudoers.d/",
    ),
)


def _site_fault(bad: TaskResult, machine: str) -> dict[str, Any]:
    names = {"machine": machine, "known_hosts": layout.KNOWN_HOSTS}
    for hint in _HINTS:
        if (bad.state == "unreachable" or hint.code == "sudo") and hint.words.search(bad.message):
            reason = f"{hint.reason.format(**names)} ({_last_line(bad.message)})"
            return {
                "outcome": Outcome.SITE_FAULT,
                "code": hint.code,
                "reason": reason,
                "remedy": hint.remedy.format(**names),
            }
    code = "unreachable" if bad.state == "unreachable" else "playbook"
    reason = f"{bad.task}: {bad.message.strip() or 'failed'}"
    return {"outcome": Outcome.SITE_FAULT, "code": code, "reason": reason, "remedy": ""}


def _no_report(complaint: str) -> dict[str, Any]:
    reason = complaint.strip() or "The playbook ended without a report of the module fairlead_compose"
    remedy = "Check it with make lint in the deployment repository"
    return {"outcome": Outcome.SITE_FAULT, "code": "playbook", "reason": reason, "remedy": remedy}


def _changes(report: Mapping[str, Any]) -> tuple[ServiceChange, ...]:
    services = report.get("services", {})
    return tuple(
        ServiceChange(name, item["action"], _reference(item["old"]), _reference(item["new"]))
        for name, item in sorted(services.items())
        if item["action"] != "keep"
    )


def _reference(text: str) -> ImageReference | None:
    """A reference from the machine, which may run things that no pin would allow."""
    try:
        return ImageReference.parse(text)
    except InvalidReference:
        return None


def _container(service: str, item: Mapping[str, Any]) -> RunningContainer:
    digests = frozenset(item["digests"])
    return RunningContainer(
        service, item["container"], item["image"], digests, item["status"], item["health"], item.get("restarts", 0)
    )


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "no reason given")


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "no reason given").strip()
