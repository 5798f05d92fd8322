"""What a head start saves, and that it never decides anything which the request itself would not."""

import fcntl
import json
import os
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.config.variables import Variables
from fairlead.errors import Busy
from fairlead.pipeline import machines
from fairlead.process import run
from fairlead.provision.ahead import NONE, HeadStart, head_start, remember
from fairlead.provision.base import Machine
from fairlead.provision.opentofu import ledger_of
from tests.fixtures.git import Site, make_site
from tests.fixtures.postgresql import ask
from tests.fixtures.processes import descendants
from tests.provision.test_committed import opened
from tests.provision.workshop import Workshop

FAIRLEAD = Path(sys.executable).with_name("fairlead")
LOADED = """
import atexit, sys
from fairlead.__main__ import main
atexit.register(lambda: print("loaded:", *sorted({"pydantic", "ruamel.yaml"} & set(sys.modules))))
main()
"""
BESIDE = """
import atexit, sys, threading
from fairlead.__main__ import main

def hear(event, arguments):
    if event == "import" and threading.active_count() > 1 and threading.current_thread() is threading.main_thread():
        imported.append(arguments[0])

imported = []
atexit.register(lambda: print("imported:", *imported))
sys.addaudithook(hear)
main()
"""
HELD = "SET token = gen_random_uuid(), beat = now(), holder = 'anna@a', process = 'a', clean = false"


@pytest.fixture
def site(workshop: Workshop, tmp_path: Path) -> Site:
    """A repository from which staging's machine was provisioned."""
    site = make_site(tmp_path)
    workshop.commit_to(site)
    scope = opened(workshop, site)
    machines.provision(scope)
    remember(scope.variables.state, str(site.person), scope.brief, "staging")
    return site


def variables(workshop: Workshop, site: Site) -> Variables:
    return opened(workshop, site).variables


def provision(workshop: Workshop, site: Site, *, plan: bool) -> tuple[Machine, HeadStart]:
    with head_start(variables(workshop, site), str(site.person), "staging", plan=plan) as ahead:
        return machines.provision(opened(workshop, site), machines.Wish(refresh=plan, ahead=ahead)), ahead


def requests_of(workshop: Workshop, call: Callable[[], object]) -> int:
    """How many requests Proxmox gets by it."""
    before = len(workshop.api.requests)
    call()
    return len(workshop.api.requests) - before


def test_a_plan_that_was_begun_is_the_only_one(workshop: Workshop, site: Site) -> None:
    once = requests_of(workshop, lambda: machines.provision(opened(workshop, site), machines.Wish(refresh=True)))
    before = len(workshop.api.requests)
    machine, ahead = provision(workshop, site, plan=True)
    assert ahead.plan is not None
    assert (machine.vm_ip, machine.changed, machine.skipped) == (workshop.address(), False, "")
    assert len(workshop.api.requests) - before == once > 0


def test_what_the_database_said_early_is_what_it_says(workshop: Workshop, site: Site) -> None:
    request = workshop.request()
    with head_start(variables(workshop, site), str(site.person), "staging", plan=False) as ahead:
        early = ahead.seen(request)
        assert HeadStart(app="other", environment="staging", database=ahead.database).seen(request) is None
    with closing(ledger_of(request)) as ledger:
        now = ledger.look()
    assert early is not None
    assert early.row is not None
    assert now.row is not None
    assert (early.row.applied, early.mark) == (now.row.applied, now.mark)
    machine, _ = provision(workshop, site, plan=False)
    assert machine.skipped


def test_other_code_than_what_was_planned_is_planned(workshop: Workshop, site: Site) -> None:
    workshop.write(memory=4096)
    workshop.commit_to(site)
    machine, ahead = provision(workshop, site, plan=True)
    assert ahead.plan is not None
    assert machine.changes == ("the machine shop-staging (101) is changed", "  memory (MiB) 2048 → 4096")
    workshop.write(memory=1024)
    workshop.commit_to(site)
    assert provision(workshop, site, plan=False)[0].changes[1] == "  memory (MiB) 4096 → 1024"


def test_a_plan_of_what_was_never_applied_is_not_believed(workshop: Workshop, site: Site) -> None:
    """What an apply that failed has left in the directory; and somebody has changed the machine by hand."""
    left = workshop.root / "s/provision/shop/staging/apply/configuration/environments/staging.tfvars"
    left.write_text(left.read_text().replace("= 2048", "= 4096"))
    with workshop.api.cluster.changing(101) as machine:
        machine.config["memory"] = 4096
    assert provision(workshop, site, plan=True)[0].changes[1] == "  memory (MiB) 4096 → 2048"


def test_where_no_plan_can_be_begun_the_request_makes_its_own(workshop: Workshop, site: Site) -> None:
    """Another OpenTofu is on PATH since the last time, or other settings: it has to be initialised again."""
    (workshop.root / "s/provision/shop/staging/apply/initialised").write_text("for another program")
    machine, ahead = provision(workshop, site, plan=True)
    assert ahead.plan is None
    assert (machine.changed, machine.skipped) == (False, "")


