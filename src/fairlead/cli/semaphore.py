"""`fairlead semaphore setup`: make a Semaphore project what fairlead.yaml means."""

from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.context import open_scope, output
from fairlead.cli.options import EnvironmentOption, JsonOption, QuietOption, RepositoryOption

if TYPE_CHECKING:
    from fairlead.cli.output import Output
    from fairlead.deploy.semaphore.setup import Change

app = typer.Typer(name="semaphore", help="Semaphore as the deployer.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Semaphore as the deployer."""


@app.command()
def setup(
    environment: EnvironmentOption,
    *,
    repo: RepositoryOption = ".",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    renew: Annotated[bool, typer.Option("--renew", help="Send keys and secrets again.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make or update the project, keys, repository, inventory, environment and templates that deploys need.

    Repeating it changes nothing. Secrets are sent once and never read back; --renew sends them again.
    """
    from fairlead.pipeline.semaphore import set_up  # noqa: PLC0415 - `--help` does not pay for it

    out = output(as_json=as_json, quiet=quiet)
    changes = set_up(open_scope(repo, environment), dry_run=dry_run, renew=renew)
    for change in changes:
        _tell(out, change)
    changed = sum(change.action != "keep" for change in changes)
    would = "would be " if dry_run else ""
    out.done(f"{environment}: {changed} of {len(changes)} objects {would}made or changed")
    written = [{"kind": one.kind, "name": one.name, "action": one.action, "lines": list(one.lines)} for one in changes]
    out.document({"version": 1, "environment": environment, "dry_run": dry_run, "changes": written})


def _tell(out: "Output", change: "Change") -> None:
    mark = {"create": "+", "update": "~", "keep": "="}[change.action]
    out.detail(f"{mark} {change.kind}: {change.name}")
    for line in change.lines:
        out.detail(f"    {line}")
