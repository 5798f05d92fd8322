"""The seam: what a check is, and how a set of checks becomes one verdict.

A release is verified by a round of attempts in which every check passes. Rounds follow each other after `delay`, up to
`retries`. Then, for a new release, it must stay so for `stable_for`: cheap checks are repeated during that time and all
of them at its end, and one failure is enough, so that what flaps, or dies after ten seconds, is not called good.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol, Self

from fairlead.config.models import Verify
from fairlead.errors import FairleadError

STABLE_ROUNDS = 5
LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt of one check. expected, came: in words. fault: nothing could be seen, so nothing is known."""

    passed: bool
    expected: str
    came: str
    fault: bool = False


class Check(Protocol):
    """One question about a deployed release. An attempt changes nothing and ends within a time limit of its own."""

    @property
    def name(self) -> str:
        """What people call it, with the address or the program."""

    @property
    def light(self) -> bool:
        """Whether it costs so little that it may be repeated every few seconds."""

    def attempt(self) -> Outcome:
        """Ask once. Raises only what repeating cannot mend."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How often. delay, stable_for: seconds."""

    retries: int = 10
    delay: float = 15.0
    stable_for: float = 0.0

    @classmethod
    def of(cls, settings: Verify, *, proven_before: bool = False) -> Self:
        """As configured; a release that was proven here before need not show again that it is stable."""
        stable_for = 0.0 if proven_before else settings.stable_for.total_seconds()
        return cls(settings.retries, settings.delay.total_seconds(), stable_for)


class Verdict(StrEnum):
    """What the checks say together."""

    PASSED = "passed"
    FAILED = "failed"
    SITE_FAULT = "site_fault"
    """No check saw anything wrong, and some could not see: nothing is known about the release."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's end. latency_ms: of its last attempt. failing_since: first of its last failures in a row."""

    name: str
    passed: bool
    expected: str
    came: str
    attempts: int
    latency_ms: float
    fault: bool = False
    failing_since: datetime | None = None

    @property
    def detail(self) -> str:
        """What was expected, what came, and since when: one sentence."""
        if self.passed:
            return self.came
        since = f" (since {self.failing_since:%H:%M:%S}, {self.attempts} attempts)" if self.failing_since else ""
        return f"expected {self.expected}; came {self.came}{since}"


@dataclass(frozen=True, slots=True)
class Verification:
    """A release's verification. began, ended: aware times."""

    verdict: Verdict
    results: tuple[CheckResult, ...]
    began: datetime
    ended: datetime

    @property
    def passed(self) -> bool:
        """Whether the release is good."""
        return self.verdict is Verdict.PASSED

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The checks that did not pass."""
        return tuple(result for result in self.results if not result.passed)


OnAttempt = Callable[[str, int, Outcome], None]


def ignore(_name: str, _attempt: int, _outcome: Outcome) -> None:
    """Nobody listens."""


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


@dataclass
class _Watched:
    """A check and what is known of it so far."""

    check: Check
    on_attempt: OnAttempt
    now: Callable[[], datetime]
    attempts: int = 0
    latency_ms: float = 0.0
    failing_since: datetime | None = None
    last: Outcome = field(default_factory=lambda: Outcome(passed=False, expected="an attempt", came="none"))

    def attempt(self) -> bool:
        began, at = time.perf_counter(), self.now()
        self.last = _attempt(self.check)
        self.latency_ms = (time.perf_counter() - began) * 1000
        self.attempts += 1
        self.failing_since = None if self.last.passed else self.failing_since or at
        self.on_attempt(self.check.name, self.attempts, self.last)
        return self.last.passed

    def result(self) -> CheckResult:
        return CheckResult(
            name=self.check.name,
            passed=self.last.passed,
            expected=self.last.expected,
            came=self.last.came,
            attempts=self.attempts,
            latency_ms=round(self.latency_ms, 1),
            fault=self.last.fault,
            failing_since=self.failing_since,
        )


def _attempt(check: Check) -> Outcome:
    """An error that waiting may heal is an attempt that saw nothing."""
    try:
        return check.attempt()
    except FairleadError as error:
        if not error.retryable:
            raise
        return Outcome(passed=False, expected="to see", came=plain(str(error)), fault=True)


def verify(
    checks: Sequence[Check],
    policy: Policy,
    *,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], datetime] = utc_now,
    on_attempt: OnAttempt = ignore,
) -> Verification:
    """Run the checks to a verdict. on_attempt: told of every attempt as it ends.

    No check at all is no proof: raises ValueError. Otherwise raises what a check raises that repeating cannot mend.
    """
    if not checks:
        raise ValueError("there is nothing to verify")
    began = now()
    watched = [_Watched(check, on_attempt, now) for check in checks]
    if _settle(watched, policy, sleep):
        _stay(watched, policy.stable_for, sleep)
    results = tuple(one.result() for one in watched)
    return Verification(_verdict(results), results, began, now())


def _settle(watched: Sequence[_Watched], policy: Policy, sleep: Callable[[float], object]) -> bool:
    """Rounds until one in which everything passes."""
    for number in range(policy.retries):
        if number:
            sleep(policy.delay)
        if _round(watched):
            return True
    return False


def _stay(watched: Sequence[_Watched], stable_for: float, sleep: Callable[[float], object]) -> None:
    """Everything still passes at the end, and what is light has passed all the time."""
    if not stable_for:
        return
    light = [one for one in watched if one.check.light]
    for _ in range(STABLE_ROUNDS - 1):
        sleep(stable_for / STABLE_ROUNDS)
        if not _round(light):
            return
    sleep(stable_for / STABLE_ROUNDS)
    _round(watched)


def _round(watched: Sequence[_Watched]) -> bool:
    """Attempt every check, also after one failed: a person wants to see all that is wrong."""
    passed = [one.attempt() for one in watched]
    return all(passed)


def _verdict(results: Sequence[CheckResult]) -> Verdict:
    if all(result.passed for result in results):
        return Verdict.PASSED
    seen_wrong = any(not result.passed and not result.fault for result in results)
    return Verdict.FAILED if seen_wrong else Verdict.SITE_FAULT


def plain(text: str) -> str:
    """Text from outside on one line of bounded length, without control characters: it goes into logs and proofs."""
    cut = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    return " ".join("".join(letter if letter.isprintable() else " " for letter in cut).split())
