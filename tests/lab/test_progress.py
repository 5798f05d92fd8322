import pytest

from fairlead.lab.progress import Progress, at_once, wait_until


class Clock:
    """Moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_phase_tells_its_begin_its_end_and_its_seconds() -> None:
    clock, lines = Clock(), list[str]()
    progress = Progress(lambda line: lines.append(f"> {line}"), lines.append, clock)
    with progress.phase("Machine"):
        clock.sleep(2.5)
    assert lines == ["> Machine", "Machine (2.5 s)"]
    assert progress.seconds == {"Machine": 2.5}


def test_a_phase_that_fails_claims_no_end() -> None:
    lines = list[str]()
    with pytest.raises(ValueError, match="x"), Progress(ended=lines.append).phase("Machine"):
        raise ValueError("x")
    assert lines == []


def test_waiting_ends_with_the_first_yes() -> None:
    clock = Clock()
    answers = iter([False, False, True])
    assert wait_until(lambda: next(answers), within=10, every=1, clock=clock, sleep=clock.sleep)
    assert clock.now == 2


def test_waiting_ends_at_its_limit() -> None:
    clock = Clock()
    assert not wait_until(lambda: False, within=3, every=1, clock=clock, sleep=clock.sleep)
    assert clock.now == 3


def test_calls_at_once_keep_their_order() -> None:
    assert at_once([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3]
    assert at_once([]) == []


def test_an_error_at_once_comes_when_all_have_ended() -> None:
    ended = list[int]()

    def fails() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        at_once([fails, lambda: ended.append(1)])
    assert ended == [1]


def test_an_interruption_is_told() -> None:
    said = list[str]()

    def interrupts() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        at_once([interrupts], said.append)
    assert said[0].startswith("Interrupted")
