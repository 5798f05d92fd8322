"""A clock whose hands only move when told, or when somebody sleeps."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class TurnedClock:
    """Sleeping takes no time and moves the hands. slept: how long each sleep was."""

    time: datetime = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)
