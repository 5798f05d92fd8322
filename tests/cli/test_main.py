"""Signals that end a command."""

import signal
import sys

import pytest

from fairlead import process

# A command that runs a program, hears a signal (or two) while that runs, and says what became of it.
COMMAND = '''
import os, signal, sys
from fairlead import process
from fairlead.cli.leaving import _terminated_like_interrupted
from fairlead.errors import ProgramInterrupted

first, *then = [int(number) for number in sys.argv[1:]]
child = """import time
try: print('began', flush=True); time.sleep(60)
except KeyboardInterrupt: print('saved')"""

def heard(_stream, line):
    print(line, flush=True)
    if line == "began":
        signal.raise_signal(first)

def program():
    try:
        process.run([sys.executable, "-c", child], on_line=heard, grace=60)
    except (KeyboardInterrupt, ProgramInterrupted):
        print("interrupted")
        for number in then:
            signal.raise_signal(number)

with _terminated_like_interrupted():
    program()
'''


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_in_order_what_runs(number: signal.Signals) -> None:
    assert _said(number) == ["began", "saved", "interrupted"]


def test_a_second_hangup_is_the_same_one() -> None:
    assert _said(signal.SIGHUP, signal.SIGHUP) == ["began", "saved", "interrupted"]
    assert _said(signal.SIGTERM, signal.SIGHUP) == ["began", "saved", "interrupted"]


def test_under_nohup_a_command_outlives_its_terminal() -> None:
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = COMMAND.replace("time.sleep(60)", "time.sleep(0)")
    done = process.run([sys.executable, "-c", ignoring, sys.executable, "-c", command, str(int(signal.SIGHUP))])
    assert done.stdout.split() == ["began"]


def _said(*numbers: signal.Signals) -> list[str]:
    argv = [sys.executable, "-c", COMMAND, *(str(int(number)) for number in numbers)]
    return process.run(argv, timeout=60).stdout.split()
