"""Progress lines with times: what is under way, what is done, how long it took."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

_Result = TypeVar("_Result")
Say = Callable[[str], None]


def say_nothing(_line: str) -> None:
    """For callers that want no progress lines."""


@dataclass
class Progress:
    """Tells a person what happens, and remembers each phase's seconds. Phases may overlap in several threads.

    began, ended: get a line when a phase begins, and when it has ended well.
    """

    began: Say = say_nothing
    ended: Say = say_nothing
    clock: Callable[[], float] = time.monotonic
    seconds: dict[str, float] = field(default_factory=dict)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Say that the phase begins, and at its end how long it took. A phase that fails says nothing more."""
        started = self.clock()
        self.note(name)
        yield
        with self._one_at_a_time:
            self.seconds[name] = self.clock() - started
            self.ended(f"{name} ({self.seconds[name]:.1f} s)")

    def note(self, line: str) -> None:
        """Say something that takes no time."""
        with self._one_at_a_time:
            self.began(line)


def wait_until(
    probe: Callable[[], bool],
    *,
    within: float,
    every: float = 0.1,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Ask again and again until the probe says yes (True), or until `within` seconds are over (False)."""
    deadline = clock() + within
    while not probe():
        if clock() >= deadline:
            return False
        sleep(every)
    return True


def at_once(calls: Sequence[Callable[[], _Result]], interrupted: Say = say_nothing) -> list[_Result]:
    """Make the calls in threads; their results in order. The first error is raised when all have ended.

    A thread cannot be interrupted, so after a Ctrl-C what is under way is finished; `interrupted` is told so.
    """
    with ThreadPoolExecutor(max_workers=max(len(calls), 1)) as pool:
        try:
            return [future.result() for future in [pool.submit(call) for call in calls]]
        except KeyboardInterrupt:
            interrupted("Interrupted: finishing what is under way (at most some minutes); repeat it and it goes on")
            raise
