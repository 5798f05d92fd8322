"""The lab on the real engine: real containers, systemd, cloud-init, sshd, a real registry."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead import process
from fairlead.config.secrets import SecretClass, Secrets
from fairlead.errors import Busy, LabMissing, LabSubnetInUse, LabUsage, ProgramFailed
from fairlead.lab import addresses, demo, engine
from fairlead.lab.addresses import Network
from fairlead.lab.containers import Container
from fairlead.lab.engine import Docker
from fairlead.lab.images import REGISTRY, machine_tag
from fairlead.lab.machines import MachinePlan
from fairlead.lab.site import Lab, Site
from fairlead.lab.status import status_of

pytestmark = pytest.mark.lab

OWN = f"own-{os.getpid()}"  # each worker of pytest-xdist has one

# Brings a lab up and dies, as by a power cut, when the given phase begins.
DIES_IN_THE_MIDDLE = """
import os, signal, sys
from pathlib import Path
from fairlead.lab.progress import Progress
from fairlead.lab.site import Lab

def die(line: str) -> None:
    if line.startswith(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

Lab(sys.argv[1], Path(sys.argv[2]), progress=Progress(die, die)).up(("staging",))
"""


@pytest.fixture
def own_lab(tmp_path: Path, lab_site: Site) -> Iterator[Lab]:
    """A second lab beside the session's, down at the end. (The session's is up, so the images are there.)"""
    lab = Lab(OWN, tmp_path)
    yield lab
    lab.down()
    assert objects(lab.docker, OWN) == NOTHING


@pytest.fixture(scope="module")
def worn_lab(tmp_path_factory: pytest.TempPathFactory, lab_site: Site) -> Iterator[Lab]:
    """A lab with a machine for staging, for tests that stop, restart and add machines and leave it up."""
    lab = Lab(f"worn-{os.getpid()}", tmp_path_factory.mktemp("worn"))
    lab.up(("staging",))
    yield lab
    lab.down()
    assert objects(lab.docker, lab.name) == NOTHING


def objects(docker: Docker, lab: str) -> dict[str, list[str]]:
    """What there is in Docker by the lab's name, labelled or not."""
    listed = {
        "container": docker.run("container", "ls", "--all", "--format", "{{.Names}}"),
        "volume": docker.run("volume", "ls", "--format", "{{.Name}}"),
        "network": docker.run("network", "ls", "--format", "{{.Name}}"),
    }
    return {
        kind: [name for name in done.stdout.split() if f"{name}.".startswith(f"fairlead.{lab}.")]
        for kind, done in listed.items()
    }


NOTHING: dict[str, list[str]] = {"container": [], "volume": [], "network": []}


def ssh(site: Site, *command: str, environment: str = "staging") -> str:
    return process.run(site.machines[environment].ssh_argv(site.known_hosts, *command), timeout=300).stdout.strip()


def test_a_machine_is_what_a_deployment_needs(lab_site: Site) -> None:
    assert ssh(lab_site, "sudo", "-n", "id", "-u") == "0"
    assert ssh(lab_site, "docker", "info", "--format", "{{.Driver}}") in ("overlay2", "overlayfs")
    assert ssh(lab_site, "docker", "compose", "version", "--short").startswith("2.")
    assert ssh(lab_site, "hostname") == "staging"
    assert ssh(lab_site, "python3", "-c", "'import json, ssl, http.client; print(1)'") == "1"


def test_every_machine_has_its_own_key_and_host_key(lab_site: Site) -> None:
    staging, production = lab_site.machines["staging"], lab_site.machines["production"]
    assert staging.host_key.startswith("ssh-ed25519 ")
    assert staging.host_key != production.host_key
    assert staging.ssh_key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ProgramFailed, match="Permission denied"):
        process.run(
            [
                word.replace(str(staging.ssh_key), str(production.ssh_key))
                for word in staging.ssh_argv(lab_site.known_hosts)
            ],
            timeout=30,
        )


def test_up_again_changes_nothing(lab_site: Site, session_lab: Lab) -> None:
    ids = ["container", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}", lab_site.machines["staging"].container]
    before = session_lab.docker.run(*ids).stdout
    assert session_lab.up() == lab_site
    assert session_lab.docker.run(*ids).stdout == before
    assert session_lab.site() == lab_site


