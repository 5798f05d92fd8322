"""From attempts to a verdict: rounds, delays, the time a new release must stay good. Time is a list of sleeps."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from fairlead.config.models import Verify
from fairlead.errors import SiteFault, UnsafePath
from fairlead.verify.base import Outcome, Policy, Verdict, Verification, plain, verify

BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass
class Script:
    """A check that answers as written, and then always with its last letter: y passes, n fails, ? cannot see."""

    answers: str
    name: str = "script"
    light: bool = True
    asked: int = 0

    def attempt(self) -> Outcome:
        letter = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if letter == "?":
            raise SiteFault("ssh does not answer")
        return Outcome(passed=letter == "y", expected="y", came=letter)


@dataclass
class Time:
    """Stands still but for sleeps."""

    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=sum(self.slept))


@pytest.fixture
def time() -> Time:
    return Time()


def run(time: Time, *checks: Script, retries: int = 4, delay: float = 15, stable_for: float = 0) -> Verification:
    return verify(checks, Policy(retries, delay, stable_for), sleep=time.sleep, now=time.now)


def test_the_first_attempt_is_at_once_and_a_pass_ends_it(time: Time) -> None:
    done = run(time, Script("y"))
    assert done.verdict is Verdict.PASSED
    assert done.passed
    assert time.slept == []
    assert done.results[0].attempts == 1
    assert done.results[0].failing_since is None


def test_the_delay_lies_between_attempts(time: Time) -> None:
    done = run(time, Script("nny"))
    assert done.passed
    assert time.slept == [15, 15]
    assert (done.began, done.ended) == (BEGIN, BEGIN + timedelta(seconds=30))


def test_after_the_last_attempt_it_does_not_wait(time: Time) -> None:
    done = run(time, Script("n"), Script("y", name="other"))
    assert done.verdict is Verdict.FAILED
    assert time.slept == [15, 15, 15]
    assert [result.attempts for result in done.results] == [4, 4]
    assert [result.name for result in done.failures] == ["script"]


def test_a_failure_says_what_was_expected_what_came_and_since_when(time: Time) -> None:
    done = run(time, Script("nyn"), Script("n", name="keeps the rounds going"))
    assert done.results[0].detail == "expected y; came n (since 12:00:30, 4 attempts)"


def test_all_checks_pass_in_one_round_or_not_at_all(time: Time) -> None:
    """Each has passed once, never both at a time: that proves nothing."""
    assert not run(time, Script("ynyn"), Script("nyny")).passed


def test_a_release_that_dies_in_its_first_seconds_fails(time: Time) -> None:
    """Case 64 of the threat list: healthy, then a crash loop."""
    done = run(time, Script("yyyn"), stable_for=15)
    assert done.verdict is Verdict.FAILED
    assert time.slept == [3, 3, 3]


def test_a_release_that_flaps_fails(time: Time) -> None:
    """Case 65: half of its answers are wrong."""
    assert run(time, Script("ny" * 50), retries=10).passed
    assert not run(time, Script("ny" * 50), retries=10, stable_for=15).passed


def test_what_stays_good_passes_and_what_is_heavy_is_asked_only_at_the_end(time: Time) -> None:
    light, heavy = Script("y"), Script("y", light=False)
    assert run(time, light, heavy, stable_for=15).passed
    assert time.slept == [3] * 5
    assert (light.asked, heavy.asked) == (6, 2)


def test_a_heavy_check_that_fails_at_the_end_fails_the_release(time: Time) -> None:
    assert not run(time, Script("y"), Script("yn", light=False), stable_for=15).passed


def test_a_machine_that_cannot_be_seen_is_no_verdict_about_the_release(time: Time) -> None:
    done = run(time, Script("?"), Script("y"))
    assert done.verdict is Verdict.SITE_FAULT
    assert done.results[0].fault
    assert "ssh does not answer" in done.results[0].came
    assert run(Time(), Script("??y"), Script("y")).passed


def test_a_check_that_saw_something_wrong_outweighs_one_that_could_not_see(time: Time) -> None:
    assert run(time, Script("?"), Script("n")).verdict is Verdict.FAILED


def test_what_repeating_cannot_mend_is_raised_at_once(time: Time) -> None:
    class Broken(Script):
        def attempt(self) -> Outcome:
            raise UnsafePath("outside")

    with pytest.raises(UnsafePath):
        run(time, Broken("n"))
    assert time.slept == []


def test_no_check_is_no_proof(time: Time) -> None:
    with pytest.raises(ValueError, match="nothing to verify"):
        run(time)


def test_every_attempt_is_told(time: Time) -> None:
    told: list[tuple[str, int, bool]] = []
    verify(
        [Script("ny")],
        Policy(3, 1),
        sleep=time.sleep,
        now=time.now,
        on_attempt=lambda name, attempt, outcome: told.append((name, attempt, outcome.passed)),
    )
    assert told == [("script", 1, False), ("script", 2, True)]


def test_a_proven_release_need_not_show_again_that_it_is_stable() -> None:
    settings = Verify.model_validate({"retries": 3, "delay": "2s", "stable_for": "15s"})
    assert Policy.of(settings) == Policy(3, 2.0, 15.0)
    assert Policy.of(settings, proven_before=True) == Policy(3, 2.0, 0.0)


def test_text_from_outside_becomes_one_short_plain_line() -> None:
    assert plain("a\x1b[31m\nFairlead-Run: x\u202e\ud800") == "a [31m Fairlead-Run: x"
    assert len(plain("x" * 10_000)) == 500
