"""OpenTofu killed, paused and cut off from its state: always one machine per environment, and a complete state.

The moments are chosen by what the API has been asked: the kill comes with that request.
"""

import signal
import subprocess

import pytest

from fairlead.errors import Busy, LeaseLost
from fairlead.lab.proxmox_api.faults import Fault, Kind
from fairlead.provision.opentofu import UNSAVED
from tests.fixtures.postgresql import PostgreSQL, ask
from tests.provision.workshop import Workshop, children_of, is_alive, signal_all, wait_until

# Of the some twenty requests of a creation: the clone, its waiting, the configuration, the disk, the start, the agent.
MOMENTS = (1, 2, 4, 6, 8, 9, 11, 13, 15, 18)
CHANGES = ("POST", "PUT", "DELETE")


def changes_since(workshop: Workshop, count: int) -> list[str]:
    """What was asked of the API to change, after its first `count` requests."""
    return [request.path for request in workshop.api.requests[count:] if request.method in CHANGES]


def end(child: "subprocess.Popen[str]") -> str:
    """Wait for a child; what it printed."""
    return child.communicate(timeout=120)[0]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_of_an_apply_one_machine_is_left_and_taken_over(workshop: Workshop, moment: int) -> None:
    workshop.api.faults.add(Fault(Kind.TASK_SLOW, seconds=0.3))
    with workshop.child() as child:
        wait_until(lambda: len(workshop.api.requests) >= moment or child.poll() is not None, f"request {moment}")
        signal_all(child.pid, signal.SIGKILL)
        end(child)
    workshop.api.faults.clear()
    made = workshop.provision()
    assert made.vm_ip == workshop.address()
    assert list(workshop.machines()) == [101]
    machine = workshop.machines()[101]
    assert machine.running
    assert made.host_keys == (machine.host_key,)
    assert machine.config["tags"] == "shop;shop-staging;staging"
    assert not workshop.provision(refresh=True).changed


def test_a_database_that_stops_in_mid_apply_loses_nothing(workshop: Workshop, own_postgresql: PostgreSQL) -> None:
    workshop.database = own_postgresql.database()
    workshop.api.faults.add(Fault(Kind.TASK_SLOW, task="qmclone", seconds=1.5))
    with workshop.child() as child:
        wait_until(workshop.machines, "the clone begins")
        own_postgresql.stop()
        assert "Error" in end(child)
    assert (workshop.root / "state/staging/apply/configuration" / UNSAVED).is_file()
    own_postgresql.start()
    workshop.api.faults.clear()
    made = workshop.provision()
    assert made.vm_ip == workshop.address()
    assert list(workshop.machines()) == [101]
    assert not (workshop.root / "state/staging/apply/configuration" / UNSAVED).exists()
    assert not workshop.provision(refresh=True).changed


def test_a_paused_holder_that_was_followed_by_another_changes_nothing(workshop: Workshop) -> None:
    workshop.provision()
    workshop.write(memory=3072)
    before = len(workshop.api.requests)
    workshop.api.faults.add(Fault(Kind.API_HANGS, path="/nodes"))
    with workshop.child() as zombie:
        wait_until(lambda: len(workshop.api.requests) > before, "the plan asks Proxmox")
        signal_all(zombie.pid, signal.SIGSTOP)
        workshop.api.faults.clear()
        ask(workshop.database, "UPDATE fairlead.workspaces SET beat = beat - interval '1 hour'")
        tofu = signal_below(zombie.pid, signal.SIGCONT)  # it ends, and its lock with it; its parent does not know
        wait_until(lambda: not any(is_alive(pid) for pid in tofu), "the zombie's plan is made")
        workshop.write(memory=4096)
        assert workshop.provision(state="elsewhere").changed
        asked = len(workshop.api.requests)
        signal_all(zombie.pid, signal.SIGCONT)
        assert LeaseLost.__name__ in end(zombie)
    assert changes_since(workshop, asked) == []
    assert int(str(workshop.machines()[101].config["memory"])) == 4096


def test_nobody_follows_while_a_paused_apply_still_holds_opentofus_lock(workshop: Workshop) -> None:
    workshop.api.faults.add(Fault(Kind.TASK_SLOW, task="qmclone", seconds=1.0))
    with workshop.child() as zombie:
        wait_until(workshop.machines, "the clone begins")
        signal_all(zombie.pid, signal.SIGSTOP)
        ask(workshop.database, "UPDATE fairlead.workspaces SET beat = beat - interval '1 hour'")
        with pytest.raises(Busy) as caught:
            workshop.provisioner("elsewhere", lock_patience=0.0).provision(workshop.request())
        assert "OpenTofu's state is locked by opentofu-staging at 127.0.0.1" in caught.value.what
        signal_all(zombie.pid, signal.SIGCONT)
        assert LeaseLost.__name__ in end(zombie)
    made = workshop.provision()
    assert made.vm_ip == workshop.address()
    assert list(workshop.machines()) == [101]
    assert not workshop.provision(refresh=True).changed


def signal_below(pid: int, number: signal.Signals) -> list[int]:
    """Signal what a process has started, not the process itself."""
    below = children_of(pid)
    for child in below:
        signal_all(child, number)
    return below
