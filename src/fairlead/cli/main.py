"""The `fairlead` command: which commands there are, and what an error looks like when it leaves."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import typer

from fairlead import __version__
from fairlead.cli import detect, doctor, drift, history, init, lab, release, rollback, rollout, run, semaphore, status
from fairlead.cli.options import output_of
from fairlead.config.start import end_quickly
from fairlead.errors import FairleadError, ProgramInterrupted, SiteFault, UsageError

if TYPE_CHECKING:
    from fairlead.provision.ahead import HeadStart

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


def main(ahead: "HeadStart | None" = None) -> NoReturn:
    """Run the command and end the process with its exit code. ahead: what was begun for it already.

    0 done or nothing to do, 1 failed, 2 usage or configuration, 3 the release failed and stands, 4 busy, 5 waiting,
    6 rolled back; 130 interrupted.
    """
    with _terminated_like_interrupted():
        try:
            code = app(standalone_mode=False, obj=ahead)
            if code == ProgramInterrupted.exit_code:  # what typer makes of a Ctrl-C, without a word
                code = _tell(_error_of(KeyboardInterrupt()))
        except (FairleadError, typer.TyperException, OSError, KeyboardInterrupt, typer.Abort) as error:
            code = _tell(_error_of(error))
    end_quickly()
    sys.exit(code if isinstance(code, int) else 0)


def _error_of(error: BaseException) -> FairleadError:
    """What ended a command, in the form of all errors."""
    match error:
        case FairleadError():
            return error
        case typer.TyperException():
            words = " ".join(error.format_message().split())
            return UsageError(words, remedy="fairlead --help; fairlead COMMAND --help")
        case OSError():
            return SiteFault.of(error)
        case _:
            return ProgramInterrupted("Interrupted", remedy="Run the same command again: it goes on from what is there")


def _tell(error: FairleadError) -> int:
    """Print an error and return its exit code; a closed pipe or a full disk behind stdout changes neither."""
    try:
        output_of(sys.argv[1:]).error(error)
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again when it ends
    return error.exit_code


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM (systemd, a CI system's abort) and SIGHUP (a terminal or an ssh session that is gone) end a command as
    Ctrl-C does: children are stopped in order. Under nohup, SIGHUP stays ignored.

    Started with `&` by a script, a program ignores SIGINT, and so would every program that it starts and wants to stop.
    """

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # shell and kernel both say it: that is no second Ctrl-C
        raise KeyboardInterrupt

    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: interrupt, signal.SIGHUP: interrupt}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        del handlers[signal.SIGHUP]
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
