"""From a deployment repository: what provisioning commits there, and what the other stages then find."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.config.variables import read_variables
from fairlead.deploy.base import Target
from fairlead.deploy.fake import FakeDeployer
from fairlead.deployment_repo.proofs import Proof, Proofs
from fairlead.errors import SiteFault
from fairlead.pipeline import machines, rollout
from fairlead.pipeline.detect import changed_since
from fairlead.pipeline.drift import drift_of
from fairlead.pipeline.scope import Scope
from tests.fixtures.git import Site, image, make_site
from tests.fixtures.shop import NOON
from tests.provision.workshop import Workshop


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A remote and a person's working copy."""
    return make_site(tmp_path)


@pytest.fixture
def scope(workshop: Workshop, site: Site) -> Scope:
    """Staging of a repository with the workshop's code."""
    workshop.commit_to(site)
    return opened(workshop, site)


def opened(workshop: Workshop, site: Site, environment: Mapping[str, str] | None = None) -> Scope:
    given = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "FAIRLEAD_STATE_DIR": str(workshop.root / "s")}
    variables = read_variables({**given, **workshop.given, **(environment or {})})
    return Scope.open(site.person, "staging", None, variables)


def test_the_machines_key_and_the_providers_hash_are_one_commit_that_concerns_nobody(
    workshop: Workshop, site: Site, scope: Scope
) -> None:
    with pytest.raises(SiteFault, match="staging has no machine yet"):
        machines.machine_of(scope)
    before = len(site.commits())
    machine = machines.provision(scope, machines.Wish(run="staging:1"))
    assert site.commits()[0] == f"build(staging): the host key of {machine.vm_ip}"
    assert len(site.commits()) == before + 1
    key = workshop.machines()[101].host_key
    assert f"[{machine.vm_ip}]:{workshop.port} {key}\n" in site.show(layout.KNOWN_HOSTS)
    assert "registry.opentofu.org/bpg/proxmox" in site.show(layout.LOCK_FILE)
    assert changed_since(opened(workshop, site), scope.commit) == []

    again = machines.provision(opened(workshop, site))
    assert (again.vm_ip, bool(again.skipped)) == (machine.vm_ip, True)
    assert len(site.commits()) == before + 1
    assert machines.machine_of(scope).vm_ip == machine.vm_ip

    seen: list[str] = []

    def look(target: Target) -> None:
        seen.append((target.checkout / layout.KNOWN_HOSTS).read_text())

    deployer = FakeDeployer(before=look)
    assert rollout.deploy(scope, machine, "staging:1", deployer=deployer).ok  # an older commit than the key's
    assert key in seen[0]

    assert drift_of(opened(workshop, site), deployer).as_json()["drifted"] is False
    Proofs(scope.repository).add(
        Proof(environment="staging", run="1", commit=scope.commit, digests={}, started=NOON, finished=NOON, by="test")
    )
    assert not drift_of(opened(workshop, site), deployer).found
    with workshop.api.cluster.changing(101) as changed:
        changed.config["memory"] = 1024
    deployer.machines[machine.vm_ip].running["app_image"] = image("backend", "0.9", "c")
    drift = drift_of(opened(workshop, site), deployer)
    assert drift.infrastructure == ("the machine shop-staging (101) is changed", "  memory (MiB) 1024 → 2048")
    assert (drift.proven, drift.commit) == (scope.commit, site.head)
    assert drift.machine[0].startswith("app_image: ")
