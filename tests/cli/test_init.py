"""`fairlead init` from the command line: flags, questions on a terminal, and what it prints."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.config.file import ConfigurationFile
from fairlead.config.models import StaticProvision
from fairlead.lab.site import Lab, Site
from fairlead.provision.lock_file import package_hash
from fairlead.provision.tofu import PROVIDER

FLAGS = ["--app", "shop", "-e", "staging", "-e", "production", "--image", "app_image=registry.example.com/shop/backend"]
FAIRLEAD = [sys.executable, "-m", "fairlead"]


def fairlead(*words: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    given = {**os.environ, **variables}
    return subprocess.run(
        [*FAIRLEAD, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=given
    )


def test_flags_write_a_repository_and_say_what_comes_next(tmp_path: Path) -> None:
    done = fairlead("init", tmp_path / "deploy", *FLAGS, "--address", "staging=192.0.2.10", "--json")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["directory"] == str(tmp_path / "deploy")
    assert "fairlead.yaml" in told["paths"]
    assert told["unmatched_variables"] == ["db_image", "gateway_image"]
    assert advice(done) == [
        "git add --all",
        "git commit --message Begin",
        "git remote add origin URL",
        "git push --set-upstream origin main fairlead-scaffold",
    ]
    assert "To undo: " in done.stderr
    assert list(ConfigurationFile.in_directory(tmp_path / "deploy").configuration.environments) == [
        "staging",
        "production",
    ]


def test_a_repository_that_is_there_is_advised_to_what_it_lacks(tmp_path: Path) -> None:
    for words in (["init", "--quiet", "--initial-branch=master"], ["remote", "add", "origin", "/srv/shop.git"]):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    assert advice(fairlead("init", tmp_path, *FLAGS)) == [
        "git branch --move main",
        "git add --all",
        "git commit --message Begin",
        "git push --set-upstream origin main fairlead-scaffold",
    ]


def advice(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """The git commands that are proposed, without the directory that they are to be run in."""
    lines = [line.split(" && ")[-1].strip() for line in done.stderr.splitlines() if "To undo" not in line]
    return [line for line in lines if line.startswith("git ")]


def test_a_second_init_changes_nothing_and_ends_with_2(tmp_path: Path) -> None:
    fairlead("init", tmp_path, *FLAGS)
    done = fairlead("init", tmp_path, *FLAGS, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "FL-SCAFFOLD-EXISTS"


def test_missing_flags_are_named_where_nobody_can_be_asked(tmp_path: Path) -> None:
    done = fairlead("init", tmp_path, "--app", "shop")
    assert done.returncode == 2
    assert "fairlead init needs --environment, --image" in done.stderr
    assert "→ fairlead init --app shop" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_registry_without_tls_completes_short_names(tmp_path: Path) -> None:
    words = [
        "--app",
        "shop",
        "-e",
        "staging",
        "--image",
        "app_image=shop/backend",
        "--registry",
        "http://10.0.0.1:5000",
    ]
    assert fairlead("init", tmp_path, *words).returncode == 0
    configuration = ConfigurationFile.in_directory(tmp_path).configuration
    assert configuration.images["app_image"].repository == "10.0.0.1:5000/shop/backend"
    assert configuration.registries["10.0.0.1:5000"].plain_http


def test_an_address_without_its_environment_is_refused(tmp_path: Path) -> None:
    done = fairlead("init", tmp_path, *FLAGS, "--address", "192.0.2.10")
    assert done.returncode == 2
    assert "--address staging=192.0.2.10" in done.stderr


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    with subprocess.Popen([*FAIRLEAD, "init", tmp_path / "shop"], stdin=end, stderr=end, stdout=end) as child:
        os.close(end)
        os.write(terminal, b"\nlive\napp_image=registry.example.com/shop/backend\n\n")
        while _read(terminal):
            pass
    os.close(terminal)
    assert child.returncode == 0
    assert list(ConfigurationFile.in_directory(tmp_path / "shop").configuration.environments) == ["live"]
    assert ConfigurationFile.in_directory(tmp_path / "shop").configuration.app == "shop"


def _read(terminal: int) -> bytes:
    """What the program prints; nothing once it has ended (Linux says EIO)."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def commit(directory: Path) -> None:
    """A person commits what init wrote."""
    for words in (["add", "--all"], ["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "Begin"]):
        subprocess.run(["git", "-C", directory, *words], check=True)


def test_an_update_with_nothing_new_says_so(tmp_path: Path) -> None:
    fairlead("init", tmp_path, *FLAGS)
    commit(tmp_path)
    done = fairlead("init", tmp_path, "--update", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["branch"] is None


@pytest.mark.lab
def test_a_lab_answers_all_questions(tmp_path: Path, session_lab: Lab, lab_site: Site) -> None:
    done = subprocess.run(
        [*FAIRLEAD, "init", tmp_path, "--lab", session_lab.name, "-e", "staging"],
        env={**os.environ, "FAIRLEAD_STATE_DIR": str(session_lab.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "edit it to the services" not in done.stderr
    configuration = ConfigurationFile.in_directory(tmp_path).configuration
    assert isinstance(configuration.provision, StaticProvision)
    assert configuration.provision.addresses == {"staging": lab_site.machines["staging"].address}
    assert configuration.images["app_image"].repository == f"{lab_site.registry}/shop/backend"
    assert lab_site.machines["staging"].known_hosts_line in (tmp_path / layout.KNOWN_HOSTS).read_text()
    remote = subprocess.run(["git", "-C", tmp_path, "remote", "get-url", "origin"], stdout=subprocess.PIPE, check=True)
    assert remote.stdout.decode().strip() == lab_site.repository("shop")


def test_a_lab_adds_its_own_providers_checksum_to_those_that_are_locked(tmp_path: Path) -> None:
    fairlead("init", tmp_path / "shop", *FLAGS)
    commit(tmp_path / "shop")
    package = tmp_path / "cache/fairlead/opentofu/providers" / PROVIDER / "0.106.0/linux_amd64"
    package.mkdir(parents=True)
    (package / "terraform-provider-proxmox_v0.106.0").write_bytes(b"built here")
    lock = tmp_path / "shop" / layout.LOCK_FILE
    lock.write_text(f'provider "{PROVIDER}" {{\n  version = "0.106.0"\n  hashes = [\n    "h1:published",\n  ]\n}}\n')
    words = ("init", tmp_path / "shop", "--update", "--lab", "lab")
    told = fairlead(*words, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert f"{layout.LOCK_FILE} has the checksum of the lab's own provider too: commit it" in told.stderr
    assert [line.strip() for line in lock.read_text().splitlines() if "h1:" in line] == [
        f'"{package_hash(package)}",',
        '"h1:published",',
    ]
    lock.write_text(lock.read_text().replace("0.106.0", "0.107.0"))
    told = fairlead(*words, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert "version 0.107.0 of the provider, which the lab has not built" in told.stderr
