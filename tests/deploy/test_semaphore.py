"""Deploying by Semaphore: whatever happens to the server, the task or us, there is one task and one clear outcome.

The server is the lab's stand-in, as a process of its own; the plays are real, on this machine.
"""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.config.secrets import Secret
from fairlead.deploy.base import Event, Outcome
from fairlead.deploy.semaphore.api import Server
from fairlead.errors import InvalidSetting, ProgramInterrupted, SiteFault
from tests.deploy.playbooks import PIN
from tests.deploy.semaphore import PASSWORD, QUICK, Clock, Yard
from tests.fixtures.git_https import serve_https
from tests.lab.semaphore_api.running import Running, running

POST = "POST /project/{project_id}/tasks"
READ = "GET /project/{project_id}/tasks/{task_id}"
LAST = "GET /project/{project_id}/tasks/last"
OUTPUT = "GET /project/{project_id}/tasks/{task_id}/output"
SLEEP = "- ansible.builtin.command: sleep 600\n"
FAIL = '- ansible.builtin.fail: {msg: "the disk is gone"}\n'
LIE = """
- pretend: {result: {outcome: deployed, changed: true}}
- ansible.builtin.fail: {msg: "and yet it failed"}
"""
DIFFERS = "- pretend: {result: {failed: true, outcome: differs, differences: ['web: runs another'], msg: differs}}\n"
SAY_SECRET = """
- name: Write
  ansible.builtin.copy: {content: "{{ password }}", dest: "PLACE/written", mode: "0600"}
- name: Look for it in every process
  ansible.builtin.command: {argv: ["{{ ansible_playbook_python }}", -c, SCAN, PLACE/written]}
  register: scan
- ansible.builtin.copy: {content: "{{ scan.stdout }}.", dest: "PLACE/found", mode: "0600"}
"""
SCAN = (
    "import pathlib, sys; word = pathlib.Path(sys.argv[1]).read_bytes(); "
    "[print(p) for p in pathlib.Path('/proc').glob('[0-9]*/cmdline') if word in p.read_bytes()]"
)


@pytest.fixture(scope="module")
def semaphore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("semaphore")) as made:
        yield made


@pytest.fixture
def yard(tmp_path: Path, semaphore: Running) -> Iterator[Yard]:
    yield Yard(tmp_path, semaphore)
    semaphore.plan()


@pytest.fixture
def own_yard(tmp_path: Path) -> Iterator[Yard]:
    """With a server that the test may end."""
    (tmp_path / "yard").mkdir()
    with running(tmp_path / "semaphore") as server:
        yield Yard(tmp_path / "yard", server)


def test_a_task_says_which_run_commit_and_machine_it_is_for(yard: Yard) -> None:
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED
    [task] = yard.posted
    assert task["message"] == f"fairlead run-1 deploys staging {yard.commit}: try 1"
    assert task["commit_hash"] == yard.commit
    values = json.loads(task["environment"])
    assert values.pop("ansible_host_key_checking") is True
    assert values.pop("fairlead_fence") == 1
    assert values == {
        "VM_IP": {"__ansible_unsafe": "192.0.2.10"},
        "fairlead_commit": {"__ansible_unsafe": yard.commit},
        "fairlead_environment": {"__ansible_unsafe": "staging"},
        "fairlead_run": {"__ansible_unsafe": "run-1"},
    }
    assert yard.plays == [f"run-1 192.0.2.10 {task['id']}"]


def test_exactly_the_releases_commit_is_played(yard: Yard) -> None:
    yard.write(FAIL)  # newer than the release
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED


@pytest.mark.parametrize("point", ["deploy:before-post", "deploy:before-record", "deploy:posted", "deploy:ended"])
def test_killed_at_any_step_and_repeated_there_is_one_task_and_one_result(yard: Yard, point: str) -> None:
    assert yard.die_at(point) == -signal.SIGKILL
    result = yard.deployer().deploy(yard.request())
    assert (result.outcome, len(yard.posted), len(yard.plays)) == (Outcome.DEPLOYED, 1, 1)


def test_another_run_is_another_task(yard: Yard) -> None:
    for run in ("run-1", "run-2", "run-2"):
        assert yard.deployer().deploy(yard.request(run)).outcome is Outcome.DEPLOYED
    assert [play.split()[0] for play in yard.plays] == ["run-1", "run-2"]


def test_a_recorded_task_is_gone_on_with_also_where_the_server_lists_it_no_more(yard: Yard) -> None:
    assert yard.die_at("deploy:posted") == -signal.SIGKILL
    yard.semaphore.plan({"route": LAST, "status": 200, "text": "[]", "times": 9999})
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED
    yard.semaphore.plan()
    assert len(yard.posted) == 1


