"""Deploying by Ansible: its command line, its environment, and what is left of it. Real playbooks, on this machine."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.config.models import AnsibleDeploy
from fairlead.config.secrets import Secret
from fairlead.deploy.ansible import PROGRAM, AnsibleDeployer, argv, connect_argv, environment, ssh_arguments
from fairlead.deploy.base import Event, Outcome
from tests.deploy.playbooks import processes_with, request, write_repository

CANARY = "canary-7f3a9d"
# Where a deploy kept its files, told by the playbook itself.
TELL = """
- name: Tell
  ansible.builtin.copy:
    content: "{{ lookup('ansible.builtin.env', 'ANSIBLE_FAIRLEAD_RESULTS') }}"
    dest: "{{ playbook_dir }}/told"
    mode: "0600"
"""
WRITE = """
- name: Write
  ansible.builtin.copy: {content: "{{ password }}", dest: "{{ playbook_dir }}/written", mode: "0600"}
"""
# Reads the word to look for from the secrets' file, so that it does not stand in its own arguments.
SCAN = """
import json, pathlib, sys
word = json.loads(pathlib.Path(sys.argv[1]).read_text())["password"]["__ansible_unsafe"].encode()
for kind in ("cmdline", "environ"):
    for path in pathlib.Path("/proc").glob(f"[0-9]*/{kind}"):
        try:
            found = word in path.read_bytes()
        except OSError:
            continue
        if found:
            print(path)
"""
LOOK_AROUND = """
- name: Look for the secret in every process
  ansible.builtin.command:
    argv: ["{{ ansible_playbook_python }}", "{{ playbook_dir }}/scan.py", "{{ values }}"]
  register: scan
  vars: {values: "{{ lookup('ansible.builtin.env', 'ANSIBLE_FAIRLEAD_RESULTS') | dirname }}/values.json"}
- name: Keep
  ansible.builtin.copy: {content: "{{ scan.stdout }}.", dest: "{{ playbook_dir }}/found", mode: "0600"}
"""
SAY = """
- name: Say it
  ansible.builtin.fail: {msg: "the password is {{ password }}"}
"""
INTERRUPTED = """
import signal, sys
from pathlib import Path
from fairlead.config.models import AnsibleDeploy
from fairlead.deploy.ansible import AnsibleDeployer
from fairlead.errors import ProgramInterrupted
from tests.deploy.playbooks import request
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test session in the background has it ignored
try:
    AnsibleDeployer(AnsibleDeploy()).deploy(request(Path(sys.argv[1])))
except ProgramInterrupted:
    print("interrupted")
