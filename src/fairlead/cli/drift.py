"""`fairlead drift`: is everything as git says? Looks, and changes nothing."""

import typer

from fairlead.cli.options import (
    CommitOption,
    EnvironmentOption,
    JsonOption,
    QuietOption,
    RepositoryOption,
    open_scope,
    output,
)


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
        out.done(f"{environment}: everything is as {found.commit[:9]} says")
        return
    out.failed(f"{environment}: not as {found.commit[:9]} says")
    titles = {"infrastructure": found.infrastructure, "running": found.running, "machine": found.machine}
    for title, lines in titles.items():
        for line in lines:
            out.detail(f"{title}: {line}")
    remedies = [f"fairlead provision -e {environment}"] if found.infrastructure else []
    remedies += [f"fairlead deploy -e {environment}"] if found.running or found.machine else []
    out.detail(f"→ {'; '.join(remedies)} brings it back")
    raise typer.Exit(1)