def test_a_lost_record_starts_no_second_task(yard: Yard) -> None:
    yard.deployer().deploy(yard.request())
    for path in (yard.root / "state").iterdir():
        path.write_text("torn {")
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED
    assert len(yard.plays) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "after": True},
        {"status": 0, "after": True},
        {"status": 429, "times": 2},
    ],
    ids=["500", "no answer", "429 twice"],
)
def test_an_answer_to_the_post_that_is_lost_starts_no_second_task(yard: Yard, fault: dict[str, Any]) -> None:
    yard.semaphore.plan({"route": POST, **fault})
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED
    assert (len(yard.posted), len(yard.plays)) == (1, 1)


def test_a_post_that_is_never_answered_is_the_sites_fault(yard: Yard) -> None:
    yard.semaphore.plan({"route": POST, "status": 503, "times": 99})
    result = yard.deployer().deploy(yard.request())
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "semaphore")
    assert "503 to POST" in result.reason
    assert yard.plays == []


def test_a_server_that_is_away_for_a_while_changes_nothing(yard: Yard) -> None:
    yard.semaphore.plan({"route": READ, "status": 503, "times": 3}, {"route": READ, "status": 0, "times": 3})
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED


def test_a_server_that_stays_away_is_the_sites_fault_and_the_task_is_found_again(yard: Yard) -> None:
    yard.semaphore.plan({"route": READ, "status": 502, "times": 9999})
    result = yard.deployer(replace(QUICK, patience=0.3)).deploy(yard.request())
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "semaphore")
    assert "502 to GET" in result.reason
    yard.semaphore.plan()
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED
    assert len(yard.plays) == 1


def test_a_task_that_waits_for_ever_is_stopped_and_the_machine_is_as_it_was(yard: Yard) -> None:
    yard.semaphore.plan(paused=True)
    result = yard.deployer(replace(QUICK, patience=0.3, stopping=0.2)).deploy(yard.request())
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "stopped")
    assert "because it waited for more than 0.3 s; it is stopped now" in result.reason
    assert "It never ran, so the machine is as it was" in result.reason
    yard.semaphore.plan()
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED
    assert [task["message"].rpartition(": ")[2] for task in yard.posted] == ["try 2", "try 1"]


def test_a_task_that_runs_for_ever_is_stopped_and_the_machine_is_looked_at(tmp_path: Path, semaphore: Running) -> None:
    yard, clock = Yard(tmp_path, semaphore, SLEEP), Clock()

    def wait(event: Event) -> None:
        clock.ahead += 1000.0 if event.name == "Count" and event.state == "changed" and not clock.ahead else 0.0

    result = yard.deployer(clock.pace).deploy(yard.request(on_event=wait))
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "stopped")
    assert "because it ran for more than 300 s" in result.reason
    assert "The machine runs this release; whether the deploy came to its end is not known" in result.reason
    assert [(task["message"].partition(" staging")[0], task["status"]) for task in yard.posted] == [
        ("fairlead inspects", "success"),
        ("fairlead run-1 deploys", "error"),
    ]


def test_a_server_that_was_restarted_in_mid_task_is_told_and_the_next_try_deploys(own_yard: Yard) -> None:
    good, own_yard.commit = own_yard.commit, own_yard.write(SLEEP)
    clock = Clock()

    def restart(event: Event) -> None:
        if event.name == "Count" and event.state == "changed" and not clock.ahead:
            own_yard.semaphore.restart()
            clock.ahead = 1000.0

    result = own_yard.deployer(clock.pace).deploy(own_yard.request(on_event=restart))
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "stopped")
    assert "it is stopped now" in result.reason
    own_yard.commit = good
    assert own_yard.deployer().deploy(own_yard.request()).outcome is Outcome.DEPLOYED


def test_a_revoked_token_is_said_clearly_and_the_task_goes_on(own_yard: Yard) -> None:
    own_yard.semaphore.plan(paused=True, revoked=True)
    result = own_yard.deployer().deploy(own_yard.request())
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "semaphore")
    assert "does not accept the token: 401" in result.reason
    assert "SEMAPHORE_TOKEN" in result.remedy
    with pytest.raises(SiteFault, match="Cannot read what runs") as error:
        own_yard.deployer().check_running(own_yard.look())
    assert "401" in error.value.why


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (403, '{"error": "no"}', "does not let the token's user do that: 403"),
        (404, "", "has nothing at"),
        (409, '{"error": "in use"}', "409: in use"),
        (400, "", "400: no reason given"),
        (200, "<html>", "is no Semaphore"),
        (200, "[1]", "is no Semaphore"),
        (302, "", "302"),
    ],
)
def test_every_refusal_is_the_sites_fault_with_its_reason(yard: Yard, status: int, text: str, said: str) -> None:
    yard.semaphore.plan({"route": "GET /projects", "status": status, "text": text})
    result = yard.deployer().deploy(yard.request())
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "semaphore")
    assert said in result.reason
    assert result.remedy
    assert yard.plays == []


