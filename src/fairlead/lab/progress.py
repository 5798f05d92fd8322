"""Progress lines with times: what is under way, what is done, how long it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Say = Callable[[str], None]


def say_nothing(_line: str) -> None:
    """For callers that want no progress lines."""


@dataclass
class Progress:
    """Tells a person what happens, and remembers each phase's seconds. Phases may overlap in several threads."""

    say: Say = say_nothing
    clock: Callable[[], float] = time.monotonic
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Say that the phase begins, and at its end how long it took. A phase that fails says nothing more."""
        began = self.clock()
        self.say(f"{name} ...")
        yield
        self.seconds[name] = self.clock() - began
        self.say(f"{name}: {self.seconds[name]:.1f} s")


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