def test_its_secrets_are_where_fairlead_looks_for_them(lab_site: Site, session_lab: Lab) -> None:
    secrets = Secrets(lab_site.secrets, {})
    key = secrets.get(SecretClass.CONTROL, "ssh_key_staging").reveal()
    assert key == lab_site.machines["staging"].ssh_key.read_text().removesuffix("\n")
    assert all(path.stat().st_mode & 0o077 == 0 for path in (lab_site.secrets, *lab_site.secrets.rglob("*")))
    password = secrets.get(SecretClass.APPLICATION, "postgres_password")
    session_lab.site()
    assert secrets.get(SecretClass.APPLICATION, "postgres_password") == password


def test_status_tells_addresses_health_and_memory(lab_site: Site, session_lab: Lab) -> None:
    lab_site.repository("deployment")
    status = status_of(session_lab)
    assert status.healthy
    assert [(part.name, part.address) for part in status.machines] == [
        (name, machine.address) for name, machine in lab_site.machines.items()
    ]
    assert all(part.memory and part.memory > 2**20 for part in status.machines)
    assert status.repositories["deployment"] == lab_site.repository("deployment")
    assert json.loads(json.dumps(status.as_document()))["healthy"] is True


def test_the_registry_is_the_same_from_the_host_and_from_the_machines(lab_site: Site, session_lab: Lab) -> None:
    pin = demo.push(session_lab, demo.Build("gateway", "1.0.0"))
    assert str(pin).startswith(f"{lab_site.registry}/shop/gateway:1.0.0@sha256:")
    assert str(pin.digest) in ssh(lab_site, "docker", "pull", "--quiet=false", str(pin))


def test_pushing_needs_a_component_and_a_variant_that_exist(session_lab: Lab) -> None:
    with pytest.raises(LabUsage, match="no component 'front'"):
        demo.push(session_lab, demo.Build("front", "1.0.0"))
    with pytest.raises(LabUsage, match="no variant 'odd'"):
        demo.push(session_lab, demo.Build("backend", "1.0.0", "odd"))
    with pytest.raises(LabUsage, match="cannot be a tag"):
        demo.push(session_lab, demo.Build("backend", "-1"))


def test_a_repository_takes_a_push(lab_site: Site, tmp_path: Path) -> None:
    url = lab_site.repository("scratch")
    process.run(["git", "clone", "-q", url, tmp_path / "clone"])
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    process.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "First"], cwd=tmp_path / "clone")
    process.run(["git", "push", "-q", "origin", "HEAD"], cwd=tmp_path / "clone")
    assert lab_site.repository("scratch") == url
    assert process.run(["git", "-C", url, "log", "--format=%s", "main"]).stdout == "First\n"
    with pytest.raises(LabUsage, match="no name for a repository"):
        lab_site.repository("../x")


def test_down_leaves_nothing_behind_and_touches_no_other_lab(own_lab: Lab, lab_site: Site) -> None:
    others = objects(own_lab.docker, lab_site.name)
    site = own_lab.up(("staging",))
    assert site.subnet != lab_site.subnet
    assert ssh(site, "true") == ""
    assert ssh(lab_site, "true") == ""
    removed = own_lab.down()
    assert set(removed.objects) == {"container", "volume", "network"}
    assert objects(own_lab.docker, OWN) == NOTHING
    assert objects(own_lab.docker, lab_site.name) == others
    assert not own_lab.directory.exists()
    assert own_lab.down().objects == {}
    with pytest.raises(LabMissing, match="There is no lab"):
        own_lab.site()
    with pytest.raises(LabMissing, match="There is no lab"):
        status_of(own_lab)


def test_a_subnet_in_use_is_refused_with_a_free_one(own_lab: Lab, lab_site: Site) -> None:
    with pytest.raises(LabSubnetInUse) as raised:
        own_lab.up(("staging",), subnet=lab_site.subnet)
    free = raised.value.remedy.rpartition(" ")[2]
    assert free != lab_site.subnet
    assert own_lab.existing.network() is None


