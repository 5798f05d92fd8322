"""One environment's machine: the way to it, and by one ssh connection what a deploy needs there."""

import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead.config import layout
from fairlead.config.models import SemaphoreDeploy
from fairlead.deploy import report
from fairlead.deploy.base import Target
from fairlead.deploy.connection import Way, ask, read_way
from fairlead.errors import FairleadError
from fairlead.pipeline import machines, rollout
from fairlead.pipeline.doctor.fact import Fact, fails
from fairlead.pipeline.doctor.here import judged
from fairlead.pipeline.scope import Scope

ENGINE, COMPOSE, PYTHON = (20, 10), (2, 20), (3, 9)  # what the module fairlead_compose needs
DISK, PLENTY = 512, 2048  # MiB free: the module's reserve; below the second a pull may not fit
MOST_SECONDS_APART = 30
_CONNECT_TIME = 5.0

# POSIX sh, without a single value from outside. `name<tab>value`, one line each.
QUESTION = r"""
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin
say() { printf '%s\t%s\n' "$1" "$(printf %s "$2" | tr '\n\t' '  ')"; }
say clock "$(date +%s)"
as=
if [ "$(id -u)" = 0 ]; then say sudo root
elif refusal=$(sudo -n true 2>&1); then as='sudo -n'; say sudo yes
else say refused "$refusal"; fi
say python "$(python3 --version 2>&1)"
say engine "$($as docker version --format '{{.Server.Version}}' 2>&1 | tail -n 1)"
say compose "$($as docker compose version --short 2>&1 | tail -n 1)"
root=$($as docker info --format '{{.DockerRootDir}}' 2>/dev/null)
say disk "$(df -Pm "${root:-/}" 2>/dev/null | tail -n 1)"
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a machine said. began, ended: by this computer's clock, seconds since 1970."""

    values: Mapping[str, str]
    began: float
    ended: float


def machine(scope: Scope, checkout: Path, known: str = "") -> Iterator[Fact]:
    """Every fact of one environment's machine, as far as it can be reached. known: its address, where it is known."""
    step = "address"
    try:
        rollout.deployer_of(scope)  # for its error
        vm_ip = known or machines.machine_of(scope).vm_ip
        yield _named(scope, Fact(step, True, vm_ip))
        if isinstance(scope.configuration.deploy, SemaphoreDeploy):
            return  # the way to the machine is Semaphore's
        step = "inventory"
        target = _target(scope, checkout, vm_ip)
        way = read_way(target, scope.configuration.deploy)
        yield _named(scope, Fact(step, True, f"Ansible connects to {way}"))
        step = "login"
        for fact in _over_ssh(scope, checkout, way):
            yield _named(scope, fact)
    except FairleadError as error:
        yield _named(scope, fails(step, error))


def _target(scope: Scope, checkout: Path, vm_ip: str) -> Target:
    return Target(
        environment=scope.environment,
        app=scope.configuration.app,
        commit=scope.commit,
        checkout=checkout,
        vm_ip=vm_ip,
        pins={},
    )


def _over_ssh(scope: Scope, checkout: Path, way: Way) -> Iterator[Fact]:
    if way.is_direct:
        port = ssh_port(way)
        yield port
        if not port.ok:
            return
    key = rollout.ssh_key(scope)
    began = time.time()
    done = ask(way, checkout, key, QUESTION)
    reading = Reading(parse(done.stdout), began, time.time())
    if not reading.values:
        yield from refused(done.stderr, way)
        return
    yield Fact("host key", True, f"is the one in {layout.KNOWN_HOSTS}")
    whose = "the control secret ssh_key" if key else "this user's own keys"
    yield Fact("login", True, f"{way} accepts {whose}")
    yield from judge(reading)


def ssh_port(way: Way) -> Fact:
    """Whether anything listens there."""
    try:
        socket.create_connection((way.address, way.port), timeout=_CONNECT_TIME).close()
    except OSError as error:
        _, reason, remedy = report.connection_fault(error.strerror or str(error), way.address)
        return Fact(
            "SSH port", False, f"{reason}; what lies behind it was not looked at", remedy or f"ssh -v {way.address}"
        )
    return Fact("SSH port", True, f"{way.port} answers")


def refused(said: str, way: Way) -> Iterator[Fact]:
    """What ssh's refusal means, and which facts before it hold."""
    code, reason, remedy = report.connection_fault(said, way.address)
    if code == "ssh-key":
        yield Fact("host key", True, f"is the one in {layout.KNOWN_HOSTS}")
    name = "host key" if code == "host-key" else "login"
    yield Fact(name, False, f"{reason}; what lies behind it was not looked at", remedy or f"ssh -v {way.address}")


def parse(text: str) -> dict[str, str]:
    """The answer's lines; a greeting that the machine prints is left out."""
    lines = (line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    return {name: value.strip() for name, value in lines}


def judge(reading: Reading) -> Iterator[Fact]:
    """What the machine said, fact by fact."""
    values = reading.values
    yield sudo(values)
    yield judged("Docker engine", values.get("engine", ""), ENGINE, "On the machine: apt-get install docker.io")
    install = "On the machine: apt-get install docker-compose-plugin, or Debian's docker-compose from trixie on"
    yield judged("Compose", values.get("compose", ""), COMPOSE, install)
    yield judged("Python", values.get("python", ""), PYTHON, "On the machine: apt-get install python3")
    yield disk(values.get("disk", ""))
    yield clock(values.get("clock", ""), reading.began, reading.ended)


def sudo(values: Mapping[str, str]) -> Fact:
    """Root, or sudo that asks nothing."""
    if values.get("sudo"):
        return Fact("sudo", True, "is root" if values["sudo"] == "root" else "asks for no password")
    remedy = "On the machine, a line like 'deploy ALL=(ALL) NOPASSWD: ALL' in /etc/sudoers.d/"
    return Fact("sudo", False, values.get("refused") or "is not there", remedy)


def disk(line: str) -> Fact:
    """A line of `df -Pm`: file system, size, used, free (MiB), capacity, mounted on (POSIX, df)."""
    fields = line.split()
    if len(fields) < 6 or not fields[3].isdecimal():
        return Fact("disk", False, f"df says {line or 'nothing'}", "On the machine: df -Pm")
    free = int(fields[3])
    remedy = "" if free >= PLENTY else "On the machine: sudo docker system df; remove what nobody needs"
    return Fact("disk", free >= DISK, f"{free} MiB free on {fields[5]}", remedy)


def clock(said: str, began: float, ended: float) -> Fact:
    """Seconds between the machine's clock and this one; the answer was given between began and ended."""
    if not said.isdecimal():
        return Fact("clock", False, f"date says {said or 'nothing'}", "On the machine: date +%s")
    apart = max(int(began) - int(said), int(said) - int(ended), 0)
    remedy = "" if apart <= MOST_SECONDS_APART else "On the machine: timedatectl set-ntp true; and look at this clock"
    return Fact("clock", True, f"{apart} s from this computer's" if apart else "is this computer's", remedy)


def _named(scope: Scope, fact: Fact) -> Fact:
    return Fact(f"{scope.environment}: {fact.fact}", fact.ok, fact.detail, fact.remedy, fact.configuration)
