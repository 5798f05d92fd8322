"""The playbooks, as far as they can be tried without a machine."""

import json
import subprocess

import pytest

from tests.scaffold.ansible.conftest import Checkout

PIN = "registry.example.com/shop/backend:1.0.0@sha256:" + "0" * 64
ASSERTION = "Every image is the one that git pins"


@pytest.mark.parametrize("playbook", ["deploy.yml", "inspect.yml"])
def test_the_playbooks_are_valid(checkout: Checkout, playbook: str) -> None:
    assert checkout.play(playbook, "--syntax-check").status == 0


def test_the_oldest_ansible_is_the_oldest_served(oldest: Checkout) -> None:
    said = subprocess.run([oldest.programs / "ansible", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("ansible [core 2.16.")


@pytest.mark.parametrize("value", [PIN.replace("1.0.0", "1.0.1"), "{{ lookup('pipe', 'touch canary') }}"])
def test_the_oldest_ansible_refuses_what_git_does_not_pin(oldest: Checkout, value: str) -> None:
    oldest.pin(app_image=PIN)
    failed_assertion(oldest, "-e", json.dumps({"app_image": {"__ansible_unsafe": value}}))
    assert not list(oldest.root.rglob("canary"))


def failed_assertion(checkout: Checkout, *words: str) -> str:
    play = checkout.play("deploy.yml", *words)
    assert play.status != 0
    assert list(play.results) == [ASSERTION], play.output
    return str(play.results[ASSERTION]["msg"])


@pytest.mark.parametrize(
    "words",
    [
        ["-e", f"app_image={PIN.replace('1.0.0', '1.0.1')}"],
        ["-e", '{"app_image": {"__ansible_unsafe": "{{ lookup(\'pipe\', \'id\') }}"}}'],
    ],
)
def test_an_image_that_git_does_not_pin_is_refused(checkout: Checkout, words: list[str]) -> None:
    checkout.pin(app_image=PIN)
    assert "The images differ from" in failed_assertion(checkout, *words)


@pytest.mark.parametrize(
    "value", ["registry.example.com/shop/backend:1.0.0", '\'{{ lookup("pipe", "touch canary") }}\'', "-x", "''", "null"]
)
def test_a_pin_that_is_none_is_refused_and_never_evaluated(checkout: Checkout, value: str) -> None:
    checkout.pin(app_image=value)
    failed_assertion(checkout)
    assert not list(checkout.root.rglob("canary"))


def test_git_pins_pass_and_then_the_machine_is_asked(checkout: Checkout) -> None:
    """Nobody answers at this address; the host key of the machine that would is unknown anyway."""
    checkout.pin(app_image=PIN)
    play = checkout.play(
        "inspect.yml",
        "-e",
        f"db_image={PIN}",
        "-e",
        f"gateway_image={PIN}",
        "-e",
        "ansible_port=1",
        address="127.0.0.1",
    )
    assert play.results[ASSERTION]["state"] == "ok"
    assert play.results["Inspect"]["state"] == "unreachable"


def test_an_unpinned_image_can_be_deployed_on_purpose(checkout: Checkout) -> None:
    checkout.pin(app_image=PIN)
    words = ["-e", "app_image=any:1", "-e", "allow_unpinned=true", "-e", "ansible_port=1"]
    play = checkout.play("inspect.yml", *words, "-e", "db_image=x", "-e", "gateway_image=y", address="127.0.0.1")
    assert play.results[ASSERTION]["state"] == "skipped"


def test_another_host_key_is_not_accepted(checkout: Checkout) -> None:
    argv = checkout.argv("deploy.yml")
    ansible = str(argv[0]).replace("ansible-playbook", "ansible-inventory")
    done = subprocess.run(
        [ansible, *argv[1:5], "--host", "app"], cwd=checkout.root, capture_output=True, text=True, check=True
    )
    assert "StrictHostKeyChecking=yes" in done.stdout
    assert "/known_hosts" in done.stdout


def test_the_module_is_found_by_its_documentation(checkout: Checkout) -> None:
    argv = [
        checkout.argv("deploy.yml")[0].replace("ansible-playbook", "ansible-doc"),
        "-M",
        str(checkout.ansible / "library"),
    ]
    done = subprocess.run([*argv, "fairlead_compose"], capture_output=True, text=True, check=True)
    assert "start-first" in done.stdout
