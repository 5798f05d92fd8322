"""Reading a task's output: as Ansible's default callback prints it in colours, line by line, cut anywhere."""

from fairlead.deploy import report
from fairlead.deploy.base import Event, Outcome
from fairlead.deploy.semaphore.output import Transcript
from fairlead.process import Mask

BROKEN = '{"changed": true, "outcome": "release_fault", "services": {}, "msg": "web never became healthy", "fault": '
BROKEN += '{"code": "unhealthy", "reason": "web never became healthy", "service": "web", "log": ["hunter22"], "restored": "yes"}}'  # noqa: E501
LINES = [
    "Task 7 added to queue",
    "\x1b[0;34mNo config file found; using defaults\x1b[0m",
    "TASK [Every image is the one that git pins] ****",
    '\x1b[0;32mok: [app] => {"changed": false}\x1b[0m',
    "TASK [Deploy] ****",
    "FAILED - RETRYING: [app]: Deploy (3 retries left).",
    f"\x1b[0;31mfatal: [app]: FAILED! => {BROKEN}\x1b[0m",
    "app   : ok=1    changed=0    unreachable=0    failed=1    skipped=0",
]


def transcript(*lines: str) -> tuple[Transcript, list[Event]]:
    events: list[Event] = []
    made = Transcript(Mask(["hunter22"]), events.append)
    made.take([{"output": line} for line in lines])
    return made, events


def test_a_fault_is_read_whole_and_masked() -> None:
    made, events = transcript(*LINES)
    result = report.deploy_result(made.results, 1, "192.0.2.10", made.tail)
    assert (result.outcome, result.code, result.service) == (Outcome.RELEASE_FAULT, "unhealthy", "web")
    assert (result.log, result.restored) == (("***",), "yes")
    assert [(event.name, event.state) for event in events if event.state != "note"] == [
        ("Every image is the one that git pins", "started"),
        ("Every image is the one that git pins", "ok"),
        ("Deploy", "started"),
        ("Deploy", "retrying"),
        ("Deploy", "failed"),
    ]
    assert "hunter22" not in repr((made.results, made.tail, events))


def test_a_machine_that_does_not_answer_is_told_in_sshs_words() -> None:
    text = 'fatal: [app]: UNREACHABLE! => {"changed": false, "msg": "ssh: Connection refused", "unreachable": true}'
    made, _ = transcript("TASK [Deploy] ***", text)
    result = report.deploy_result(made.results, 1, "192.0.2.10", made.tail)
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "unreachable")


def test_an_application_that_does_not_answer_is_the_releases_fault() -> None:
    good = 'changed: [app] => {"changed": true, "outcome": "deployed", "services": {}}'
    bad = 'fatal: [app]: FAILED! => {"msg": "Status code was 500 and not [200]", "status": 500, "url": "http://x/up"}'
    made, _ = transcript("TASK [Deploy] ***", good, "TASK [The application answers] ***", bad)
    result = report.deploy_result(made.results, 1, "192.0.2.10", made.tail)
    assert (result.outcome, result.code) == (Outcome.RELEASE_FAULT, "no-answer")


def test_what_was_read_is_not_read_again() -> None:
    made, events = transcript(*LINES[:4])
    made.take([{"output": line} for line in LINES])
    assert len(made.results) == 2
    assert sum(event.state == "started" for event in events) == 2


def test_a_line_that_was_cut_is_kept_as_words() -> None:
    made, _ = transcript("TASK [Deploy] ***", 'fatal: [app]: FAILED! => {"msg": "the disk', "", "\x1b[0m")
    result = report.deploy_result(made.results, 1, "192.0.2.10", made.tail)
    assert result.outcome is Outcome.SITE_FAULT
    assert "the disk" in result.reason
    assert not made.nothing_changed


def test_nothing_changed_is_read_from_the_recap() -> None:
    made, _ = transcript("app                        : ok=2    changed=0    unreachable=0    failed=0    skipped=1")
    assert made.nothing_changed
