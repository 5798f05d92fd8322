"""What is said to programs: lists, compared as lists."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from fairlead.lab import debian, demo, engine, images, machines, repositories
from fairlead.lab.images import Base
from fairlead.lab.machines import Machine, MachinePlan
from fairlead.lab.registry import RegistryPlan

DIRECTORY = Path("/state/labs/x")
MACHINE = MachinePlan("x", DIRECTORY, "staging", "10.77.0.11", "10.77.0.2:5000", "fairlead-lab/machine:1")


def test_a_machine_is_a_container_without_privileged_and_with_its_engines_data_on_a_volume() -> None:
    assert MACHINE.create_argv() == [
        "create", "--name", "fairlead.x.staging", "--hostname", "staging",
        "--label", "dev.fairlead.lab=x", "--label", "dev.fairlead.lab.directory=/state/labs/x",
        "--label", "dev.fairlead.lab.environment=staging", "--restart", "unless-stopped",
        "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--cgroupns", "private",
        "--device-cgroup-rule", "a *:* rwm", "--security-opt", "seccomp=unconfined",
        "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
        "--tmpfs", "/run", "--tmpfs", "/run/lock", "--memory", "2g",
        "--network", "fairlead.x", "--ip", "10.77.0.11",
        "--volume", "fairlead.x.staging:/var/lib/docker", "fairlead-lab/machine:1",
    ]  # fmt: skip


def test_a_machines_seed_holds_its_user_its_name_and_its_engines_settings() -> None:
    with tarfile.open(fileobj=io.BytesIO(MACHINE.seed("ssh-ed25519 AAAA x\n"))) as archive:
        files = {entry.name: _content(archive, entry.name) for entry in archive}
        assert {entry.uid for entry in archive} == {0}
    user_data = files["var/lib/cloud/seed/nocloud/user-data"]
    assert user_data.startswith("#cloud-config\n")
    [user] = json.loads(user_data.partition("\n")[2])["users"]
    assert user["name"] == "deploy"
    assert user["ssh_authorized_keys"] == ["ssh-ed25519 AAAA x"]
    assert json.loads(files["var/lib/cloud/seed/nocloud/meta-data"]) == {
        "instance-id": "x-staging",
        "local-hostname": "staging",
    }
    assert json.loads(files["etc/docker/daemon.json"])["insecure-registries"] == ["10.77.0.2:5000"]


def _content(archive: tarfile.TarFile, name: str) -> str:
    file = archive.extractfile(name)
    assert file is not None
    return file.read().decode()


def test_ssh_checks_the_host_key() -> None:
    machine = Machine("staging", "c", "10.77.0.11", Path("/k"), "ssh-ed25519 AAAA")
    assert machine.ssh_argv(Path("/known"), "docker", "ps") == [
        "ssh", "-i", "/k", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
        "-o", "UserKnownHostsFile=/known", "deploy@10.77.0.11", "docker", "ps",
    ]  # fmt: skip
    assert machine.known_hosts_line == "10.77.0.11 ssh-ed25519 AAAA\n"


def test_the_registry_has_a_fixed_address_and_a_port_on_the_host() -> None:
    plan = RegistryPlan("x", DIRECTORY, "10.77.0.2", "fairlead-lab/registry:1")
    assert plan.create_argv() == [
        "create", "--name", "fairlead.x.registry",
        "--label", "dev.fairlead.lab=x", "--label", "dev.fairlead.lab.directory=/state/labs/x",
        "--restart", "unless-stopped", "--network", "fairlead.x", "--ip", "10.77.0.2",
        "--publish", "127.0.0.1::5000", "--volume", "fairlead.x.registry:/var/lib/registry",
        "fairlead-lab/registry:1", "serve", "/etc/fairlead-registry.yml",
    ]  # fmt: skip


def test_objects_are_found_by_both_labels() -> None:
    assert engine.labelled("container", *engine.marks("x", DIRECTORY)) == [
        "container", "ls", "--all", "--filter", "label=dev.fairlead.lab=x",
        "--filter", "label=dev.fairlead.lab.directory=/state/labs/x", "--format", "{{.Names}}",
    ]  # fmt: skip
    assert engine.labelled("volume") == ["volume", "ls", "--filter", "label=dev.fairlead.lab", "--format", "{{.Name}}"]


def test_a_container_is_removed_with_its_anonymous_volumes() -> None:
    assert engine.removal("container", ["a", "b"]) == ["container", "rm", "--force", "--volumes", "a", "b"]
    assert engine.removal("network", ["n"]) == ["network", "rm", "n"]


def test_other_command_lines() -> None:
    assert repositories.init_argv(Path("/g/d.git")) == [
        "git", "init", "--quiet", "--bare", "--initial-branch=main", "--", "/g/d.git",
    ]  # fmt: skip
    assert machines.key_argv(Path("/k"), "c") == ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "c", "-f", "/k"]
    assert engine.Docker("unix:///s").argv("ps") == ["docker", "--host", "unix:///s", "ps"]
    assert debian.bootstrap_argv(["--variant=minbase"], Path("/r.tar"), "MIRROR") == [
        "mmdebstrap", "--quiet", "--variant=minbase", "trixie", "/r.tar", "MIRROR",
    ]  # fmt: skip
    assert debian.bootstrap_argv([], Path("/r.tar"), None) == ["mmdebstrap", "--quiet", "trixie", "/r.tar"]


def test_the_own_engine_is_started_and_stopped_by_its_pid_file_alone() -> None:
    own = engine.OwnEngine(Path("/state/engine"), options=("--bridge", "none"))
    assert own.start_argv() == [
        "start-stop-daemon", "--start", "--oknodo", "--background", "--make-pidfile",
        "--pidfile", "/state/engine/dockerd.pid", "--output", "/state/engine/dockerd.log",
        "--exec", "/usr/sbin/dockerd", "--", "--bridge", "none",
    ]  # fmt: skip
    assert own.stop_argv() == [
        "start-stop-daemon", "--stop", "--oknodo", "--retry", "TERM/20/KILL/5", "--remove-pidfile",
        "--pidfile", "/state/engine/dockerd.pid", "--exec", "/usr/sbin/dockerd",
    ]  # fmt: skip


def test_the_mirror_is_debians_main_archive() -> None:
    targets = "Debian bookworm-updates http://a/\nNode nodistro http://b/\nDebian bookworm http://c/\n"
    assert debian.mirror_among(targets) == "http://c/"
    assert debian.mirror_among("Ubuntu noble http://u/\n") is None
    assert debian.mirror_among("") is None


def test_an_images_name_changes_with_every_input() -> None:
    bases = [Base("b", "p"), Base("c", "p"), Base("b", "q"), Base("b", "p", ("o",)), Base("b", "p", (), ("o",)),
             Base("b", "p", ("o", "p")), Base("b", "p", ("op",))]  # fmt: skip
    assert len({base.tag for base in bases[:4] + bases[5:]}) == 6
    assert Base("b", "p").tag == Base("b", "p").tag


def test_an_image_from_a_root_file_system_is_labelled() -> None:
    base = Base("b", "p", (), ("ENV A=1",))
    assert images.image_import(Path("/r.tar"), base) == [
        "import", "--change", "LABEL dev.fairlead.lab.image=b", "--change", "ENV A=1", "/r.tar", base.tag,
    ]  # fmt: skip


def test_only_arguments_that_the_dockerfile_declares_are_passed(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "Dockerfile").write_text("ARG BASE=x\nFROM ${BASE}\nARG VERSION=1\n")
    assert demo.build_argv(demo.Build("db", "17", "broken"), tmp_path, "B", "t:17") == [
        "build", "--quiet", "--tag", "t:17", "--build-arg", "BASE=B", "--build-arg", "VERSION=17", str(tmp_path / "db"),
    ]  # fmt: skip


def test_push_names_the_digest() -> None:
    digest = "sha256:" + "a" * 64
    assert demo.pushed_digest(f"1.0: digest: {digest} size: 528\n") == digest


@pytest.mark.parametrize("part", ["backend", "db", "gateway"])
def test_the_demo_is_found(part: str) -> None:
    assert (demo.sources() / part / "Dockerfile").is_file()
