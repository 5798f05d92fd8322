"""The playbook and its module on a real machine: sshd, sudo, Docker Engine, Compose, a registry."""

import http.client
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.scaffold.ansible.conftest import PASSWORD, Checkout, OnMachine

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
        connection = http.client.HTTPConnection(self.address, timeout=60)
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


def test_the_first_deploy_makes_everything_and_the_second_changes_nothing(empty: OnMachine) -> None:
    empty.release("1.0.0")
    would = empty.deploy("--check", "--diff")
    assert (would.module["changed"], set(would.actions.values())) == (True, {"create"})
    assert "backend: create" in would.module["diff"]["prepared"]
    assert empty.ssh("ls -d /opt/shop /var/lib/fairlead/shop 2>/dev/null || true; docker ps -q") == ""
    first = empty.deploy("-e", "fairlead_fence=5")
    assert (first.status, first.outcome, set(first.actions.values())) == (0, "deployed", {"create"})
    second = empty.deploy("-e", "fairlead_fence=5")
    assert (second.status, second.outcome, second.actions) == (0, "unchanged", KEEP)
    assert not second.module["changed"]
    assert second.results["The application answers on its machine"]["state"] == "skipped"
    assert empty.inspect().outcome == "match"
    empty.ssh("cd /opt/shop && sudo docker compose up --detach")  # by hand, as a person would
    third = empty.deploy("-e", "fairlead_fence=5", "--check")
    assert (third.outcome, third.module["changed"]) == ("unchanged", False)


def test_the_oldest_ansible_deploys_start_first_and_changes_nothing_the_second_time(
    serving: OnMachine, oldest: Checkout
) -> None:
    """The checkout is the same one: from here on ansible-core 2.16 plays it."""
    serving.release("1.1.0")
    with load(serving.machine.address) as running:
        first = serving.deploy("-e", "fairlead_fence=5")
    assert (first.status, first.outcome, running.failures) == (0, "deployed", [])
    assert first.actions == {**KEEP, "backend": "start-first"}
    assert serving.inspect().outcome == "match"
    second = serving.deploy("-e", "fairlead_fence=5")
    assert (second.status, second.outcome, second.actions) == (0, "unchanged", KEEP)


def test_a_new_version_replaces_the_old_with_no_failed_request(serving: OnMachine) -> None:
    database = serving.containers("db")
    serving.release("1.1.0")
    with load(serving.machine.address) as requests:
        play = serving.deploy()
        requests.ask("GET", "/api/version")
    assert play.actions == {"backend": "start-first", "db": "keep", "gateway": "keep"}
    assert requests.failures == []
    assert requests.answered > 10
    assert requests.versions == {"1.0.0", "1.1.0"}
    assert serving.containers("db") == database
    assert len(serving.containers("backend")) == 1
    serving.release("1.0.0")
    differs = serving.inspect()
    assert (differs.status, differs.outcome) == (2, "differs")
    assert [line.split()[0] for line in differs.module["differences"]] == ["backend"]


def test_a_broken_image_leaves_the_old_one_serving_and_gets_no_request(serving: OnMachine) -> None:
    before, files = serving.containers("backend"), serving.ssh("sudo cat /opt/shop/docker-compose.yml")
    serving.release("1.2.0")
    with load(serving.machine.address) as requests:
        play = serving.deploy()
    assert (play.status, play.outcome) == (2, "release_fault")
    fault = play.module["fault"]
    assert (fault["code"], fault["service"], fault["restored"]) == ("unhealthy", "backend", "yes")
    assert any("never becomes healthy" in line for line in fault["log"])
    assert (requests.failures, requests.versions) == ([], {"1.0.0"})
    assert serving.containers("backend") == before
    assert serving.ssh("sudo cat /opt/shop/docker-compose.yml") == files


def test_a_service_in_place_is_made_anew_from_the_old_image_when_the_new_one_fails(serving: OnMachine) -> None:
    crashing = "image: {{ app_image | to_json }}\n    command: [python3, -c, 'raise SystemExit(3)']"
    serving.checkout.edit("templates/docker-compose.yml.j2", "image: {{ gateway_image | to_json }}", crashing)
    play = serving.deploy()
    fault = play.module["fault"]
    assert (play.outcome, fault["service"], fault["restored"]) == ("release_fault", "gateway", "yes")
    assert Load(serving.machine.address).ask("GET", "/api/version")["version"] == "1.0.0"


def test_a_half_done_rollout_is_finished(serving: OnMachine) -> None:
    """What a kill leaves: the new files, and a second container that nobody finds yet."""
    [old] = serving.containers("backend")
    pins = [serving.images.pin("backend", version).partition("shop/")[2] for version in ("1.0.0", "1.1.0")]
    serving.ssh(f"sudo sed -i 's#{pins[0]}#{pins[1]}#' /opt/shop/docker-compose.yml")
    serving.ssh("cd /opt/shop && sudo docker compose up --no-start --no-recreate --scale backend=2 backend")
    created = "docker ps -q --filter status=created --filter label=com.docker.compose.service=backend"
    serving.ssh(f"new=$({created}); docker network disconnect shop_front $new && docker start $new")
    serving.release("1.1.0")
    play = serving.deploy()
    assert (play.status, play.actions) == (0, {**KEEP, "backend": "finish"}), play.output
    assert Load(serving.machine.address).ask("GET", "/api/version")["version"] == "1.1.0"
    assert old not in serving.containers("backend")
    assert serving.deploy().actions == KEEP