@pytest.mark.parametrize("fault", [{"status": 404}, {"status": 200, "text": "[{"}])
def test_a_log_that_is_cut_off_changes_no_outcome(yard: Yard, fault: dict[str, Any]) -> None:
    yard.semaphore.plan({"route": OUTPUT, "times": 9999, **fault})
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED


def test_a_log_that_is_missing_makes_no_success(tmp_path: Path, semaphore: Running) -> None:
    yard = Yard(tmp_path, semaphore, FAIL)
    semaphore.plan({"route": OUTPUT, "times": 9999, "status": 500})
    result = yard.deployer().deploy(yard.request())
    semaphore.plan()
    assert (result.outcome, len(yard.plays)) == (Outcome.SITE_FAULT, 1)
    assert "ended with error" in result.reason


def test_success_is_never_read_from_the_log(tmp_path: Path, semaphore: Running) -> None:
    yard = Yard(tmp_path, semaphore, LIE)
    result = yard.deployer().deploy(yard.request())
    assert (result.outcome, result.changes) == (Outcome.SITE_FAULT, ())
    assert "and yet it failed" in result.reason


def test_a_site_fault_may_be_tried_again_by_the_same_run(yard: Yard) -> None:
    good, yard.commit = yard.commit, yard.write(FAIL)
    for number in (1, 2):
        result = yard.deployer().deploy(yard.request())
        assert (result.outcome, "the disk is gone" in result.reason, len(yard.posted)) == (
            Outcome.SITE_FAULT,
            True,
            number,
        )
    yard.commit = good
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED


@pytest.mark.parametrize(
    ("kind", "name", "fields", "said"),
    [
        ("templates", "deploy staging", {"playbook": "other.yml"}, "its playbook is 'other.yml'"),
        ("templates", "deploy staging", {"app": "bash"}, "its app is 'bash'"),
        ("templates", "deploy staging", {"arguments": '["--tags", "x"]'}, "its arguments have '--tags'"),
        (
            "inventory",
            "fairlead staging",
            {"inventory": "[staging]\nx", "type": "static"},
            "is not the repository's file",
        ),
        ("environment", "fairlead staging", {"json": '{"VM_IP": "10.0.0.1"}'}, "sets VM_IP, which would beat"),
        ("environment", "fairlead staging", {"json": '{"app_image": "x"}'}, "sets app_image, which would beat"),
    ],
)
def test_a_template_that_would_run_something_else_is_refused(
    yard: Yard, kind: str, name: str, fields: dict[str, Any], said: str
) -> None:
    yard.edit(kind, name, **fields)
    result = yard.deployer().deploy(yard.request())
    assert (result.outcome, result.code, yard.posted) == (Outcome.SITE_FAULT, "semaphore", [])
    assert said in result.reason
    assert "fairlead semaphore setup -e staging" in result.remedy
    assert [change.kind for change in yard.set_up() if change.action == "update"] == [kind]
    assert {change.action for change in yard.set_up()} == {"keep"}


def test_a_template_that_is_edited_while_its_task_waits_is_told(yard: Yard) -> None:
    yard.semaphore.plan(paused=True)

    def edit(event: Event) -> None:
        if event.state == "started" and event.detail == "waiting":
            yard.edit("templates", "deploy staging", arguments='["-v", "--diff"]')
            yard.semaphore.plan()

    result = yard.deployer().deploy(yard.request(on_event=edit))
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "template-edited")
    yard.set_up()
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED
    assert len(yard.posted) == 2


def test_what_runs_is_read_from_a_task_of_its_own(yard: Yard) -> None:
    assert yard.deployer().check_running(yard.look()).matches
    yard.semaphore.plan({"route": POST, "status": 500, "times": 99})  # and no earlier look answers for this one
    with pytest.raises(SiteFault, match="Cannot read what runs"):
        yard.deployer().check_running(yard.look())
    yard.semaphore.plan({"route": POST, "status": 500, "after": True})
    another = replace(yard.look(), pins={"other_image": PIN.with_tag("2.0", f"sha256:{'2' * 64}")})
    running = yard.deployer().check_running(another)
    assert running.differences == (f"other_image: nothing runs {another.pins['other_image']}",)
    assert len({task["message"] for task in yard.posted}) == len(yard.posted) == 2


def test_a_look_that_failed_or_looked_at_nothing_proves_nothing(yard: Yard) -> None:
    yard.commit = yard.write("", look=DIFFERS)
    assert yard.deployer().check_running(yard.look()).differences == ("web: runs another",)
    yard.commit = yard.write("", look="")
    with pytest.raises(SiteFault) as error:
        yard.deployer().check_running(yard.look())
    assert "looked at nothing" in error.value.why


