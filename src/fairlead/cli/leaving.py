"""How a command ends: with its exit code, and with what an error looks like when it leaves."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from fairlead.config.start import end_quickly
from fairlead.errors import FairleadError, ProgramInterrupted, SiteFault


def leave_after(command: Callable[[], object]) -> NoReturn:
    """Run the command and end the process with its exit code: what the command gives, where that is a number.

    0 done or nothing to do, 1 failed, 2 usage or configuration, 3 the release failed and stands, 4 busy, 5 waiting,
    6 rolled back; 130 interrupted.
    """
    with _terminated_like_interrupted():
        try:
            code = command()
        except (FairleadError, OSError, KeyboardInterrupt) as error:
            code = _tell(_error_of(error))
    end_quickly()
    sys.exit(code if isinstance(code, int) else 0)


def _error_of(error: BaseException) -> FairleadError:
    """What ended a command, in the form of all errors."""
    match error:
        case FairleadError():
            return error
        case OSError():
            return SiteFault.of(error)
        case _:
            return ProgramInterrupted("Interrupted", remedy="Run the same command again: it goes on from what is there")


def _tell(error: FairleadError) -> int:
    """Print an error and return its exit code; a closed pipe or a full disk behind stdout changes neither."""
    from fairlead.cli.context import output_of  # noqa: PLC0415 - until signals are heard, little is imported

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
