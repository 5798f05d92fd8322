"""OpenTofu killed, paused and cut off from its state: always one machine per environment, and a complete state.

The moments are chosen by what the API has been asked: the kill comes with that request.
"""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from fairlead.errors import Busy, LeaseLost
from fairlead.lab.proxmox_api.faults import Fault, Kind
from fairlead.process import NO_SECRETS
from fairlead.provision.tofu import UNSAVED, Tofu
from tests.fixtures.postgresql import PostgreSQL, ask
from tests.provision.workshop import Workshop, children_of, is_alive, signal_all, wait_until

# Of the some twenty requests of a creation: the clone, its waiting, the configuration, the disk, the start, the agent.
MOMENTS = (1, 2, 4, 6, 8, 9, 11, 13, 15, 18)
TCP_REPAIR = 19  # linux/tcp.h
CHANGES = ("POST", "PUT", "DELETE")


def changes_since(workshop: Workshop, count: int) -> list[str]:
    """What was asked of the API to change, after its first `count` requests."""
    return [request.path for request in workshop.api.requests[count:] if request.method in CHANGES]


def wait_for_request(workshop: Workshop, child: "subprocess.Popen[str]", number: int) -> None:
    """Wait until the API has been asked so often, or the child has ended."""
    wait_until(lambda: len(workshop.api.requests) >= number or child.poll() is not None, f"request {number}")


def end(child: "subprocess.Popen[str]") -> str:
    """Wait for a child; what it printed."""
    return child.communicate(timeout=120)[0]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_of_an_apply_one_machine_is_left_and_taken_over(workshop: Workshop, moment: int) -> None:
    workshop.api.faults.add(Fault(Kind.TASK_SLOW, seconds=0.3))
    with workshop.child() as child:
        wait_for_request(workshop, child, moment)
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


def test_a_database_that_is_restarted_again_and_again_loses_nothing(
    workshop: Workshop, own_postgresql: PostgreSQL
) -> None:
    """In the plan, in the clone and in what comes after it."""
    workshop.database = own_postgresql.database()
    workshop.api.faults.add(Fault(Kind.TASK_SLOW, seconds=0.3))
    for moment in (1, 6, 13):
        reached = len(workshop.api.requests) + moment
        with workshop.child() as child:
            wait_for_request(workshop, child, reached)
            own_postgresql.stop()
            own_postgresql.start()
            end(child)
        assert set(workshop.machines()) <= {101}
    workshop.api.faults.clear()
    workshop.provision()
    assert list(workshop.machines()) == [101]
    assert workshop.machines()[101].running
    assert not workshop.provision(refresh=True).changed


def test_a_lock_whose_holders_computer_is_gone_is_freed(workshop: Workshop) -> None:
    """Its connection ends without a word: no FIN, no RST. The server's own probes find that out; it is OpenTofu that
    asks for them, and here for the first one after one second."""
    tofu = Tofu(workshop.root, "staging", {}, workshop.request().secrets, NO_SECRETS, workshop.root)
    asked = tofu.environment()["PGOPTIONS"]
    values = {name: int(value) for name, value in (word.split("=") for word in asked.split() if "=" in word)}
    idle, interval, count = (values[f"tcp_keepalives_{name}"] for name in ("idle", "interval", "count"))
    assert 0 < idle + interval * count <= 60
    held = "SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database"
    held += " WHERE datname = current_database()) ORDER BY objid"
    vanish_with_a_lock(workshop.database, 1, options=asked.replace(f"idle={idle}", "idle=1"))
    vanish_with_a_lock(workshop.database, 2, options="-c tcp_keepalives_idle=600")
    wait_until(lambda: ask(workshop.database, held) == [(2,)], "the lock is free", within=60)


def vanish_with_a_lock(database: str, number: int, options: str) -> None:
    """Take an advisory lock, and be gone as a computer is that loses its power (TCP_REPAIR, Linux)."""
    connection = psycopg.connect(database, autocommit=True, options=options)
    connection.execute("SELECT pg_advisory_lock(%s)", (number,))
    time.sleep(0.5)  # until the answer is acknowledged (at most 0.2 s): the server would repeat it, and be refused
    with socket.socket(fileno=os.dup(connection.fileno())) as other, Path(os.devnull).open("wb") as nothing:
        other.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        os.dup2(nothing.fileno(), connection.fileno())
    connection.close()


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
