"""The playbook and its module on a real machine: sshd, sudo, Docker Engine, Compose, a registry."""

import http.client
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.scaffold.ansible.conftest import PASSWORD, OnMachine

pytestmark = pytest.mark.lab
KEEP = {"backend": "keep", "db": "keep", "gateway": "keep"}


@dataclass
class Load:
    """Requests by several clients, one after another each; every failure and every version that answered."""

    address: str
    failures: list[str] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    answered: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def client(self) -> None:
        while not self.stop.wait(0.02):
            try:
                self.versions.add(self.ask("GET", "/api/version")["version"])
                self.ask("POST", "/api/notes", {"text": "under load"})
                self.answered += 2
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(repr(error))

    def ask(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, str]:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        connection.request(method, path, json.dumps(body) if body else None)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.status >= 300:
            raise ValueError(f"{path}: {response.status} {content!r}")
        answer: dict[str, str] = json.loads(content)
        return answer


@contextmanager
def load(address: str) -> Iterator[Load]:
    running = Load(address)
    clients = [threading.Thread(target=running.client) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        yield running
    finally:
        running.stop.set()
        for client in clients:
            client.join()


def test_the_second_deploy_changes_nothing(machine: OnMachine) -> None:
    machine.release("1.0.0")
    first = machine.deploy("-e", "fairlead_fence=5")
    assert (first.status, first.outcome, set(first.actions.values())) == (0, "deployed", {"create"})
    second = machine.deploy("-e", "fairlead_fence=5")
    assert (second.status, second.outcome, second.actions) == (0, "unchanged", KEEP)
    assert not second.module["changed"]
    assert machine.inspect().outcome == "match"
    machine.ssh("cd /opt/shop && sudo docker compose up --detach")  # by hand, as a person would
    third = machine.deploy("-e", "fairlead_fence=5", "--check")
    assert (third.outcome, third.module["changed"]) == ("unchanged", False)


def test_check_mode_says_what_it_would_do_and_does_nothing(machine: OnMachine) -> None:
    machine.release("1.0.0")
    play = machine.deploy("--check", "--diff", "-e", "health_check_url=")
    assert (play.module["changed"], set(play.actions.values())) == (True, {"create"})
    assert "backend: create" in play.module["diff"]["prepared"]
    assert machine.containers("backend") == []
    assert machine.ssh("ls -d /opt/shop /var/lib/fairlead/shop 2>/dev/null || true") == ""


def test_a_new_version_replaces_the_old_with_no_failed_request(machine: OnMachine) -> None:
    machine.release("1.0.0")
    machine.deploy()
    database = machine.containers("db")
    machine.release("1.1.0")
    with load(machine.machine.address) as requests:
        play = machine.deploy()
        requests.ask("GET", "/api/version")
    assert play.actions == {"backend": "start-first", "db": "keep", "gateway": "keep"}
    assert requests.failures == []
    assert requests.answered > 10
    assert requests.versions == {"1.0.0", "1.1.0"}
    assert machine.containers("db") == database
    assert len(machine.containers("backend")) == 1


def test_a_broken_image_leaves_the_old_one_serving_and_gets_no_request(machine: OnMachine) -> None:
    machine.release("1.0.0")
    machine.deploy("-e", "fairlead_fence=1")
    before, files = machine.containers("backend"), machine.ssh("sudo cat /opt/shop/docker-compose.yml")
    machine.release("1.2.0")
    with load(machine.machine.address) as requests:
        play = machine.deploy("-e", "fairlead_fence=2")
    assert (play.status, play.outcome) == (2, "release_fault")
    fault = play.module["fault"]
    assert (fault["code"], fault["service"], fault["restored"]) == ("unhealthy", "backend", "yes")
    assert any("never becomes healthy" in line for line in fault["log"])
    assert (requests.failures, requests.versions) == ([], {"1.0.0"})
    assert machine.containers("backend") == before
    assert machine.ssh("sudo cat /opt/shop/docker-compose.yml") == files


def test_a_service_in_place_is_made_anew_from_the_old_image_when_the_new_one_fails(machine: OnMachine) -> None:
    machine.release("1.0.0")
    machine.deploy()
    machine.checkout.edit(
        "templates/docker-compose.yml.j2",
        "image: {{ gateway_image | to_json }}",
        "image: {{ app_image | to_json }}\n    command: [python3, -c, 'raise SystemExit(3)']",
    )
    play = machine.deploy()
    assert (play.outcome, play.module["fault"]["service"], play.module["fault"]["restored"]) == (
        "release_fault",
        "gateway",
        "yes",
    )
    assert Load(machine.machine.address).ask("GET", "/api/version")["version"] == "1.0.0"


def test_a_half_done_rollout_is_finished(machine: OnMachine) -> None:
    """Killed after the new container had started: two run, and the new one may not be announced yet."""
    machine.release("1.0.0")
    machine.deploy()
    old = machine.containers("backend")
    machine.release("1.1.0")
    play = machine.checkout.argv(
        "deploy.yml",
        "--private-key",
        str(machine.machine.ssh_key),
        "-e",
        json.dumps({"postgres_password": {"__ansible_unsafe": PASSWORD}}),
        address=machine.machine.address,
    )
    deploying = subprocess.Popen(play, cwd=machine.checkout.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    machine.ssh(
        "until [ $(docker ps -q --filter label=com.docker.compose.service=backend | wc -l) = 2 ]; do sleep 0.02; done;"
        " sudo kill -9 $(pgrep -f [f]airlead_compose)"
    )
    deploying.wait(timeout=60)
    assert len(machine.containers("backend")) == 2
    again = machine.deploy()
    assert (again.status, again.actions["backend"]) == (0, "finish"), again.output
    assert Load(machine.machine.address).ask("GET", "/api/version")["version"] == "1.1.0"
    assert not set(old) & set(machine.containers("backend"))
    assert machine.deploy().actions == KEEP


def test_a_stale_release_is_refused(machine: OnMachine) -> None:
    machine.release("1.0.0")
    machine.deploy("-e", "fairlead_fence=8")
    machine.release("1.1.0")
    stale = machine.deploy("-e", "fairlead_fence=7")
    assert (stale.outcome, stale.module["fault"]["code"]) == ("site_fault", "stale")
    assert "number 8 has been here" in stale.module["msg"]
    by_hand = machine.deploy()
    assert (by_hand.outcome, by_hand.module["fence"]) == ("deployed", 8)


def test_a_busy_machine_names_the_holder(machine: OnMachine) -> None:
    machine.release("1.0.0")
    machine.deploy("-e", "fairlead_run=run-1")
    machine.checkout.edit("deploy.yml", "        keep_releases:", "        lock_wait: 1\n        keep_releases:")
    holder = subprocess.Popen(
        machine.machine.ssh_argv(machine.known_hosts, "sudo flock /var/lib/fairlead/shop/lock cat"),
        stdin=subprocess.PIPE,
    )
    machine.ssh("until ! sudo flock -n /var/lib/fairlead/shop/lock true; do sleep 0.05; done")
    play = machine.deploy()
    holder.communicate(timeout=30)
    assert (play.outcome, play.module["fault"]["code"]) == ("site_fault", "busy")
    assert "run-1" in play.module["msg"]


def test_a_registry_that_is_gone_is_the_sites_fault_and_touches_nothing(machine: OnMachine) -> None:
    machine.release("1.0.0")
    machine.deploy()
    before = machine.containers("backend")
    pin = machine.images.pin("backend", "1.0.0").replace("@sha256:", "@sha256:f")[:-1]
    machine.checkout.pin(
        app_image=pin, db_image=machine.images.pin("db", "17"), gateway_image=machine.images.pin("gateway", "1")
    )
    missing = machine.deploy()
    assert (missing.outcome, missing.module["fault"]["code"]) == ("release_fault", "image-missing"), missing.output
    registry = machine.images.lab.site().registry
    for name in ("app_image", "db_image", "gateway_image"):
        path = machine.checkout.ansible / "group_vars" / "staging" / "images.yml"
        path.write_text(path.read_text().replace(f"{name}: {registry}/", f"{name}: {registry.rpartition(':')[0]}:1/"))
    gone = machine.deploy()
    assert (gone.outcome, gone.module["fault"]["code"]) == ("site_fault", "registry"), gone.output
    assert machine.containers("backend") == before


def test_a_disk_that_would_be_too_full_is_found_before_anything_stops(machine: OnMachine) -> None:
    machine.release("1.0.0")
    machine.deploy()
    before = machine.containers("backend")
    machine.ssh("docker image ls -q --filter reference='*/shop/backend' --filter before=none 2>/dev/null; true")
    machine.release("1.3.0")
    machine.checkout.edit("deploy.yml", "        keep_releases:", "        reserve: 100000000\n        keep_releases:")
    play = machine.deploy()
    assert (play.outcome, play.module["fault"]["code"]) == ("site_fault", "disk-full"), play.output
    assert machine.containers("backend") == before


def test_start_first_with_a_host_port_is_refused_before_anything_starts(machine: OnMachine) -> None:
    machine.release("1.0.0")
    machine.checkout.edit(
        "templates/docker-compose.yml.j2",
        "    networks: [front]\n",
        "    networks: [front]\n    x-fairlead: {rollout: start-first}\n",
    )
    play = machine.deploy()
    assert (play.outcome, play.module["fault"]["code"]) == ("release_fault", "rollout-refused")
    assert "gateway: it cannot start first: it publishes host ports" in play.module["msg"]
    assert machine.containers("db") == []


def test_what_runs_instead_of_the_pin_is_seen(machine: OnMachine) -> None:
    machine.release("1.0.0")
    machine.deploy()
    machine.release("1.1.0")
    play = machine.inspect()
    assert (play.status, play.outcome) == (2, "differs")
    assert [line.split()[0] for line in play.module["differences"]] == ["backend"]


def test_images_of_old_releases_go_and_those_of_the_newest_stay(machine: OnMachine) -> None:
    for fence, version in enumerate(("1.0.0", "1.1.0", "1.3.0"), start=1):
        machine.release(version)
        machine.deploy("-e", f"fairlead_fence={fence}", "-e", "keep_releases=2")
    kept = machine.ssh("docker images --format '{{.Repository}}:{{.Tag}}' 'fairlead.keep/shop/backend'").split()
    assert sorted(kept) == ["fairlead.keep/shop/backend:2", "fairlead.keep/shop/backend:3"]
    digests = machine.ssh("docker images --digests --format '{{.Digest}}' '*/shop/backend'")
    assert machine.images.pin("backend", "1.0.0").partition("@")[2] not in digests
    assert machine.images.pin("backend", "1.1.0").partition("@")[2] in digests


def test_the_password_is_only_in_env(machine: OnMachine) -> None:
    machine.release("1.0.0")
    play = machine.deploy("-vvv")
    assert play.status == 0
    assert PASSWORD not in play.output
    found = machine.ssh(
        "sudo grep -rlF -e 'w\\\"x{{ 1 }}' /opt /var/lib/fairlead /home /root /tmp /var/log 2>/dev/null || true"
    ).split()
    assert sorted(found) == ["/opt/shop/.env", "/var/lib/fairlead/shop/serving/.env"]
