"""What `make setup` does: the environment with pinned packages, and the Debian programs that tests and the lab use.

Runs on the system's own python3, so it imports nothing but the standard library and must at least parse on older
Pythons. Does nothing, in a few milliseconds, when nothing is to do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "fairlead-setup"
LOCK = ROOT / "requirements" / "dev.txt"
# The oldest ansible-core that the scaffold's playbook serves, for the tests that hold it to that.
OLD_ANSIBLE = VENV / "oldest-ansible"
OLD_ANSIBLE_LOCK = ROOT / "requirements" / "oldest-ansible.txt"
INPUTS = (LOCK, OLD_ANSIBLE_LOCK, ROOT / "pyproject.toml", Path(__file__))
OLDEST = (3, 11)
AGAIN = "make setup"
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
NEWER_PYTHONS = ("python3.13", "python3.12", "python3.11")

# Program -> the Debian package that carries it. The one list of what make test and make demo need from the system.
PROGRAMS = {
    "git": "git",
    "ssh": "openssh-client",
    "docker-registry": "docker-registry",
    "skopeo": "skopeo",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "sshd": "openssh-server",
    "pg_ctlcluster": "postgresql",
    "rsync": "rsync",  # for gitlab-ci-local, which npm gets
    "npm": "npm",
    "chromium": "chromium",  # a test logs in at the demo
    "mvn": "maven",  # the demo gets Keycloak by it, where no registry serves the image
}
ENGINE = ("docker.io", "docker-cli")  # only where no engine answers; the client is its own package since Debian 13
# Debian starts these where systemd runs; Fairlead only wants the programs. Package -> service.
UNASKED_SERVICES = {"docker-registry": "docker-registry", "openssh-server": "ssh", "postgresql": "postgresql"}
OPENTOFU = ROOT / "tools" / "opentofu" / "build.py"


def main() -> int:
    python = suitable_python()
    if python is None:
        found = ".".join(map(str, sys.version_info[:3]))
        return stop(
            f"Fairlead needs Python {OLDEST[0]}.{OLDEST[1]} or newer; python3 here is {found}.",
            f"Install python3.11 or newer so that it is on PATH, then: {AGAIN}",
        )
    if (missing := missing_packages()) and (blocked := why_not_install(missing)):
        return stop(*blocked)
    if missing:
        install_packages(missing)
    if subprocess.run([python, OPENTOFU], check=False).returncode:  # it says itself what it builds, and what failed
        return 1
    if is_up_to_date():
        return 0
    make_environment(python)
    STAMP.write_text(fingerprint())
    say(f"ready: {VENV.name}/bin/fairlead")
    return 0


def suitable_python() -> str | None:
    """This Python when it is new enough, else the newest one on PATH that is."""
    if sys.version_info >= OLDEST:
        return sys.executable
    return next(filter(None, map(shutil.which, NEWER_PYTHONS)), None)


def is_up_to_date() -> bool:
    """Whether the environment was made from the inputs as they are, and its Python is still there."""
    return STAMP.is_file() and (VENV / "bin/python").exists() and STAMP.read_text() == fingerprint()


def fingerprint() -> str:
    """Changes whenever the environment has to be brought up to date."""
    digest = hashlib.sha256()
    for path in INPUTS:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def make_environment(python: str) -> None:
    """The virtual environment: exactly the locked packages, by hash, and this checkout, editable."""
    install(python, VENV, LOCK)
    run(VENV / "bin/python", *PIP, "--no-deps", "--no-build-isolation", "--editable", ROOT)
    install(python, OLD_ANSIBLE, OLD_ANSIBLE_LOCK)


def install(python: str, environment: Path, lock: Path) -> None:
    """Bring one virtual environment, made where there is none, to the packages of its lock."""
    if not (environment / "bin/python").exists() or not (environment / "bin/pip").exists():
        say(f"making {environment.relative_to(ROOT)} with {python}")
        run(python, "-m", "venv", "--clear", environment)
    say(f"installing the packages of {lock.relative_to(ROOT)}")
    run(environment / "bin/python", *PIP, "--require-hashes", "--requirement", lock)


def missing_packages() -> list[str]:
    """Debian packages to install: only those whose program is not there."""
    missing = [package for program, package in PROGRAMS.items() if not have(program)]
    if not engine_answers() and not have("dockerd"):
        missing.extend(ENGINE)
    if not has_ensurepip():
        missing.append("python3-venv")
    return missing


def have(program: str) -> bool:
    """Also where a user's PATH lacks the administrator's directories."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


def has_ensurepip() -> bool:
    """Debian splits venv's other half off into a package of its own."""
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        return (VENV / "bin/pip").exists()
    return True


def engine_answers() -> bool:
    """Whether a Docker engine listens where clients look for it."""
    if os.environ.get("DOCKER_HOST"):
        return True
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex("/var/run/docker.sock") == 0


def why_not_install(packages: list[str]) -> tuple[str, str] | None:
    """What stands in the way of installing, and what a person can do about it. None: nothing."""
    names = " ".join(packages)
    if not have("apt-get"):
        return f"Missing on this machine (the names are Debian's): {names}.", f"Install them, then: {AGAIN}"
    if os.geteuid() != 0:
        remedy = f"sudo apt-get install --no-install-recommends {names} && {AGAIN}"
        return f"Missing on this machine, and only root can install them: {names}.", remedy
    return None


def install_packages(packages: list[str]) -> None:
    """Install those of the packages that this release of Debian has."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "--quiet=2", **quiet)
    known = [package for package in packages if is_known(package)]
    say(f"installing {', '.join(known)} with apt-get")
    run("apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", *known, **quiet)
    for package in set(UNASKED_SERVICES).intersection(known):
        stop_service(UNASKED_SERVICES[package])


def is_known(package: str) -> bool:
    """Whether apt can install it."""
    return bool(subprocess.run(["apt-cache", "show", package], capture_output=True, check=False).stdout)


def stop_service(service: str) -> None:
    """Only where systemd runs: elsewhere Debian's packages start nothing."""
    if Path("/run/systemd/system").is_dir():
        run("systemctl", "disable", "--now", service)


def run(*argv: str | Path, **variables: str) -> None:
    """Run a program. What it printed is shown only when it fails, and then make stops."""
    words = [os.fspath(word) for word in argv]
    done = subprocess.run(
        words, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        raise SystemExit(stop(f"{' '.join(words)} ended with exit code {done.returncode}", f"Mend that, then: {AGAIN}"))


def stop(what: str, remedy: str) -> int:
    sys.stderr.write(f"setup: {what}\n  {remedy}\n")
    return 1


def say(line: str) -> None:
    sys.stderr.write(f"setup: {line}\n")


if __name__ == "__main__":
    raise SystemExit(main())
