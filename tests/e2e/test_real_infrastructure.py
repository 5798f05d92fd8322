"""An environment's machine from nothing: the real OpenTofu and provider, the lab's Proxmox, a state in PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fairlead.config import layout
from fairlead.config.directories import cache_directory
from fairlead.host_keys import known_keys
from fairlead.lab import demo
from fairlead.lab.containers import names_of
from fairlead.lab.infrastructure import VirtualMachine
from fairlead.lab.machines import Machine
from fairlead.lab.site import Lab
from tests.e2e.operator import QUICKER, TEMPLATE, Operator
from tests.fixtures.git import git, identify
from tests.fixtures.lab import PREFIX, remove_abandoned, session_process
from tools.house import ROOT

pytestmark = pytest.mark.lab

WAITS = {layout.CONFIGURATION: QUICKER[layout.CONFIGURATION], TEMPLATE: QUICKER[TEMPLATE][:1]}
MEMORY = 3 << 30  # bytes
COMPOSE_FILE = "/opt/shop/docker-compose.yml"


@dataclass
class Builder(Operator):
    """An operator whose machines OpenTofu makes."""

    def begin(self) -> None:
        """The lab without a machine, the images, a deployment repository. No release yet."""
        self.site = self.lab.up(("staging", "production"), proxmox=True)
        for place in (self.home, self.temporary):
            place.mkdir(parents=True)
        for component, version in (("db", "17.0.0"), ("gateway", "1.0.0")):
            demo.push(self.lab, demo.Build(component, version))
        self.push()
        assert self.fairlead("init", "--lab", self.lab.name, str(self.checkout), at=self.root).code == 0
        identify(self.checkout, "Ana")
        self.edit(WAITS)
        git(self.checkout, "add", "--all")
        git(self.checkout, "commit", "--quiet", "-m", "Begin")
        git(self.checkout, "push", "--quiet", "-u", "origin", "main", "fairlead-scaffold")

    @property
    def variables(self) -> dict[str, str]:
        assert self.site.infrastructure
        ca_file = str(self.site.infrastructure.ca_file)
        return super().variables | {"SSL_CERT_FILE": ca_file, "XDG_CACHE_HOME": str(cache_directory().parent)}

    def planned(self, environment: str) -> VirtualMachine:
        assert self.site.infrastructure
        return self.site.infrastructure.machines[environment]

    def machine(self, environment: str = "staging") -> Machine:
        """The container that is the environment's VM."""
        planned = self.planned(environment)
        container = names_of(self.lab.name, f"vm-{planned.vm_id}")
        key = self.lab.docker.run("exec", container, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout.split()
        address = planned.address.partition("/")[0]
        return Machine(environment, container, address, planned.ssh_key, " ".join(key[:2]))

    def memory(self, environment: str) -> int:
        """The limit of the machine, in bytes."""
        found: Any = self.lab.docker.inspect("container", self.machine(environment).container)
        limit: int = found["HostConfig"]["Memory"]
        return limit

    def host_keys(self, environment: str) -> tuple[str, ...]:
        """What git knows of the machine."""
        text = git(self.remote, "show", f"refs/heads/main:{layout.KNOWN_HOSTS}")
        return known_keys(text, self.machine(environment).address)

    def destroy(self, environment: str) -> None:
        """Somebody else does, in Proxmox."""
        script = ROOT / "demo" / "somebody.py"
        words = [sys.executable, str(script), "destroy", str(self.planned(environment).vm_id)]
        subprocess.run(words, env=self.variables, check=True, capture_output=True)

    def proven(self, environment: str) -> bool:
        """Whether the branch's head is proven there, or what is proven has its pins."""
        proof = self.proof(environment)
        return proof is not None and self.fairlead("detect", "-e", environment, "--json").document["answer"] == "none"


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """An operator with a site that has no machine yet."""
    root = tmp_path_factory.mktemp("builder")
    remove_abandoned()
    made = Builder(Lab(f"{PREFIX}{session_process()}-tofu", root / "state"), root)
    try:
        made.begin()
        yield made
    finally:
        made.lab.down()


def test_machines_are_made_changed_lost_and_made_again(builder: Builder) -> None:
    the_first_run_makes_the_machine(builder)
    the_other_environment_gets_its_own(builder)
    more_memory_restarts_the_machine_and_loses_nothing(builder)
    a_machine_that_somebody_destroyed_comes_back(builder)


def the_first_run_makes_the_machine(builder: Builder) -> None:
    facts = {fact["fact"]: fact for fact in builder.fairlead("doctor", "-e", "staging", "--json").document["facts"]}
    assert [name for name, fact in facts.items() if not fact["ok"]] == []
    assert facts["staging: machine"]["detail"] == "is not made yet; what it needs was not looked at"
    said = builder.run()
    assert said.code == 0, said.text
    assert builder.version() == "1.0.0"
    assert builder.proven("staging")
    assert builder.host_keys("staging") == (builder.machine().host_key,)
    assert "registry.opentofu.org/bpg/proxmox" in git(builder.remote, "show", f"refs/heads/main:{layout.LOCK_FILE}")
    again = builder.fairlead("provision", "-e", "staging", "--json").document
    assert (again["changed"], again["vm_ip"]) == (False, builder.machine().address)
    assert again["skipped"]


def the_other_environment_gets_its_own(builder: Builder) -> None:
    for words in (("promote", "-e", "production", "--from", "staging"), ("run", "-e", "production")):
        said = builder.fairlead(*words)
        assert said.code == 0, said.text
    assert builder.proven("production")
    assert builder.machine("production").address != builder.machine().address
    assert builder.host_keys("production") == (builder.machine("production").host_key,)


def more_memory_restarts_the_machine_and_loses_nothing(builder: Builder) -> None:
    before, note = builder.machine(), builder.write_note()
    builder.commit("More memory", {layout.tfvars_file("staging"): (("memory       = 2048", "memory       = 3072"),)})
    plan = builder.fairlead("provision", "-e", "staging", "--plan", "--json").document
    assert plan["changed"]
    assert any("memory" in change for change in plan["changes"]), plan
    said = builder.run()
    assert said.code == 0, said.text
    assert builder.memory("staging") == MEMORY
    assert builder.machine() == before
    assert builder.proven("staging")
    assert note in builder.ask("/api/notes")
    whole = builder.fairlead("drift", "-e", "staging", "--json")
    assert (whole.code, whole.document["drifted"]) == (0, False), whole.text
    builder.on_machine("sed", "-i", "$ a # by hand", COMPOSE_FILE)
    edited = builder.fairlead("drift", "-e", "staging", "--json")
    assert (edited.code, edited.document["infrastructure"]) == (1, []), edited.text
    assert edited.document["machine"] == ["docker-compose.yml or .env on the machine is not the release's"]
    builder.on_machine("sed", "-i", "$ d", COMPOSE_FILE)


def a_machine_that_somebody_destroyed_comes_back(builder: Builder) -> None:
    old = builder.host_keys("production")
    builder.destroy("production")
    drift = builder.fairlead("drift", "-e", "production", "--json")
    assert (drift.code, drift.document["drifted"], drift.document["vm_ip"]) == (1, True, ""), drift.text
    assert drift.document["infrastructure"][0] == "the machine shop-production (102) is created"
    for stage in ("provision", "deploy", "verify"):
        said = builder.fairlead(stage, "-e", "production")
        assert said.code == 0, said.text
    assert builder.host_keys("production") == (builder.machine("production").host_key,) != old
    assert builder.version("production") == "1.0.0"
