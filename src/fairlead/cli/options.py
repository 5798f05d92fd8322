"""Options that many commands share, and what follows from them."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.output import Output
from fairlead.config.variables import Variables, read_variables

if TYPE_CHECKING:
    from fairlead.pipeline.scope import Scope

EnvironmentOption = Annotated[
    str, typer.Option("--environment", "-e", envvar="ENVIRONMENT", help="The environment, such as staging.")
]
RepositoryOption = Annotated[
    str, typer.Option("--repo", help="The deployment repository: a checkout, or an address (URL or URL#BRANCH).")
]
CommitOption = Annotated[
    str | None,
    typer.Option(
        "--commit", envvar="FAIRLEAD_COMMIT", help="The release's commit. Default: the deployment branch's head."
    ),
]
RunOption = Annotated[
    str | None,
    typer.Option("--run", envvar="FAIRLEAD_RUN", help="A name for this run; repeating a run makes no second commit."),
]
AddressOption = Annotated[
    str | None, typer.Option("--vm-ip", envvar="VM_IP", help="The machine's address. Default: what provision says.")
]
DeployerOption = Annotated[
    str,
    typer.Option(
        "--with", envvar="FAIRLEAD_DEPLOY_WITH", help="Who deploys: ansible or semaphore. Default: deploy.with."
    ),
]
RetriesOption = Annotated[
    int | None, typer.Option("--retries", envvar="HEALTH_CHECK_RETRIES", min=1, help="Attempts of each check.")
]
DelayOption = Annotated[
    float | None, typer.Option("--delay", envvar="HEALTH_CHECK_DELAY", min=0, help="Seconds between attempts.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result and errors.")]


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


def open_scope(repo: str, environment: str, commit: str | None = None, *, deployer: str = "") -> "Scope":
    """One environment of one commit. deployer: instead of the one that fairlead.yaml names.

    Raises what pipeline.scope.Scope.open raises.
    """
    from fairlead.pipeline.scope import Scope  # noqa: PLC0415 - `--help` does not pay for it

    values = variables()
    return Scope.open(repo, environment, commit, replace(values, deploy_with=deployer or values.deploy_with))
