"""The `running_digests` check: every container runs the digest that git pins, as read on the machine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fairlead.verify.base import Outcome, plain


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a machine. differences: from the pins, in words. restarts: container to how often it was."""

    differences: tuple[str, ...]
    restarts: Mapping[str, int] = field(default_factory=dict)


@dataclass
class DigestsCheck:
    """read: looks at the machine; SiteFault where it cannot, which is no verdict about the release.

    The check remembers the restarts that it saw: behind a gateway that retries, a container that dies every ten seconds
    and comes back looks healthy to every other check.
    """

    read: Callable[[], Reading]
    _restarts: dict[str, int] = field(default_factory=dict)

    name = "running digests"
    light = False
    _EXPECTED = "every container to run the digest that git pins"

    def attempt(self) -> Outcome:
        """Look once."""
        reading = self.read()
        again = [name for name, count in reading.restarts.items() if count > self._restarts.get(name, count)]
        self._restarts.update(reading.restarts)
        wrong = [*reading.differences, *(f"{name} was restarted while it was watched" for name in again)]
        if wrong:
            return Outcome(passed=False, expected=self._EXPECTED, came=plain("; ".join(wrong)))
        return Outcome(passed=True, expected=self._EXPECTED, came="every container runs the digest that git pins")
