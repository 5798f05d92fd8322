"""Runs a target: a bounded number of inputs, or for as long as one likes.

    python -m tests.fuzz --minutes 10 [TARGET ...]

An input that takes longer than HANG counts as a hang. Ends with 1 where there is a finding, and prints it.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.targets import TARGETS, Check, Target

HANG = 20  # seconds
CHUNK = 2000  # inputs in one go
PATIENT = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def run(
    target: Target, examples: int, *, derandomize: bool, watch: Callable[[Check], Check] = lambda check: check
) -> None:
    """Give a target so many inputs; derandomize: always the same ones. Raises what a finding raises."""
    with target.open() as check:
        watched = watch(check)

        @settings(
            max_examples=examples,
            derandomize=derandomize,
            database=None,
            deadline=None,
            suppress_health_check=PATIENT,
            phases=[Phase.generate, Phase.shrink],
        )
        @given(target.inputs)
        def one(given_input: object) -> None:
            watched(given_input)

        one()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--minutes", type=float, default=10, help="for each (default: %(default)g)")
    options = parser.parse_args()
    bad = [name for name in options.targets or TARGETS if not fuzz(name, 60 * options.minutes)]
    return 1 if bad else 0


def fuzz(name: str, seconds: float) -> bool:
    """Other inputs in every chunk, until the time is over. False: a finding."""
    count, began = 0, time.monotonic()

    def watch(check: Check) -> Check:
        def watched(given_input: object) -> None:
            nonlocal count
            count += 1
            with _no_hang():
                check(given_input)

        return watched

    while time.monotonic() - began < seconds:
        try:
            run(TARGETS[name], CHUNK, derandomize=False, watch=watch)
        except Exception as error:  # whatever it is, it is the finding
            _say(f"{name}: after {count} inputs: {type(error).__name__}: {error}")
            for note in getattr(error, "__notes__", ()):
                _say(note)
            return False
    _say(f"{name}: {count} inputs in {time.monotonic() - began:.0f} s, no finding")
    return True


@contextmanager
def _no_hang() -> Iterator[None]:
    def ring(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"still at it after {HANG} s")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG)
    try:
        yield
    finally:
        signal.alarm(0)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
