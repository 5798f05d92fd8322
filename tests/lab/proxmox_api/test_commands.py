"""The command lines of the lab's Proxmox and PostgreSQL, compared as lists: no engine is needed."""

import sys
from pathlib import Path

import pytest

from fairlead.lab import addresses, postgresql
from fairlead.lab.infrastructure import InfrastructurePlan
from fairlead.lab.postgresql import PostgresqlPlan
from fairlead.lab.proxmox_api.containers import Containers, copies, limits
from fairlead.lab.proxmox_api.machine import Machine

DIRECTORY = Path("/state/labs/x")
LABELS = ["--label", "dev.fairlead.lab=x", "--label", "dev.fairlead.lab.directory=/state/labs/x"]
FILTERS = ["--filter", "label=dev.fairlead.lab=x", "--filter", "label=dev.fairlead.lab.directory=/state/labs/x"]
BACKEND = Containers("x", DIRECTORY, "10.77.0.2:5000", "fairlead-lab/machine:1")
MACHINE = Machine(101, "pve1", {"name": "shop-staging", "memory": "1024", "cores": 1, "sockets": 1})


def test_a_vm_is_a_machine_of_the_lab_with_its_own_limits() -> None:
    """Known by its number; a copy of another VM has its own image."""
    argv = BACKEND.creation(MACHINE, "10.77.0.211")
    assert argv[:5] == ["create", "--name", "fairlead.x.vm-101", "--hostname", "shop-staging"]
    assert argv[5:17] == [*LABELS, "--label", "dev.fairlead.lab.vm=101",
                          "--memory", "1024m", "--memory-swap", "-1", "--cpus", "1"]  # fmt: skip
    assert argv[-7:] == ["--network", "fairlead.x", "--ip", "10.77.0.211",
                         "--volume", "fairlead.x.vm-101:/var/lib/docker", "fairlead-lab/machine:1"]  # fmt: skip
    copy = Machine(102, "pve1", {"name": "copy"}, image="fairlead-lab/vm:x-102")
    assert BACKEND.creation(copy, "10.77.0.212")[-1] == "fairlead-lab/vm:x-102"


@pytest.mark.parametrize(
    ("config", "memory", "processors"),
    [({}, "512m", "1"), ({"memory": "2048", "cores": 1}, "2048m", "1"), ({"cores": 64, "sockets": 4}, "512m", None)],
)
def test_limits(config: dict[str, object], memory: str, processors: str | None) -> None:
    """No more processors than the host has: the engine refuses more."""
    said = limits(Machine(101, "pve1", config))
    assert said[1] == memory
    assert int(said[5]) <= 64
    assert processors in (None, said[5])


def test_who_runs_is_asked_by_label() -> None:
    """Of this lab alone."""
    form = '{{.Label "dev.fairlead.lab.vm"}}'
    assert BACKEND.running() == ["ps", *FILTERS, "--filter", "label=dev.fairlead.lab.vm", "--format", form]
    assert copies(DIRECTORY, "x") == ["image", "ls", "--quiet", *FILTERS]


def test_postgresql() -> None:
    """A container with a volume, without a port on the host; its password is no argument."""
    plan = PostgresqlPlan("x", DIRECTORY, "10.77.0.3", "fairlead-lab/postgresql:1")
    assert plan.create_argv() == [
        "create", "--name", "fairlead.x.postgresql", *LABELS, "--restart", "unless-stopped",
        "--network", "fairlead.x", "--ip", "10.77.0.3",
        "--volume", "fairlead.x.postgresql:/var/lib/postgresql", "fairlead-lab/postgresql:1",
    ]  # fmt: skip
    argv = postgresql.build("fairlead-lab/postgresql:1", "base:1")
    assert argv[:4] == ["build", "--quiet", "--tag", "fairlead-lab/postgresql:1"]
    assert argv[6:10] == ["--build-arg", "BASE=base:1", "--build-arg", "PACKAGES=postgresql-17"]


def test_the_api_is_started_at_the_gateway() -> None:
    """Where host and machines reach it; no secret is an argument."""
    network = addresses.parse_subnet("10.77.0.0/24")
    plan = InfrastructurePlan("x", DIRECTORY, network, "10.77.0.2:5000", "fairlead-lab/machine:1")
    assert plan.endpoint == "https://10.77.0.1:8006/"
    assert plan.api_argv() == [
        sys.executable, "-m", "fairlead.lab.proxmox_api", "--directory", "/state/labs/x/proxmox",
        "--address", "10.77.0.1", "--port", "8006", "--lab", "x", "--lab-directory", "/state/labs/x",
        "--registry", "10.77.0.2:5000", "--image", "fairlead-lab/machine:1",
    ]  # fmt: skip
    assert (addresses.postgresql(network), addresses.virtual(network, 1)) == ("10.77.0.3", "10.77.0.212")
