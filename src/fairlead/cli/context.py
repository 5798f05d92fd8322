"""What every command begins with: its variables, where it prints, and the environment that it is about."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fairlead.cli.output import Output
from fairlead.config.variables import Variables, read_variables

if TYPE_CHECKING:
    from fairlead.config.file import Brief
    from fairlead.pipeline.scope import Scope


def variables() -> Variables:
    """The process environment, read for this command."""
    return read_variables(terminal=sys.stderr.isatty())


def output(*, as_json: bool = False, quiet: bool = False) -> Output:
    """Where this command prints."""
    values = variables()
    return Output(as_json=as_json, quiet=quiet, colour=values.colour, runner=values.runner)


def output_of(arguments: Sequence[str]) -> Output:
    """Where an error prints that left the command: in the form that its arguments ask for."""
    return output(as_json="--json" in arguments)


def open_scope(
    repo: str, environment: str, commit: str | None = None, *, deployer: str = "", known: "Brief | None" = None
) -> "Scope":
    """One environment of one commit. deployer: instead of the one that fairlead.yaml names. known: of an earlier call.

    Raises what pipeline.scope.Scope.open raises.
    """
    from fairlead.pipeline.scope import Scope  # noqa: PLC0415 - `--help` does not pay for it

    values = variables()
    values = replace(values, deploy_with=deployer or values.deploy_with)
    return Scope.open(repo, environment, commit, values, known)
