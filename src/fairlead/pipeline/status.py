"""What runs where, from git and its proofs; and the runs in flight on this machine, from its state directory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.deployment_repo.proofs import Proof, Proofs
from fairlead.images import ImageReference
from fairlead.pipeline import log
from fairlead.pipeline.detect import why_unproven
from fairlead.pipeline.holder import held
from fairlead.pipeline.runs import directory_of, holder_of
from fairlead.pipeline.scope import Scope


@dataclass(frozen=True, slots=True)
class InFlight:
    """A run that has not ended. stage, since: where it is, and since when. alive: whether its process lives."""

    run: str
    pid: int
    host: str
    stage: str
    since: str
    alive: bool

    def as_json(self) -> dict[str, Any]:
        """For `--json` and the API."""
        place = {"pid": self.pid, "host": self.host, "alive": self.alive}
        return {"run": self.run, "stage": self.stage, "since": self.since, **place}


@dataclass(frozen=True, slots=True)
class Status:
    """One environment.

    proven: the newest proof; what it pins is in `running`, by variable. pinned: what the head pins. unproven: why the
    head is not what is proven, or "".
    """

    environment: str
    head: str
    proven: Proof | None
    running: Mapping[str, ImageReference]
    pinned: Mapping[str, ImageReference]
    unproven: str
    flight: InFlight | None

    def as_json(self) -> dict[str, Any]:
        """For `--json` and the API."""
        return {
            "environment": self.environment,
            "head": self.head,
            "proven": self.proven.model_dump(mode="json") if self.proven else None,
            "running": {name: str(image) for name, image in self.running.items()},
            "pinned": {name: str(image) for name, image in self.pinned.items()},
            "unproven": self.unproven or None,
            "run": self.flight.as_json() if self.flight else None,
        }


def status_of(scope: Scope) -> Status:
    """One environment's status at the scope's commit. Raises RepositoryError."""
    proven = Proofs(scope.repository).last_proven(scope.environment)
    return Status(
        environment=scope.environment,
        head=scope.commit,
        proven=proven,
        running=scope.pins_at(proven.commit) if proven else {},
        pinned=scope.pins,
        unproven=why_unproven(scope),
        flight=in_flight(scope),
    )


def in_flight(scope: Scope) -> InFlight | None:
    """The environment's run on this machine, if one has not ended."""
    directory = directory_of(scope.variables.state, scope.configuration.app, scope.environment)
    holding, alive = held(holder_of(directory))
    if holding is None or not holding.run:
        return None
    entry = log.last(directory, holding.run)
    stage, since = (entry.stage or "run", entry.time) if entry else ("run", holding.since)
    return InFlight(holding.run, holding.pid, holding.host, stage, since, alive)


def differing(statuses: Sequence[Status]) -> list[str]:
    """The images that do not run at one digest everywhere, of the environments where anything is proven."""
    proven = [status.running for status in statuses if status.proven]
    names = {name for running in proven for name in running}
    return sorted(name for name in names if len({_digest(running.get(name)) for running in proven}) > 1)


def _digest(image: ImageReference | None) -> str | None:
    return image.digest if image else None
