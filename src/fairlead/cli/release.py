"""`fairlead promote`: pin in one environment what another has proven."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from fairlead.cli.context import open_scope, output
from fairlead.cli.detect import print_bump
from fairlead.cli.options import EnvironmentOption, JsonOption, RepositoryOption, RunOption


def promote(
    environment: EnvironmentOption,
    *,
    source: Annotated[str, typer.Option("--from", help="The environment that has proven the release.")],
    repo: RepositoryOption = ".",
    run: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pin in one environment what another has proven: the same digests, one commit."""
    from fairlead.pipeline import release  # noqa: PLC0415 - `--help` does not pay for it

    now = datetime.now(UTC)
    scope = open_scope(repo, environment)
    scope.in_environment(source).settings  # noqa: B018 - refuses an unknown environment
    made = release.promote(scope, source, run or release.new_run(environment, now), now)
    print_bump(output(as_json=as_json), environment, made)
