"""`fairlead drift`: is everything as git says? Looks, and changes nothing."""

import typer

from fairlead.cli.context import open_scope, output
from fairlead.cli.options import CommitOption, EnvironmentOption, JsonOption, QuietOption, RepositoryOption


def drift(
    environment: EnvironmentOption,
    *,
    repo: RepositoryOption = ".",
    commit: CommitOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare infrastructure and machine with git, and change nothing. Exit code 1: something differs."""
    from fairlead.pipeline.drift import drift_of  # noqa: PLC0415 - `--help` does not pay for it

    out = output(as_json=as_json, quiet=quiet)
    found = drift_of(open_scope(repo, environment, commit))
    out.document({"version": 1, **found.as_json()})
    if not found.found:
        out.done(f"{environment}: everything is as git says")
        return
    again = "as in git again: fairlead"
    if found.infrastructure:
        out.waiting(f"{environment}: the infrastructure is not as {found.commit[:9]} says")
        for line in (*found.infrastructure, f"{again} provision -e {environment}"):
            out.detail(line)
    if found.machine:
        out.waiting(f"{environment}: the machine is not as {found.proven[:9]} says")
        for line in (*found.machine, f"{again} deploy -e {environment} --commit {found.proven[:9]}"):
            out.detail(line)
    raise typer.Exit(1)
