"""Is there work? Joins what registries offer or another environment has proven with what git pins and has proven.

One of three answers: candidates (images to bump), unproven (the head differs from the last proven release in what
concerns this environment, and is not quarantined), none.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from fairlead.config import layout
from fairlead.config.models import FOLLOWS_IMAGES
from fairlead.deployment_repo import quarantine
from fairlead.deployment_repo.message import ImageChange
from fairlead.deployment_repo.proofs import Proof, Proofs
from fairlead.deployment_repo.quarantine import Quarantined, is_quarantined
from fairlead.pipeline.gates import Wait, gates
from fairlead.pipeline.registries import offered
from fairlead.pipeline.scope import Scope
from fairlead.registry.watcher import Sighting


class Answer(StrEnum):
    """Whether there is work, and which."""

    CANDIDATES = "candidates"
    UNPROVEN = "unproven"
    NONE = "none"


@dataclass(frozen=True)
class Detection:
    """The answer for one environment at one commit.

    changes: the candidates, as changes of pins. reason: why there is work or none, for people. waits: what has to
    happen first. sightings: what was seen of every image, where registries were asked.
    """

    answer: Answer
    environment: str
    commit: str
    reason: str
    changes: tuple[ImageChange, ...] = ()
    waits: tuple[Wait, ...] = ()
    sightings: tuple[Sighting, ...] = field(default=(), repr=False)
    followed: Proof | None = None

    @property
    def lost(self) -> str:
        """What a return from the new release would need and the registries have lost, for people; "" for nothing."""
        lost = ", ".join(sighting.pin.short for sighting in self.sightings if sighting.lost and sighting.pin)
        return f"the registry has lost {lost}: no way back but by the copy on the machine" if lost else ""


@dataclass(frozen=True)
class _Offer:
    """What could be released: the changes, and what holds them back."""

    changes: tuple[ImageChange, ...] = ()
    waits: tuple[Wait, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    followed: Proof | None = None


Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


def detect(
    scope: Scope, *, allow_downgrade: bool = False, settle: bool = True, recheck: bool = False, now: Clock = utc_now
) -> Detection:
    """Ask what the environment follows, and compare with git.

    settle: look again until two looks agree. recheck: ask also whether pinned tags were pushed again, one more request
    for each image. Raises RegistryError, RepositoryError, ConfigurationError.
    """
    if scope.settings.follows == FOLLOWS_IMAGES:
        offer = _from_registries(scope, now(), allow_downgrade=allow_downgrade, settle=settle, recheck=recheck)
    else:
        offer = from_environment(scope, scope.settings.follows, now())
    if offer.changes:
        return _detection(scope, Answer.CANDIDATES, offer, ", ".join(change.title for change in offer.changes))
    if unproven := why_unproven(scope):
        return _detection(scope, Answer.UNPROVEN, offer, unproven)
    return _detection(scope, Answer.NONE, offer, str(offer.waits[0]) if offer.waits else "nothing new")


def _detection(scope: Scope, answer: Answer, offer: _Offer, reason: str) -> Detection:
    return Detection(
        answer, scope.environment, scope.commit, reason, offer.changes, offer.waits, offer.sightings, offer.followed
    )


def _from_registries(scope: Scope, now: datetime, *, allow_downgrade: bool, settle: bool, recheck: bool) -> _Offer:
    refused = frozenset(entry.image for entry in quarantined(scope) if entry.environment == scope.environment)
    offer = offered(scope, refused, allow_downgrade=allow_downgrade, settle=settle, recheck=recheck)
    held = gates(scope.environment, scope.settings, None, now) if offer.changes else ()
    return _Offer(() if held else offer.changes, (*held, *offer.waits), offer.sightings)


def from_environment(scope: Scope, source: str, now: datetime) -> _Offer:
    """What `source` has proven last and this environment does not pin: the same tags and digests."""
    proof = Proofs(scope.repository).last_proven(source)
    if proof is None:
        return _Offer(waits=(Wait(f"environments.{scope.environment}.follows", f"nothing is proven in {source} yet"),))
    changes = promoted_changes(scope, source, proof)
    waits = gates(scope.environment, scope.settings, proof.finished, now) if changes else ()
    return _Offer(() if waits else changes, waits, followed=proof)


def promoted_changes(scope: Scope, source: str, proof: Proof) -> tuple[ImageChange, ...]:
    """The pins of a proven release of `source` that differ here; quarantined images are left where they are."""
    current, entries = scope.pins, quarantined(scope)
    return tuple(
        ImageChange(name, current.get(name), pin, policy=f"follows {source}")
        for name, pin in scope.pins_at(proof.commit, source).items()
        if pin != current.get(name) and not is_quarantined(entries, scope.environment, pin)
    )


def why_unproven(scope: Scope) -> str:
    """Why the commit is work although no image is new; "" when it is proven or quarantined here, or pins nothing.

    What was changed and taken back since the last proof counts: a release in between may be what runs now, when the
    return from it did not get to its end.
    """
    pins, entries = scope.pins, quarantined(scope)
    if not pins or any(is_quarantined(entries, scope.environment, pin) for pin in pins.values()):
        return ""
    proof = Proofs(scope.repository).last_proven(scope.environment)
    if proof is None:
        return "nothing is proven here yet"
    touched = scope.repository.touched_paths(proof.commit, scope.commit)
    changed = [path for path in touched if layout.concerns(path, scope.environment)]
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{changed[0]}{more} changed since {proof.commit[:9]}, the last proven release" if changed else ""


def changed_since(scope: Scope, proven: str) -> list[str]:
    """The files that concern this environment and differ from a proven commit's."""
    paths = scope.repository.changed_paths(proven, scope.commit)
    return [path for path in paths if layout.concerns(path, scope.environment)]


def quarantined(scope: Scope) -> tuple[Quarantined, ...]:
    """What the deployment branch says failed, in all environments."""
    return quarantine.read(scope.repository.read(scope.repository.head(), layout.QUARANTINE))