def test_a_look_whose_log_is_cut_off_has_its_status_as_the_verdict(yard: Yard) -> None:
    yard.semaphore.plan({"route": OUTPUT, "status": 500, "times": 9999})
    assert yard.deployer().check_running(yard.look()).matches


def test_a_very_long_run_fits_a_message(yard: Yard) -> None:
    yard.semaphore.plan({"route": READ, "status": 401, "times": 1})
    yard.deployer().deploy(yard.request("r" * 200))
    [task] = yard.posted
    assert len(task["message"]) < 250
    assert yard.commit in task["message"]


def test_two_orchestrators_play_one_after_the_other_and_the_second_is_told_of_the_first(
    tmp_path: Path, semaphore: Running
) -> None:
    go = tmp_path / "go"
    yard = Yard(tmp_path, semaphore, f"- ansible.builtin.wait_for: {{path: {go}}}\n")
    said: list[str] = []

    def see(event: Event) -> None:
        said.append(event.detail)
        go.touch()

    def other(event: Event) -> None:
        if event.name == "Count" and event.state == "changed" and not said:
            assert yard.deployer().deploy(yard.request("run-2", on_event=see)).outcome is Outcome.DEPLOYED

    assert yard.deployer().deploy(yard.request(on_event=other)).outcome is Outcome.DEPLOYED
    first, second = yard.plays
    assert said[0] == f"waiting; task {first.split()[2]} runs: fairlead run-1 deploys staging {yard.commit}: try 1"
    assert second.startswith("run-2 ")


def test_an_interrupt_leaves_the_task_and_the_next_call_goes_on_with_it(yard: Yard) -> None:
    yard.semaphore.plan(paused=True)

    def interrupted(_seconds: float) -> None:
        raise ProgramInterrupted("Fairlead was interrupted while it waited")

    with pytest.raises(ProgramInterrupted) as error:
        yard.deployer(replace(QUICK, pause=interrupted)).deploy(yard.request())
    assert error.value.why == "Semaphore's task goes on"
    yard.semaphore.plan()
    assert yard.deployer().deploy(yard.request()).outcome is Outcome.DEPLOYED
    assert len(yard.posted) == 1


def test_a_secret_reaches_the_play_whole_and_stands_in_no_argument(tmp_path: Path, semaphore: Running) -> None:
    tasks = SAY_SECRET.replace("PLACE", str(tmp_path)).replace("SCAN", json.dumps(SCAN))
    yard = Yard(tmp_path, semaphore, tasks)
    events: list[Event] = []
    assert yard.deployer().deploy(yard.request(on_event=events.append)).outcome is Outcome.DEPLOYED
    assert (tmp_path / "written").read_text() == PASSWORD
    assert (tmp_path / "found").read_text() == "."
    assert PASSWORD not in repr((events, yard.posted))


@pytest.mark.parametrize("field", [{"run": "{{ 1 }}"}, {"commit": "main"}, {"vm_ip": "{{ lookup('pipe', 'id') }}"}])
def test_a_hostile_value_is_refused_before_anything_is_asked(yard: Yard, field: dict[str, str]) -> None:
    away = Server("http://127.0.0.1:1", Secret("none"))
    with pytest.raises(InvalidSetting):
        yard.deployer(server=away).deploy(replace(yard.request(), **field))  # type: ignore[arg-type]


def test_a_server_that_hangs_is_left_after_the_time_limit(yard: Yard) -> None:
    yard.semaphore.plan({"route": "GET /projects", "seconds": 1.0})
    result = yard.deployer(server=replace(yard.server, timeout=0.1)).deploy(yard.request())
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "semaphore")
    assert "does not answer" in result.reason


def test_a_server_that_is_not_there_is_the_sites_fault(yard: Yard) -> None:
    away = Server("http://127.0.0.1:1", Secret("none"))
    result = yard.deployer(server=away).deploy(yard.request())
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "semaphore")
    assert "http://127.0.0.1:1 does not answer" in result.reason


def test_a_certificate_that_nobody_here_trusts_is_said(yard: Yard, tmp_path: Path) -> None:
    with serve_https(tmp_path) as other:
        result = yard.deployer(server=Server(other.url, Secret("none"))).deploy(yard.request())
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "semaphore")
    assert "its TLS certificate is not accepted" in result.reason
    assert "SSL_CERT_FILE names the site's CA" in result.reason


@pytest.mark.parametrize("url", ["semaphore.example.com", "ftp://x", "https://user:secret@x", "https://x/?a=b"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidSetting, match="is not the address of a Semaphore server"):
        Server(url, Secret("none"))
