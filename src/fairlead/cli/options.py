"""Options that many commands share."""

from typing import Annotated

import typer

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
