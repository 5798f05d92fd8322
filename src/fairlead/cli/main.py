"""The `fairlead` command: which commands there are."""

import typer

from fairlead import __version__
from fairlead.cli import detect, doctor, drift, history, init, lab, release, rollback, rollout, run, semaphore, status
from fairlead.errors import ProgramInterrupted, UsageError

app = typer.Typer(
    name="fairlead",
    help="Guides a container image from pushed to a registry to verified running on its own VM, and recorded in git.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(*, show: bool) -> None:
    if show:
        print(f"fairlead {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    _version: bool = typer.Option(
        False, "--version", callback=lambda show: _print_version(show=show), help="Print the version."
    ),
) -> None:
    """Each stage is a command that does one thing, is safe to repeat, and says what it did."""
    if context.invoked_subcommand is None:
        print(context.get_help())  # noqa: T201


app.command()(init.init)
app.command()(doctor.doctor)
app.command()(detect.detect)
app.command()(detect.bump)
app.command()(rollout.provision)
app.command()(rollout.deploy)
app.command()(rollout.verify)
app.command()(run.run)
app.command()(release.promote)
app.command()(status.status)
app.command()(drift.drift)
app.command()(rollback.rollback)
app.command()(history.history)
app.command()(history.schema)
app.add_typer(semaphore.app, name="semaphore")
app.add_typer(lab.app, name="lab")


def command() -> object:
    """Do what the command line says; an exit code, where that is not 0. Raises FairleadError, OSError, and
    KeyboardInterrupt where it is interrupted.
    """
    try:
        code: object = app(standalone_mode=False)
    except typer.TyperException as error:
        words = " ".join(error.format_message().split())
        raise UsageError(words, remedy="fairlead --help; fairlead COMMAND --help") from error
    except typer.Abort:
        raise KeyboardInterrupt from None
    if code == ProgramInterrupted.exit_code:  # what typer makes of a Ctrl-C, without a word
        raise KeyboardInterrupt
    return code
