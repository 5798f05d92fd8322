"""From Ansible's results to an outcome: whose fault, and what to do."""

import json
from typing import Any

import pytest

from fairlead.deploy.base import Outcome
from fairlead.deploy.report import TaskResult, deploy_result, read_results, running, why
from fairlead.process import Mask

DIGEST = f"sha256:{'1' * 64}"
NEW = f"registry.example.com/shop/web:1.0@{DIGEST}"
DEPLOYED: dict[str, Any] = {
    "outcome": "deployed",
    "services": {
        "web": {"action": "start-first", "old": "", "new": NEW, "old_digest": "", "new_digest": DIGEST},
        "db": {"action": "keep", "old": NEW, "new": NEW, "old_digest": DIGEST, "new_digest": DIGEST},
    },
    "timings": {"pull": 1.5},
}
FAULT = {"code": "unhealthy", "service": "web", "reason": "web is unhealthy", "log": ["boom"], "restored": "yes"}


def ended(state: str, message: str = "", action: str = "fairlead_compose", **report: Any) -> TaskResult:
    return TaskResult("Deploy", action, state, 2.0, message, report)


def test_a_good_deploy_tells_what_changed_and_how_long_it_took() -> None:
    result = deploy_result([ended("changed", **DEPLOYED)], 0, "10.0.0.5", "")
    assert result.outcome is Outcome.DEPLOYED
    assert [(change.service, change.action, str(change.new)) for change in result.changes] == [
        ("web", "start-first", NEW)
    ]
    assert result.timings == {"Deploy": 2.0, "machine: pull": 1.5}


@pytest.mark.parametrize("outcome", ["release_fault", "site_fault"])
def test_the_module_says_whose_fault_it_is(outcome: str) -> None:
    result = deploy_result([ended("failed", "…", outcome=outcome, fault=FAULT)], 2, "10.0.0.5", "")
    assert (result.outcome, result.code, result.log) == (outcome, "unhealthy", ("boom",))
    assert (result.service, result.reason, result.restored) == ("web", "web is unhealthy", "yes")


def test_an_application_that_does_not_answer_on_its_machine_is_the_releases_fault() -> None:
    answer = ended("failed", "Status code was 502 and not [200]\nmore", action="ansible.builtin.uri")
    result = deploy_result([ended("changed", **DEPLOYED), answer], 2, "10.0.0.5", "")
    assert (result.outcome, result.code) == (Outcome.RELEASE_FAULT, "no-answer")
    assert "Status code was 502 and not [200]" in result.reason
    assert result.changes


def test_another_task_that_fails_is_the_sites_fault() -> None:
    failed = ended("failed", "no such user", action="ansible.builtin.command")
    for results in ([failed], [ended("changed", **DEPLOYED), failed]):
        assert deploy_result(results, 2, "10.0.0.5", "").outcome is Outcome.SITE_FAULT


def test_what_was_rescued_is_no_fault() -> None:
    results = [ended("failed", action="ansible.builtin.command"), ended("changed", **DEPLOYED)]
    assert deploy_result(results, 0, "10.0.0.5", "").ok


def test_success_without_a_report_is_no_success() -> None:
    result = deploy_result([ended("ok", action="ansible.builtin.command")], 0, "10.0.0.5", "")
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "playbook")


def test_a_playbook_that_never_began_is_told_in_ansibles_words() -> None:
    result = deploy_result([], 4, "10.0.0.5", "ERROR! Syntax Error while loading YAML.")
    assert (result.outcome, result.reason) == (Outcome.SITE_FAULT, "ERROR! Syntax Error while loading YAML.")


@pytest.mark.parametrize(
    ("words", "code", "reason", "remedy"),
    [
        (
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.",
            "host-key",
            "another",
            "-R 10.0.0.5",
        ),
        (
            "No ED25519 host key is known for 10.0.0.5\nHost key verification failed.",
            "host-key",
            "not in",
            "ssh-keyscan",
        ),
        ("deploy@10.0.0.5: Permission denied (publickey).", "ssh-key", "refuses", "ssh_key"),
        ('Load key "key": error in libcrypto', "ssh-key", "cannot be read", "passphrase"),
        ("connect to host 10.0.0.5 port 22: Connection refused", "unreachable", "not on the SSH port", "deploy.port"),
        ("connect to host 10.0.0.5 port 22: Connection timed out", "unreachable", "does not answer", "repeat"),
        ("connect to host 10.0.0.5 port 22: No route to host", "unreachable", "does not answer", "repeat"),
        ("Could not resolve hostname app.example.com", "unreachable", "has no address", "DNS"),
        ("something new", "unreachable", "something new", ""),
    ],
)
def test_sshs_words_become_a_reason_and_a_remedy(words: str, code: str, reason: str, remedy: str) -> None:
    result = deploy_result([ended("unreachable", words)], 4, "10.0.0.5", "")
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, code)
    assert reason in result.reason
    assert remedy in result.remedy
    assert why([ended("unreachable", words)], "10.0.0.5", "") == (result.reason, result.remedy)


def test_sudo_that_wants_a_password_is_told() -> None:
    result = deploy_result([ended("failed", "Task failed: Missing sudo password")], 2, "10.0.0.5", "")
    assert (result.code, "NOPASSWD" in result.remedy) == ("sudo", True)


def test_what_runs_is_read_also_where_it_differs() -> None:
    seen = {"container": "abc", "image": NEW, "digests": [DIGEST], "status": "running", "health": "healthy"}
    report: dict[str, Any] = {
        "outcome": "differs",
        "services": {"web": [seen], "db": []},
        "differences": ["db does not run"],
    }
    found = running([ended("failed", **report)])
    assert found is not None
    assert [(one.service, one.digests) for one in found.containers] == [("web", frozenset({DIGEST}))]
    assert (found.differences, found.matches) == (("db does not run",), False)
    assert running([ended("unreachable", "…")]) is None


def test_secrets_are_masked_in_free_text_and_a_line_that_was_cut_is_left_out() -> None:
    line = {"task": "Deploy", "action": "a", "state": "failed", "seconds": 1.0, "message": "got hunter22"}
    report = {"outcome": "release_fault", "fault": {**FAULT, "log": ["x hunter22"], "reason": "hunter22 failed"}}
    text = json.dumps({**line, "report": report}) + "\n" + json.dumps(line)[:40]
    (result,) = read_results(text, Mask(["hunter22", "failed", "release_fault"]))
    assert (result.message, result.state) == ("got ***", "failed")
    found = deploy_result([result], 2, "10.0.0.5", "")
    assert (found.outcome, found.reason, found.log) == (Outcome.RELEASE_FAULT, "*** ***", ("x ***",))