def test_a_subnet_that_another_lab_takes_in_between_is_left_to_it(own_lab: Lab, lab_site: Site) -> None:
    assert not own_lab.take(Network(lab_site.subnet))
    assert own_lab.existing.network() is None


def test_a_lab_keeps_its_subnet_and_takes_more_environments(worn_lab: Lab) -> None:
    before = worn_lab.site()
    with pytest.raises(LabUsage, match="has the subnet"):
        worn_lab.up(subnet="10.79.255.0/24")
    more = worn_lab.up(("production",))
    assert list(more.machines) == [*before.machines, "production"]
    assert more.machines["staging"] == before.machines["staging"]
    assert len(more.known_hosts.read_text().splitlines()) == len(more.machines)


@pytest.mark.parametrize("phase", ["Network", "Registry", "Machine"])
def test_up_that_was_killed_goes_on(own_lab: Lab, phase: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", DIES_IN_THE_MIDDLE, own_lab.name, str(own_lab.root), phase], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert ssh(own_lab.up(("staging",)), "id", "-un") == "deploy"


def test_a_machine_that_was_made_and_never_seeded_is_made_again(worn_lab: Lab) -> None:
    """Killed between `docker create` and `docker cp`: nobody could log in to such a machine."""
    site = worn_lab.site()
    address = addresses.machine(Network(site.subnet), 100)
    plan = MachinePlan(worn_lab.name, worn_lab.directory, "unseeded", address, site.registry, machine_tag())
    worn_lab.docker.run("volume", "create", *engine.labels(plan.lab, plan.directory, "unseeded"), plan.container)
    worn_lab.docker.run(*plan.create_argv())
    assert Container(worn_lab.docker, plan.container).state() == "created"
    assert ssh(worn_lab.up(("unseeded",)), "id", "-un", environment="unseeded") == "deploy"


def test_a_machine_restarts_with_its_identity_and_its_containers(worn_lab: Lab) -> None:
    site = worn_lab.site()
    pin = demo.push(worn_lab, demo.Build("gateway", "1.0.0"))
    ssh(site, "docker", "run", "--detach", "--restart", "unless-stopped", "--name", "kept", str(pin))
    worn_lab.docker.run("restart", site.machines["staging"].container)
    assert worn_lab.up() == site
    assert ssh(site, "docker", "inspect", "--format", "{{.State.Status}}", "kept") == "running"


def test_a_stopped_part_is_told_and_started_again(worn_lab: Lab) -> None:
    site = worn_lab.site()
    worn_lab.docker.run("stop", site.machines["staging"].container)
    status = status_of(worn_lab)
    assert not status.healthy
    assert (status.machines[0].state, status.machines[0].memory) == ("exited", None)
    with pytest.raises(LabMissing, match="is up"):
        worn_lab.site()
    assert worn_lab.up() == site


def test_one_name_on_one_engine_is_one_lab(own_lab: Lab, session_lab: Lab, lab_site: Site) -> None:
    other = Lab(session_lab.name, own_lab.root)
    with pytest.raises(LabUsage, match="Another lab on this engine is called"):
        other.up()
    assert other.down().objects == {}
    assert ssh(lab_site, "true") == ""


def test_two_changes_of_one_lab_at_once_are_refused(own_lab: Lab) -> None:
    with own_lab.alone(), pytest.raises(Busy, match="is being changed by process"):
        own_lab.up()


@pytest.mark.parametrize("name", ["", "X", "a.b", "-a", "a" * 22, "a\n"])
def test_a_name_that_docker_could_not_take_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LabUsage, match="is no name for"):
        Lab(name, tmp_path)
    with pytest.raises(LabUsage, match="is no name for"):
        Lab("ok", tmp_path).up((name,))


def test_no_environment_is_called_like_the_registry(tmp_path: Path) -> None:
    with pytest.raises(LabUsage, match="can be called 'registry'"):
        Lab("ok", tmp_path).up(("registry",))


def test_images_are_made_once(lab_site: Site, session_lab: Lab) -> None:
    assert {REGISTRY.tag, machine_tag()} <= set(session_lab.images.cached())