"""
PLACE = "deployment/ansible"


def deployer(key: str = "") -> AnsibleDeployer:
    return AnsibleDeployer(AnsibleDeploy(), ssh_key=Secret(key) if key else None)


def private_directory_of(checkout: Path) -> Path:
    return Path((checkout / PLACE / "told").read_text()).parent


def test_the_command_line_holds_paths_and_no_values() -> None:
    private, hosts = Path("private"), Path("export/inventory")
    common = ["--inventory", "export/inventory", "--extra-vars", "@private/values.json", "--", "deploy.yml"]
    program = [sys.executable, "-P", "-c", PROGRAM]
    assert argv("deploy.yml", hosts, private) == [*program, *common]
    assert argv("deploy.yml", hosts, private, dry_run=True) == [*program, "--check", *common]


def test_ssh_checks_the_repositorys_host_keys_and_lends_nobody_its_agent() -> None:
    words = ssh_arguments(Path("/tmp/an export"), has_key=True)
    assert """'UserKnownHostsFile="/tmp/an export/deployment/ansible/known_hosts"'""" in words
    for option in ("StrictHostKeyChecking=yes", "ForwardAgent=no", "IdentitiesOnly=yes", "IdentityAgent=none"):
        assert f"-o {option}" in words
    assert "IdentityAgent" not in ssh_arguments(Path("/tmp/export"), has_key=False)


def test_the_connection_that_is_opened_ahead_is_as_strict_as_ansibles(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    strict = ssh_arguments(Path("/tmp/an export"), has_key=True)
    words = connect_argv(tmp_path, strict, AnsibleDeploy(user="root", port=2222), "192.0.2.10")
    known_hosts = 'UserKnownHostsFile="/tmp/an export/deployment/ansible/known_hosts"'
    assert words[:7] == ["ssh", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", known_hosts]
    assert "StrictHostKeyChecking=yes" in words
    assert f"ControlPath={tmp_path}/ssh/%C" in words
    assert words[-9:] == ["-i", f"{tmp_path}/key", "-p", "2222", "-l", "root", "--", "192.0.2.10", "true"]


def test_ansible_gets_only_the_variables_that_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "SSH_AUTH_SOCK",
        "SSH_KEY",
        "TF_VAR_token",
        "FAIRLEAD_APPLICATION_PASSWORD",
        "ANSIBLE_HOST_KEY_CHECKING",
    ):
        monkeypatch.setenv(name, CANARY)
    with_key = environment(tmp_path, tmp_path, has_key=True)
    assert CANARY not in with_key.values()
    assert with_key["ANSIBLE_PRIVATE_KEY_FILE"] == str(tmp_path / "key")
    without = environment(tmp_path, tmp_path, has_key=False)
    assert [name for name, value in without.items() if value == CANARY] == ["SSH_AUTH_SOCK"]


def test_every_task_is_an_event(tmp_path: Path) -> None:
    events: list[Event] = []
    deployer().deploy(
        request(write_repository(tmp_path / "export", WRITE), {"password": "hunter22"}, on_event=events.append)
    )
    assert [(event.name, event.state) for event in events] == [("Write", "started"), ("Write", "changed")]
    assert events[1].seconds > 0


@pytest.mark.parametrize(
    "value",
    [
        "{{ lookup('pipe', 'touch CANARY') }}",
        "{% for x in lookup('pipe', 'touch CANARY') %}{% endfor %}",
        "$(touch CANARY) `touch CANARY`; touch CANARY",
        "two\nlines\n",
        "--extra-vars=@x -oProxyCommand=touch",
        "!unsafe 'x' \"y\" \\ # {# no #}",
    ],
)
def test_a_hostile_value_arrives_as_it_is(tmp_path: Path, value: str) -> None:
    checkout = write_repository(tmp_path / "export", WRITE)
    canary = tmp_path / "canary"
    written = value.replace("CANARY", str(canary))
    deployer().deploy(request(checkout, {"password": written}))
    assert (checkout / PLACE / "written").read_text() == written
    assert not canary.exists()


def test_a_secret_is_in_no_process_and_in_no_file_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SSH_KEY", CANARY)  # how a control secret may come; no child process needs it
    (tmp_path / "home").mkdir()
    checkout = write_repository(tmp_path / "export", LOOK_AROUND + TELL)
    (checkout / PLACE / "scan.py").write_text(SCAN)
    deployer(key=CANARY).deploy(request(checkout, {"password": CANARY}))
    assert (checkout / PLACE / "found").read_text() == "."
    assert not private_directory_of(checkout).exists()
    assert list((tmp_path / "home").iterdir()) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()] == []


def test_what_a_playbook_prints_is_masked(tmp_path: Path) -> None:
    events: list[Event] = []
    checkout = write_repository(tmp_path / "export", TELL + SAY)
    result = deployer().deploy(request(checkout, {"password": CANARY}, on_event=events.append))
    assert (result.outcome, result.reason) == (Outcome.SITE_FAULT, "Say it: the password is ***")
    assert CANARY not in repr(events)
    assert events[-1].state == "failed"
    assert not private_directory_of(checkout).exists()


def test_a_playbook_that_cannot_be_read_is_told_in_ansibles_words(tmp_path: Path) -> None:
    checkout = write_repository(tmp_path / "export", "- no: [such: yaml")
    result = deployer().deploy(request(checkout))
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "playbook")
    assert "deploy.yml" in result.reason


def test_a_folder_named_like_a_python_module_is_not_imported(tmp_path: Path) -> None:
    checkout = write_repository(tmp_path / "export", WRITE)
    (checkout / "json.py").write_text("raise SystemExit('imported')")
    deployer().deploy(request(checkout, {"password": "hunter22"}))
    assert (checkout / PLACE / "written").read_text() == "hunter22"


def test_an_endless_playbook_is_stopped(tmp_path: Path) -> None:
    checkout = write_repository(tmp_path / "export", "- ansible.builtin.command: sleep 600")
    result = AnsibleDeployer(AnsibleDeploy(), timeout=1).deploy(request(checkout))
    assert result.outcome is Outcome.SITE_FAULT
    assert "did not end within 1 s" in result.reason
    assert processes_with(str(checkout)) == []


def test_an_interrupt_stops_ansible_and_wipes_its_directory(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    wait = f"import time; open({str(begun)!r}, 'w').close(); time.sleep(600)"
    task = f"- ansible.builtin.command: {{argv: ['{sys.executable}', -c, {json.dumps(wait)}]}}"
    checkout = write_repository(tmp_path / "export", f"{TELL}{task}")
    words = [sys.executable, "-c", INTERRUPTED, str(checkout)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as child:
        begun.read_bytes()  # the task's own process has opened it
        child.send_signal(signal.SIGINT)
        assert child.communicate()[0] == "interrupted\n"
    assert processes_with(str(begun)) == []
    assert not private_directory_of(checkout).exists()
