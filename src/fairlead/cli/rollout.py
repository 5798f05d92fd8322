"""`fairlead provision`, `fairlead deploy` and `fairlead verify`: one stage each, from git, safe to repeat."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli import provisioning
from fairlead.cli.context import open_scope, output
from fairlead.cli.options import (
    AddressOption,
    CommitOption,
    DelayOption,
    DeployerOption,
    EnvironmentOption,
    JsonOption,
    QuietOption,
    RepositoryOption,
    RetriesOption,
    RunOption,
)
from fairlead.cli.output import Output

if TYPE_CHECKING:
    from fairlead.deploy.base import DeployResult, Event
    from fairlead.pipeline.scope import Scope
    from fairlead.verify.base import CheckResult, Outcome, Verification


def provision(
    environment: EnvironmentOption,
    *,
    repo: RepositoryOption = ".",
    commit: CommitOption = None,
    vm_ip: AddressOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would change, and change nothing.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Plan, also where nothing seems to have changed.")] = False,
    allow_replace: Annotated[
        str, typer.Option("--allow-replace", metavar="PLAN-ID", help="Let that one plan destroy what it names.")
    ] = "",
    run: RunOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make sure that the environment's machine exists; prints its address."""
    asked = provisioning.Asked(environment, repo, commit, vm_ip, plan, refresh, allow_replace, run, quiet, as_json)
    provisioning.provision(asked)


def deploy(
    environment: EnvironmentOption,
    *,
    repo: RepositoryOption = ".",
    commit: CommitOption = None,
    vm_ip: AddressOption = None,
    run: RunOption = None,
    deployer: DeployerOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Deploy a commit's release to the environment's machine. `fairlead verify` proves it."""
    from fairlead.pipeline import machines, release, rollout  # noqa: PLC0415

    out = output(as_json=as_json, quiet=quiet)
    scope = open_scope(repo, environment, commit, deployer=deployer)
    machine = machines.machine_of(scope, vm_ip)
    name = _run_name(run, environment)
    with out.section("deploy", f"deploy to {environment}"):
        out.doing(f"{environment}: deploying {scope.commit[:9]} to {machine.vm_ip}")
        result = rollout.deploy(scope, machine, name, dry_run=dry_run, on_event=lambda event: _tell_event(out, event))
    if fault := rollout.deploy_fault(scope, result):
        if result.code == "stale":
            release.require_newest(scope)
        raise fault
    _tell_deploy(out, scope, result, dry_run=dry_run)
    facts = {"environment": environment, "commit": scope.commit, "vm_ip": machine.vm_ip, "dry_run": dry_run}
    out.document({"version": 1, **facts, **_deploy_facts(result)})


def verify(  # noqa: PLR0913 - one for each option
    environment: EnvironmentOption,
    *,
    repo: RepositoryOption = ".",
    commit: CommitOption = None,
    vm_ip: AddressOption = None,
    run: RunOption = None,
    deployer: DeployerOption = "",
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the results there as JUnit XML.")] = None,
    retries: RetriesOption = None,
    delay: DelayOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the checks against the environment's machine; when all pass, write and push the proof."""
    from fairlead.pipeline import machines, release, rollout  # noqa: PLC0415

    out = output(as_json=as_json, quiet=quiet)
    scope = open_scope(repo, environment, commit, deployer=deployer)
    machine = machines.machine_of(scope, vm_ip)
    with out.section("verify", f"verify {environment}"):
        out.doing(f"{environment}: verifying {scope.commit[:9]} on {machine.vm_ip}")
        verification = rollout.verify(
            scope,
            machine,
            new=not rollout.proven_before(scope),
            retries=retries,
            delay=delay,
            on_attempt=lambda name, attempt, outcome: _tell_attempt(out, name, attempt, outcome),
        )
    if junit:
        _write_junit(junit, verification, environment)
    if not verification.passed:
        release.require_newest(scope)
    proof = rollout.prove(scope, _run_name(run, environment), verification)
    _tell_proven(out, scope, verification)
    facts = {"environment": environment, "commit": scope.commit, "vm_ip": machine.vm_ip}
    results = [_check_facts(result) for result in verification.results]
    out.document({"version": 1, **facts, "checks": results, "proof": proof.model_dump(mode="json")})


def _run_name(run: str | None, environment: str) -> str:
    from fairlead.pipeline.release import new_run  # noqa: PLC0415

    return run or new_run(environment)


def _tell_event(out: Output, event: "Event") -> None:
    if event.state in ("ok", "changed"):
        out.detail(f"{event.name}: {event.state} ({event.seconds:.1f} s)")
    elif event.state in ("retrying", "note", "ignored"):
        out.detail(f"{event.name} {event.detail}".strip())


def _tell_deploy(out: Output, scope: "Scope", result: "DeployResult", *, dry_run: bool) -> None:
    would = "would be " if dry_run and result.changes else ""
    out.done(f"{scope.environment}: {scope.commit[:9]} {would}{result.outcome}")
    for change in result.changes:
        old, new = (reference.short if reference else "nothing" for reference in (change.old, change.new))
        out.detail(f"{change.service}: {change.action}: {old} → {new}")
    if result.changes and not dry_run:
        undo = f"undo: fairlead rollback -e {scope.environment}"
        out.detail(f"{undo}; it does not undo what the application did to its database and volumes")


def _deploy_facts(result: "DeployResult") -> dict[str, Any]:
    changes = [
        {
            "service": change.service,
            "action": change.action,
            "old": str(change.old) if change.old else None,
            "new": str(change.new) if change.new else None,
        }
        for change in result.changes
    ]
    return {"outcome": result.outcome.value, "changes": changes, "timings": dict(result.timings)}


def _tell_attempt(out: Output, name: str, attempt: int, outcome: "Outcome") -> None:
    if not outcome.passed:
        out.waiting(f"{name}: attempt {attempt}: expected {outcome.expected}; came {outcome.came}")


def _tell_proven(out: Output, scope: "Scope", verification: "Verification") -> None:
    out.done(f"{scope.environment}: {scope.commit[:9]} is proven")
    for result in verification.results:
        out.detail(f"{result.name}: {result.detail}")


def _check_facts(result: "CheckResult") -> dict[str, Any]:
    facts = {"name": result.name, "passed": result.passed, "detail": result.detail}
    return {**facts, "attempts": result.attempts, "latency_ms": result.latency_ms}


def _write_junit(path: Path, verification: "Verification", environment: str) -> None:
    from fairlead.verify.junit import to_junit  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_junit(verification, f"verify {environment}"))
