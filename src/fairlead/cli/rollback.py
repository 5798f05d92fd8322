"""`fairlead rollback`: pin, deploy and prove an earlier release."""

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.context import open_scope, output
from fairlead.cli.detect import changes_document
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
from fairlead.errors import PinChanged, ReleaseFailed, UsageError

if TYPE_CHECKING:
    from fairlead.cli.output import Output
    from fairlead.deployment_repo.bump import Bump
    from fairlead.pipeline.scope import Scope


def rollback(  # noqa: PLR0913 - each is a flag of the command
    environment: EnvironmentOption,
    *,
    repo: RepositoryOption = ".",
    commit: CommitOption = None,
    to: Annotated[
        str | None, typer.Option("--to", help="The release to return to. Default: the last proven one before the head.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Quarantine the images that are taken back.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the commit and the quarantine.")] = "",
    automatic: Annotated[
        bool, typer.Option("--automatic", help="As on_failure of fairlead.yaml wants it: with hold, change nothing.")
    ] = False,
    vm_ip: AddressOption = None,
    run: RunOption = None,
    retries: RetriesOption = None,
    delay: DelayOption = None,
    deployer: DeployerOption = "",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Pin, deploy and prove an earlier release. Makes a new commit; history is never rewritten.

    What is taken back is the release of --commit: where the branch has a newer one already, nothing is.
    """
    from fairlead.pipeline import release  # noqa: PLC0415 - `--help` does not pay for it

    if failed and not reason:
        raise UsageError("--failed needs --reason", remedy=f"fairlead rollback -e {environment} --failed --reason TEXT")
    out = output(as_json=as_json, quiet=quiet)
    scope = open_scope(repo, environment, commit, deployer=deployer)
    if automatic:
        _refuse_where_held(scope)
    target = _target(scope, to)
    now = datetime.now(UTC)
    name = run or release.new_run(environment, now)
    day = now.date().isoformat() if failed else None
    with _held(scope):
        try:
            made = release.roll_back(scope, scope.commit, target, name, reason or "asked for", quarantine_on=day)
        except (PinChanged, ReleaseFailed):
            release.require_newest(scope)
            raise
        out.done(f"{environment}: back to the release of {target[:9]}, pushed as {made.commit[:9]}")
        _redeploy(out, scope, made, vm_ip, name, retries=retries, delay=delay)
    out.detail("databases and volumes are as they were: a rollback does not take back data")
    out.detail(f"undo: git revert {made.commit[:9]}, git push, fairlead run -e {environment}")
    facts = {"environment": environment, "commit": made.commit, "to": target, "quarantined": failed}
    out.document({"version": 1, **facts, "changes": changes_document(made.changes)})


def _refuse_where_held(scope: "Scope") -> None:
    """What `fairlead run` does with a failed release. Raises ReleaseFailed where a person decides."""
    environment = scope.environment
    if scope.configuration.on_failure_in(environment) == "hold":
        raise ReleaseFailed(
            f"{environment}: {scope.commit[:9]} failed, and stands",
            why="fairlead.yaml says on_failure: hold, so nothing was taken back",
            remedy=f"fairlead rollback -e {environment} --failed --reason TEXT, or push a mended image",
        )


def _held(scope: "Scope") -> AbstractContextManager[object]:
    """No run and no other rollback of the environment from this machine meanwhile. Raises Busy."""
    from fairlead.pipeline.holder import hold  # noqa: PLC0415
    from fairlead.pipeline.runs import directory_of, holder_of  # noqa: PLC0415

    directory = directory_of(scope.variables.state, scope.configuration.app, scope.environment)
    return hold(holder_of(directory), scope.environment)


def _target(scope: "Scope", to: str | None) -> str:
    from fairlead.pipeline import release  # noqa: PLC0415

    if to is None:
        return release.last_proven(scope, scope.commit).commit
    commit = scope.repository.resolve(to)
    if commit == scope.commit or not scope.repository.is_ancestor(commit, scope.commit):
        raise UsageError(
            f"--to {to} is no earlier commit of the deployment branch",
            remedy=f"fairlead history -e {scope.environment}",
        )
    return commit


def _redeploy(
    out: "Output",
    scope: "Scope",
    made: "Bump",
    vm_ip: str | None,
    run: str,
    *,
    retries: int | None,
    delay: float | None,
) -> None:
    """Deploy, verify and prove the commit that was made."""
    from fairlead.pipeline import machines, rollout  # noqa: PLC0415

    scope.repository.fetch()
    back = scope.at(made.commit)
    machine = machines.machine_of(back, vm_ip)
    if fault := rollout.deploy_fault(back, rollout.deploy(back, machine, run)):
        raise fault
    out.done(f"{back.environment}: deployed to {machine.vm_ip}")
    new = not rollout.proven_before(back)
    rollout.prove(back, run, rollout.verify(back, machine, new=new, retries=retries, delay=delay))
    out.done(f"{back.environment}: {made.commit[:9]} is proven")
