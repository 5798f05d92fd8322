"""What has to happen before an environment takes a release: soak, approval, freeze. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from fairlead.config.models import Environment
from fairlead.config.values import print_duration
from fairlead.errors import Waiting


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that has to happen first. key: the setting of fairlead.yaml that asks for it. since: when it began."""

    key: str
    what: str
    since: datetime | None = None

    def __str__(self) -> str:
        since = f" (since {self.since:%Y-%m-%d %H:%M:%S %Z})" if self.since else ""
        return f"{self.what}{since}: {self.key}"


def gates(name: str, environment: Environment, proven_at: datetime | None, now: datetime) -> tuple[Wait, ...]:
    """What stands in the way of a release to this environment at `now`.

    proven_at: when the release was proven in the environment that is followed; None where none is followed.
    """
    place = f"environments.{name}"
    waits = [
        Wait(f"{place}.freeze", f"the freeze window {window.text} is open")
        for window in environment.freeze
        if window.holds(now)
    ]
    if environment.soak and proven_at and (left := environment.soak - (now - proven_at)) > timedelta(0):
        left = timedelta(seconds=round(left.total_seconds()))
        waits.append(
            Wait(f"{place}.soak", f"{environment.follows} has to prove it for {print_duration(left)} more", proven_at)
        )
    if environment.approval == "required":
        waits.append(Wait(f"{place}.approval", "a person has to approve it, and approvals are not served yet"))
    return tuple(waits)


def require(waits: tuple[Wait, ...], what: str) -> None:
    """Raise Waiting, which names every setting that stands in the way."""
    if waits:
        raise Waiting(
            f"{what} waits: {waits[0]}",
            why="\n".join(str(wait) for wait in waits[1:]),
            remedy=f"Wait, or change {waits[0].key} in fairlead.yaml",
        )