def test_a_changed_machine_is_seen_and_put_right(workshop: Workshop, site: Site) -> None:
    with workshop.api.cluster.changing(101) as machine:
        machine.config["memory"] = 1024
    assert provision(workshop, site, plan=True)[0].changes[1] == "  memory (MiB) 1024 → 2048"


def test_what_fairlead_yaml_said_counts_only_while_it_says_so(workshop: Workshop, site: Site) -> None:
    words = ["provision", "-e", "staging", "--repo", str(site.person)]
    given = {**workshop.given, "FAIRLEAD_STATE_DIR": str(workshop.root / "s")}

    def fairlead() -> tuple[int, list[str], str]:
        """Exit code, which of two libraries were imported, and what was said."""
        done = run([sys.executable, "-c", LOADED, *words], environment=given, expect=(0, 2))
        address, _, loaded = done.stdout.rpartition("loaded:")
        return done.exit_code, loaded.split(), address + done.stderr

    assert fairlead()[:2] == (0, [])  # the reader of YAML and pydantic take longer than all the rest
    text = (site.person / layout.CONFIGURATION).read_text()
    site.write({layout.CONFIGURATION: text.replace("app: shop", "app: shop\n# the same")})
    assert fairlead()[:2] == (0, ["pydantic", "ruamel.yaml"])
    assert fairlead()[:2] == (0, [])
    site.write({layout.CONFIGURATION: text.replace("staging:", "stage:")})
    code, loaded, told = fairlead()
    assert (code, loaded) == (2, ["pydantic", "ruamel.yaml"])
    assert "There is no environment 'staging' in fairlead.yaml" in told


@pytest.mark.parametrize("more", [[], ["--refresh"]])
def test_nothing_is_imported_while_a_thread_imports_too(workshop: Workshop, site: Site, more: list[str]) -> None:
    """Ctrl-C in the middle of it may leave Python's import lock taken, and the thread waits for ever (1 of 200)."""
    words = ["provision", "-e", "staging", "--repo", str(site.person), *more]
    given = {**workshop.given, "FAIRLEAD_STATE_DIR": str(workshop.root / "s")}
    done = run([sys.executable, "-c", BESIDE, *words], environment=given)
    assert done.stdout.splitlines()[-1] == "imported:"


def test_who_holds_the_machine_is_respected(workshop: Workshop, site: Site) -> None:
    ask(workshop.database, f"UPDATE fairlead.workspaces {HELD}")
    for plan in (False, True):
        with pytest.raises(Busy, match="anna@a provisions it since"):
            provision(workshop, site, plan=plan)


def test_nothing_is_left_of_what_was_not_needed(workshop: Workshop, site: Site) -> None:
    lock = workshop.root / "s/provision/shop/staging/apply/lock"
    threads = threading.active_count()
    with head_start(variables(workshop, site), str(site.person), "staging", plan=False) as ahead:
        assert ahead.database
    assert threading.active_count() == threads
    with head_start(variables(workshop, site), str(site.person), "staging", plan=True) as ahead:
        assert ahead.plan
        assert any(True for _ in descendants(os.getpid()))
    assert [child for child in descendants(os.getpid()) if _is_ours(child)] == []
    with lock.open() as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with head_start(variables(workshop, site), str(site.person), "staging", plan=True) as ahead:
            assert ahead.plan is None


def _is_ours(process: int) -> bool:
    return b"tofu" in Path(f"/proc/{process}/cmdline").read_bytes()


@pytest.mark.parametrize("environment", ["production", "../staging", "*"])
def test_what_was_never_asked_is_not_begun(workshop: Workshop, site: Site, environment: str) -> None:
    with head_start(variables(workshop, site), str(site.person), environment, plan=True) as ahead:
        assert ahead == NONE
    with head_start(variables(workshop, site), "elsewhere", "staging", plan=True) as ahead:
        assert ahead == NONE


def test_the_command_begins_early(workshop: Workshop, site: Site) -> None:
    state = {"FAIRLEAD_STATE_DIR": str(workshop.root / "state")}
    words = ["provision", "-e", "staging", "--repo", str(site.person), "--json"]

    def fairlead(*more: str) -> tuple[bool, bool, int]:
        before = len(workshop.api.requests)
        said = json.loads(run([FAIRLEAD, *words, *more], environment={**workshop.given, **state}).stdout)
        return said["changed"], bool(said["skipped"]), len(workshop.api.requests) - before

    assert fairlead("--refresh")[:2] == (False, False)  # the state directory is new, and nothing can be begun
    _, _, once = fairlead("--plan")
    assert once
    assert fairlead() == (False, True, 0)
    assert fairlead("--refresh") == (False, False, once)
