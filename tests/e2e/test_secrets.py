"""Secrets stay where they belong, and nothing that a stranger writes is ever executed."""

import base64
import itertools
import json
import re
import shlex
import subprocess
import urllib.parse
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.deployment_repo import quarantine
from tests.e2e.canaries import Canaries, Watch, namespace
from tests.e2e.operator import TEMPLATE, Operator
from tests.fixtures.git import git

pytestmark = pytest.mark.lab
# Where a machine keeps what the application needs to run: its own file, and the engine's records of its containers.
NEEDED = (
    r"/opt/shop/\.env",
    r"/var/lib/fairlead/shop/serving/\.env",
    r"/var/lib/docker/containers/[0-9a-f]{64}/(\.tmp-)?config\.v2\.json\d*",
    r"/run/.*/[0-9a-f]{64}/config\.json",
    r"/var/lib/(docker/)?containerd/.*/meta\.db",
    r"/(run|tmp)/.*runc-process\d+",
)
SEARCHED = ("/dev/shm", "/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var")
QUIET = "    restart: unless-stopped\n    environment:\n      PGHOST: db\n"
TALKATIVE = """\
    command:
      - python3
      - -c
      - import os; print(os.environ["PGPASSWORD"], os.environ["MAIL_PASSWORD"]); raise SystemExit(3)
    restart: unless-stopped
    environment:
      PGHOST: db
"""


@pytest.fixture
def canaries(shop: Operator) -> Canaries:
    """The core of every password, and the machines' SSH keys."""
    return Canaries.of(shop.core, [machine.ssh_key for machine in shop.site.machines.values()])


def watch(shop: Operator, canaries: Canaries) -> Watch:
    return Watch(canaries, frozenset([namespace(Path("/proc/self")), *map(machine_namespace, machines(shop))]))


def machines(shop: Operator) -> list[str]:
    return [machine.container for machine in shop.site.machines.values()]


def machine_namespace(container: str) -> str:
    words = ["docker", "inspect", "--format", "{{.State.Pid}}", container]
    first = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return namespace(Path("/proc", first))


def places_with_a_secret(shop: Operator, canaries: Canaries) -> list[str]:
    """Everything that outlives a command, here and on the machine, but what the operator and the application need."""
    here = [
        *canaries.in_files(shop.lab.root, leave_out=(shop.site.secrets, shop.site.directory / "keys")),
        *(found for place in (shop.home, shop.temporary, shop.checkout) for found in canaries.in_files(place)),
        *canaries.in_files(Path("/dev/shm")),
        *(str(repository) for repository in (shop.remote, shop.checkout) if canaries.in_git(repository)),
    ]
    grep = ("grep", "-rlasF", "--devices=skip", "-f", "-", *SEARCHED)
    there = shop.on_machine(*grep, stdin=canaries.lines, check=False).splitlines()
    if canaries.within(shop.on_machine("journalctl", "-q", "--no-pager", "--all").encode()):
        there.append("the machine's journal")
    return here + [place for place in there if not any(re.fullmatch(needed, place) for needed in NEEDED)]


def test_a_success_and_failures_leave_no_secret_behind(shop: Operator, canaries: Canaries) -> None:
    before = set(shop.temporary.iterdir())  # what killed processes of other stories left
    with watch(shop, canaries) as watching:
        shop.push()
        said = [shop.run()]
        shop.push("wrong-version")
        said.append(shop.run())
        shop.commit(
            "Talk", {TEMPLATE: (("    restart: unless-stopped\n    environment:\n      PGHOST: db\n", TALKATIVE),)}
        )
        said.append(shop.run())
    assert [one.code for one in said] == [0, 6, 6], [one.text for one in said]
    assert "***" in said[2].stderr  # what the application printed is shown, masked
    assert (watching.found, watching.looks > 10) == (set(), True)
    assert not any(canaries.within(one.text.encode()) for one in said)
    assert places_with_a_secret(shop, canaries) == []
    assert set(shop.temporary.iterdir()) <= before


def eight_forms(value: str) -> tuple[str, ...]:
    """A secret as programs write it down."""
    content = value.encode()
    return (
        value,
        urllib.parse.quote(value, safe=""),
        json.dumps(value),
        shlex.quote(repr(value)),
        value.replace("$", "$$"),
        base64.b64encode(b"user:" + content).decode(),
        content.hex(),
        value[::-1],
    )


def test_the_canaries_are_there_to_be_found(shop: Operator, canaries: Canaries) -> None:
    """So that finding none means something."""
    for name, value in shop.secrets.items():
        assert canaries.within((shop.site.secrets / "application" / name).read_bytes()), name
        for form in eight_forms(value):
            assert canaries.within(form.encode()), form
    assert canaries.in_files(shop.site.directory / "keys")
    found = shop.on_machine("grep", "-rlasF", "-f", "-", "/opt", stdin=canaries.lines)
    assert found.split() == ["/opt/shop/.env"]


def test_the_application_gets_its_secrets_as_they_are(shop: Operator) -> None:
    [backend] = shop.containers("backend")
    said = shop.on_machine("docker", "inspect", "--format", "{{json .Config.Env}}", backend)
    variables = dict(line.split("=", 1) for line in json.loads(said))
    assert variables["PGPASSWORD"] == shop.secrets["postgres_password"]
    assert variables["MAIL_PASSWORD"] == shop.secrets["mail_password"]


def test_nothing_that_strangers_write_is_executed_or_forged(shop: Operator) -> None:
    hostile = f"--output=/tmp/x\n\nFairlead-Run: forged\nFairlead-Environment: production\n{shop.bait}"
    shop.push(revision=hostile, source=f"-{shop.bait}")
    said = shop.run()
    assert said.code == 0, said.text
    back = shop.fairlead("rollback", "-e", "staging", "--failed", "--reason", hostile, "--json")
    assert back.code == 0, back.text
    assert shop.run().document["outcome"] == "none"
    shop.push()
    assert shop.fairlead("bump", "-e", "staging", f"--run={hostile}").code == 2
    for command, run in itertools.product(("bump", "deploy"), (hostile, f"-{shop.bait}")):
        assert shop.fairlead(command, "-e", "staging", f"--run={run}").code == 2
    runs = git(shop.remote, "log", "--format=%(trailers:key=Fairlead-Run,valueonly,separator=;)", "main").splitlines()
    assert not [run for run in runs if "forged" in run or ";" in run]
    assert shop.run().document["outcome"] == "proven"
    entries = quarantine.read(git(shop.remote, "show", f"main:{layout.QUARANTINE}").encode())
    assert entries[-1].environment == "staging"
    assert not shop.marker.exists()
    searched = ("find", "/", "-name", shop.marker.name, "-not", "-path", "/proc/*")
    assert shop.on_machine(*searched, check=False) == ""