def test_a_stale_release_is_refused_and_one_by_hand_is_not(serving: OnMachine) -> None:
    serving.deploy("-e", "fairlead_fence=8")
    stale = serving.deploy("-e", "fairlead_fence=7")
    assert (stale.outcome, stale.module["fault"]["code"]) == ("site_fault", "stale")
    assert "number 8 has been here" in stale.module["msg"]
    by_hand = serving.deploy("-e", "health_check_url=http://127.0.0.1/api/nothing", "-e", "health_check_retries=0")
    assert (by_hand.status, by_hand.results["The application answers on its machine"]["status"]) == (2, 404)
    assert (by_hand.outcome, by_hand.module["fence"]) == ("unchanged", 8)


def test_a_busy_machine_names_the_holder(serving: OnMachine) -> None:
    serving.deploy("-e", "fairlead_run=run-1")
    serving.checkout.edit("deploy.yml", "keep_releases:", "lock_wait: 1\n            keep_releases:")
    hold = serving.machine.ssh_argv(serving.known_hosts, "sudo flock /var/lib/fairlead/shop/lock cat")
    with subprocess.Popen(hold, stdin=subprocess.PIPE) as holder:
        serving.ssh("while sudo flock -n /var/lib/fairlead/shop/lock true; do sleep 0.05; done")
        play = serving.deploy()
        holder.communicate(timeout=30)
    assert (play.outcome, play.module["fault"]["code"]) == ("site_fault", "busy")
    assert "run-1" in play.module["msg"]


def test_a_missing_digest_is_the_releases_fault_and_a_silent_registry_the_sites(serving: OnMachine) -> None:
    before = serving.containers("backend")
    real = serving.images.pin("backend", "1.0.0")
    others = {f"{name}_image": serving.images.pin(name, tag) for name, tag in (("db", "17"), ("gateway", "1"))}
    serving.checkout.pin(app_image=real.partition("@")[0] + "@sha256:" + "f" * 64, **others)
    missing = serving.deploy()
    assert (missing.outcome, missing.module["fault"]["code"]) == ("release_fault", "image-missing"), missing.output
    registry = serving.images.lab.site().registry
    serving.checkout.pin(app_image=real.replace(registry, registry.partition(":")[0] + ":1"), **others)
    gone = serving.deploy()
    assert (gone.outcome, gone.module["fault"]["code"]) == ("site_fault", "registry"), gone.output
    assert serving.containers("backend") == before


def test_a_disk_that_would_be_too_full_is_found_before_anything_stops(serving: OnMachine) -> None:
    before = serving.containers("backend")
    serving.release("1.4.0")
    serving.checkout.edit("deploy.yml", "keep_releases:", "reserve: 100000000\n            keep_releases:")
    play = serving.deploy()
    assert (play.outcome, play.module["fault"]["code"]) == ("site_fault", "disk-full"), play.output
    assert serving.containers("backend") == before


def test_start_first_with_a_host_port_is_refused_before_anything_starts(serving: OnMachine) -> None:
    before, mark = serving.containers("gateway"), "    networks: [front]\n"
    serving.checkout.edit("templates/docker-compose.yml.j2", mark, f"{mark}    x-fairlead: {{rollout: start-first}}\n")
    play = serving.deploy()
    assert (play.outcome, play.module["fault"]["code"]) == ("release_fault", "rollout-refused")
    assert "gateway: it cannot start first: it publishes host ports" in play.module["msg"]
    assert serving.containers("gateway") == before


def test_images_of_old_releases_go_and_those_of_the_newest_stay(serving: OnMachine) -> None:
    for fence, version in enumerate(("1.1.0", "1.3.0", "1.5.0"), start=101):
        serving.release(version)
        serving.deploy("-e", f"fairlead_fence={fence}", "-e", "keep_releases=2")
    kept = serving.ssh("docker images --format '{{.Tag}}' 'fairlead.keep/shop/backend'").split()
    assert sorted(kept) == ["102", "103", "unfenced"]
    digests = serving.ssh("docker images --digests --format '{{.Digest}}' '*/shop/backend'")
    assert serving.images.pin("backend", "1.1.0").partition("@")[2] not in digests
    assert serving.images.pin("backend", "1.3.0").partition("@")[2] in digests


def test_the_password_is_only_in_env(serving: OnMachine) -> None:
    play = serving.deploy("-vvv")
    assert play.status == 0
    assert PASSWORD not in play.output
    # sudo logs its command line, so the pattern goes by stdin; runc's file is there while a health check runs
    places = "/opt /var/lib/fairlead /home /root /tmp /var/log"
    search = f"echo '\"x{{{{ 1 }}}}' | sudo grep -rlF --exclude='runc-process*' -f - {places} 2>/dev/null || true"
    assert sorted(serving.ssh(search).split()) == ["/opt/shop/.env", "/var/lib/fairlead/shop/serving/.env"]
