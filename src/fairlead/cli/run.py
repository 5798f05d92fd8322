"""`fairlead run`: all stages, durably. Run again after a crash, it goes on where it was."""

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.context import open_scope, output
from fairlead.cli.options import (
    AddressOption,
    DelayOption,
    DeployerOption,
    EnvironmentOption,
    JsonOption,
    QuietOption,
    RepositoryOption,
    RetriesOption,
)
from fairlead.cli.output import Output
from fairlead.errors import ProgramInterrupted
from fairlead.process import running

if TYPE_CHECKING:
    from fairlead.deploy.base import Event
    from fairlead.pipeline.log import Entry
    from fairlead.pipeline.runs import Outcome
    from fairlead.pipeline.scope import Scope
    from fairlead.pipeline.stages import Stages

AbandonOption = Annotated[bool, typer.Option("--abandon", help="Give up the run in flight, and look anew.")]


def run(
    environment: EnvironmentOption,
    *,
    repo: RepositoryOption = ".",
    vm_ip: AddressOption = None,
    retries: RetriesOption = None,
    delay: DelayOption = None,
    deployer: DeployerOption = "",
    abandon: AbandonOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Detect, bump, provision, deploy, verify and prove, durably; roll back what fails.

    Killed or interrupted at any point and run again, it goes on where it was. Exit codes: 0 proven or nothing to do,
    1 the site failed, 3 the release failed and stands, 4 a run is going on, 5 waiting, 6 rolled back, 130 interrupted.
    """
    from fairlead.pipeline.runs import Runs  # noqa: PLC0415 - `--help` does not pay for it

    out = output(as_json=as_json, quiet=quiet)
    runs = Runs(
        lambda: open_scope(repo, environment, deployer=deployer),
        lambda scope: _stages(scope, out, vm_ip, retries=retries, delay=delay),
        lambda entry: _tell(out, environment, entry),
        waits=lambda programs: _wait(out, environment, programs),
    )
    try:
        outcome = runs.run(abandon=abandon)
    except (KeyboardInterrupt, ProgramInterrupted):
        _leave(out, environment)
    _print(out, environment, outcome)


def _stages(scope: "Scope", out: Output, vm_ip: str | None, *, retries: int | None, delay: float | None) -> "Stages":
    from fairlead.pipeline.stages import RepositoryStages  # noqa: PLC0415
    from fairlead.provision.base import Machine  # noqa: PLC0415

    machine = Machine(vm_ip) if vm_ip else None
    return RepositoryStages(
        scope, machine=machine, on_event=lambda event: _tell_event(out, event), retries=retries, delay=delay
    )


def _print(out: Output, environment: str, outcome: "Outcome") -> None:
    if outcome.end == "none":
        out.done(f"{environment}: nothing to do at {outcome.commit[:9]}: {outcome.reason}")
    else:
        out.done(f"{environment}: {outcome.reason}")
        out.detail(f"undo: fairlead rollback -e {environment}; it does not take back data (databases, volumes)")
    run = {"run": outcome.run, "commit": outcome.commit, "outcome": outcome.end, "reason": outcome.reason}
    out.document({"version": 1, "environment": environment, **run})


def _tell(out: Output, environment: str, entry: "Entry") -> None:
    """One entry of the log as a line; the end of the run is told by its outcome."""
    clock = entry.time[11:19]
    stage = entry.stage or "run"
    match entry.state:
        case "started" if not entry.stage:
            out.doing(f"{clock} {environment}: {entry.text} (run {entry.run})")
        case "started":
            out.begin_section(stage, f"{environment}: {stage}")
            out.doing(f"{clock} {stage}")
        case "resumed":
            out.doing(f"{clock} {environment}: resumed: {entry.text} (run {entry.run})")
        case "done":
            out.end_section(stage)
            out.done(f"{clock} {stage} {entry.seconds:.1f} s: {entry.text}")
        case "failed":
            out.end_section(stage)
            out.failed(f"{clock} {stage} {entry.seconds:.1f} s: {entry.text}")
        case "ended" if entry.text not in _TOLD:
            out.detail(f"run {entry.run}: {entry.text}")


_TOLD = ("proven", "failed", "stopped", "rolled_back", "lost")


def _tell_event(out: Output, event: "Event") -> None:
    if event.state in ("changed", "retrying", "failed", "unreachable"):
        seconds = f" {event.seconds:.1f} s" if event.seconds else ""
        detail = f": {event.detail}" if event.state == "retrying" and event.detail else ""
        out.detail(f"{event.name}: {event.state}{seconds}{detail}")


def _wait(out: Output, environment: str, programs: list[str]) -> None:
    """What the first Ctrl-C is answered with, while a stage works."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that is closed now is no second Ctrl-C
    names = ", ".join(programs)
    with contextlib.suppress(OSError):
        out.waiting(f"{environment}: interrupted; waits for {names or 'the stage'} to end")
        out.detail(f"Ctrl-C again leaves at once{f', and what {names} did not save is lost' if programs else ''}")


def _leave(out: Output, environment: str) -> None:
    """End at once: a stage that sleeps in its thread would hold the process. Everything is recorded already."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left = ", ".join(running())
    error = ProgramInterrupted(
        f"{environment}: interrupted",
        why=f"{left} did not end yet and was not waited for" if left else "",
        remedy=f"fairlead run -e {environment} goes on where it was",
    )
    with contextlib.suppress(OSError):
        out.error(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(error.exit_code)
