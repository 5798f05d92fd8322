"""Looks at all images of an environment at once: tags, election, and what the elected tag is.

An image alone and the images of `release.together` are the same thing here: a group that is elected one tag. What
one registry does wrong is told for its images and leaves the others alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Generic, Literal, TypeVar

from fairlead.config.models import Image
from fairlead.errors import FairleadError, ImageMissing, RegistryUnreachable
from fairlead.images import ImageReference
from fairlead.registry.client import ImageLabels, RegistryClient, ResolvedImage, TagList
from fairlead.registry.first_seen import FirstSeen
from fairlead.registry.policy import Ballot, Election, JointElection, Rejection, elect_together, moving_tag

MOST_ELECTIONS = 20  # tags of one group that quarantine and cooldown may hold back before we stop looking further down
MOST_LOOKS = 30
_LOST = "lost"


@dataclass(frozen=True, slots=True)
class Watched:
    """An image to look at. name: its Ansible variable. pin: what git pins. cooldown: how old a tag must be."""

    name: str
    image: Image
    pin: ImageReference | None = None
    cooldown: timedelta = timedelta(0)

    @property
    def reference(self) -> ImageReference:
        """The image without a tag."""
        return _repository(self.image.repository)


@lru_cache(maxsize=4096)
def _repository(name: str) -> ImageReference:
    """Parsed once for all looks of a process."""
    return ImageReference.parse(name)


@dataclass(frozen=True, slots=True)
class Wait:
    """What has to happen before a tag can be adopted, and since when that is so.

    together: `missing` do not have `tag` yet; overdue: for longer than `release.deadline`. cooldown: `tag` is too
    young until `until`.
    """

    reason: Literal["together", "cooldown"]
    images: tuple[str, ...]
    tag: str
    since: datetime
    missing: tuple[str, ...] = ()
    until: datetime | None = None
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of one image.

    elected: the elected tag with the digest that it has; None where nothing is elected, and `why` or `error` says
    why. same_content: the elected image is another digest, but for the platform the same one as the pinned.
    repushed: the pinned version tag now has this other digest; it is reported, never elected. lost: another image is
    elected, and the registry has no more what is pinned: a way back needs the copy that the machine keeps.
    """

    name: str
    pin: ImageReference | None
    elected: ImageReference | None = None
    resolved: ResolvedImage | None = None
    rejected: tuple[Rejection, ...] = ()
    why: str = ""
    same_content: bool = False
    repushed: str | None = None
    lost: bool = False
    error: FairleadError | None = None

    @property
    def differs(self) -> bool:
        """Whether the elected reference is not the pinned one."""
        return self.elected is not None and self.elected != self.pin

    @property
    def labels(self) -> ImageLabels:
        """The elected image's labels; empty where it is pinned already."""
        return self.resolved.labels if self.resolved else ImageLabels()


@dataclass(frozen=True, slots=True)
class Look:
    """One look at all images. candidates: what git does not pin yet, by name. unsettled: looks never agreed."""

    sightings: tuple[Sighting, ...]
    candidates: tuple[str, ...] = ()
    waits: tuple[Wait, ...] = ()
    unsettled: bool = False

    def __getitem__(self, name: str) -> Sighting:
        return next(sighting for sighting in self.sightings if sighting.name == name)

    @property
    def errors(self) -> tuple[FairleadError, ...]:
        """What went wrong, image by image."""
        return tuple(sighting.error for sighting in self.sightings if sighting.error)

    @property
    def agreement(self) -> object:
        """What two looks must have in common to agree: what would become a release, and what is waited for."""
        elected = tuple((name, self[name].elected) for name in self.candidates)
        return elected, tuple((wait.reason, wait.tag, wait.missing) for wait in self.waits)


@dataclass(frozen=True, slots=True)
class Rules:
    """What an environment's looks go by.

    together: names of images that are released with one tag; deadline: how long the others may wait for one.
    quarantined: references whose content is not elected, whatever its tag. recheck: ask also whether a pinned version
    tag still has its digest; one more request per image.
    """

    together: tuple[str, ...] = ()
    deadline: timedelta = timedelta(minutes=15)
    quarantined: Collection[ImageReference] = ()
    allow_downgrade: bool = False
    recheck: bool = False

    def refuses(self, image: ImageReference) -> bool:
        """Whether the image is quarantined: a failed content does not become better by another tag."""
        return any((one.name, one.digest) == (image.name, image.digest) for one in self.quarantined)


async def look(client: RegistryClient, watched: Sequence[Watched], rules: Rules, first_seen: FirstSeen) -> Look:
    """Look at all images once, groups and registries beside each other. Errors of one image are in its sighting."""
    limit = client.bounds.look_at(len(watched))
    deadline = asyncio.get_running_loop().time() + limit
    groups = [_Group(client, group, rules, first_seen, deadline, limit) for group in _groups(watched, rules.together)]
    done = await _beside(groups, client.bounds.at_once)
    order = {image.name: position for position, image in enumerate(watched)}
    sightings = sorted((sighting for found in done for sighting in found.sightings), key=lambda s: order[s.name])
    candidates = sorted((name for found in done for name in found.candidates), key=order.__getitem__)
    return Look(tuple(sightings), tuple(candidates), tuple(wait for found in done for wait in found.waits))


async def settled(
    look_again: Callable[[], Awaitable[Look]], settle: timedelta, sleep: Callable[[float], Awaitable[None]]
) -> Look:
    """Look until two looks, `settle` apart, agree: images that are pushed together become one release.

    Nothing to release, nothing to settle. After MOST_LOOKS the last look comes back as `unsettled`.
    """
    before = await look_again()
    for _ in range(MOST_LOOKS - 1):
        if not before.candidates or not settle:
            return before
        await sleep(settle.total_seconds())
        after = await look_again()
        if after.agreement == before.agreement:
            return after
        before = after
    return replace(before, unsettled=True)


async def _beside(groups: Sequence["_Group"], at_once: int) -> list[Look]:
    """The groups' looks, in their order: all registries beside each other, and of each so many groups.

    So memory does not grow with those that wait.
    """
    lanes: dict[str, list[tuple[int, _Group]]] = {}
    for position, group in enumerate(groups):
        lanes.setdefault(group.members[0].reference.registry, []).append((position, group))
    found: dict[int, Look] = {}
    await asyncio.gather(
        *(_in_turn(waiting, found) for lane in lanes.values() for waiting in [iter(lane)] * min(at_once, len(lane)))
    )
    return [found[position] for position in range(len(groups))]


async def _in_turn(waiting: Iterator[tuple[int, "_Group"]], found: dict[int, Look]) -> None:
    """The looks of those that are taken from the iterator, which others take from too."""
    for position, group in waiting:
        found[position] = await group.look()


def _groups(watched: Sequence[Watched], together: Collection[str]) -> list[list[Watched]]:
    group = [image for image in watched if image.name in together]
    alone = [[image] for image in watched if image.name not in together]
    return [group, *alone] if group else alone


@dataclass(slots=True)
class _Group:
    """One group's look.

    deadline: of the event loop's clock, `limit` seconds after all groups began. quarantined, ages, waits: what takes
    tags out of the election, found out on the way.
    """

    client: RegistryClient
    members: list[Watched]
    rules: Rules
    first_seen: FirstSeen
    deadline: float
    limit: float
    quarantined: set[str] = field(default_factory=set)
    ages: dict[str, timedelta] = field(default_factory=dict)
    waits: dict[str, Wait] = field(default_factory=dict)

    async def look(self) -> Look:
        try:
            async with asyncio.timeout_at(self.deadline):
                await asyncio.sleep(0)  # where the deadline has passed, this ends it: nothing more is asked for
                return await self._look()
        except TimeoutError:
            error = self._too_slow()
            return self._failed({member.name: error for member in self.members})

    def _too_slow(self) -> RegistryUnreachable:
        registries = sorted({member.reference.registry for member in self.members})
        return RegistryUnreachable(
            f"{', '.join(registries)} did not answer in time",
            why=f"One look at all images may take {self.limit:g} s",
        )

    async def _look(self) -> Look:
        lists = await _each({member.name: self._tags(member) for member in self.members})
        if lists.errors:
            return self._failed(lists.errors)
        for _ in range(MOST_ELECTIONS):
            joint = elect_together({member.name: self._ballot(member, lists.found) for member in self.members})
            seen = await _each(
                {member.name: self._see(member, joint.elections[member.name]) for member in self.members}
            )
            if seen.errors:
                return self._failed(seen.errors, joint)
            if not self._holds_back(seen.found):
                return await self._outcome(joint, seen.found)
        return self._nothing(joint)

    async def _tags(self, member: Watched) -> TagList:
        """A digest policy needs no list: its tag is the only one."""
        moving = moving_tag(member.image)
        if moving is not None:
            return TagList((moving,))
        try:
            return await self.client.tags(member.reference)
        except ImageMissing:
            if len(self.members) == 1:
                raise
            return TagList(())  # not pushed yet: the others wait for it

    def _ballot(self, member: Watched, lists: Mapping[str, TagList]) -> Ballot:
        return Ballot(
            member.image,
            lists[member.name],
            pinned=self._pinned_tag(member),
            quarantined=self.quarantined,
            ages=self.ages,
            cooldown=max((member.cooldown for member in self.members), default=timedelta(0)),
            allow_downgrade=self.rules.allow_downgrade,
        )

    def _pinned_tag(self, member: Watched) -> str | None:
        return member.pin.tag if member.pin and member.pin.name == member.reference.name else None

    async def _see(self, member: Watched, election: Election) -> Sighting:
        """What the elected tag is. The pinned tag of a version policy is not asked for again, unless rechecked."""
        base = Sighting(member.name, member.pin, rejected=election.rejected, why=election.why)
        if election.elected is None:
            return base
        reference = member.reference.with_tag(election.elected)
        pin = member.pin if election.elected == self._pinned_tag(member) else None
        moving = moving_tag(member.image) is not None
        if pin and pin.digest and not moving and not self.rules.recheck:
            return replace(base, elected=pin)
        digest = await self.client.digest(reference)
        if pin and pin.digest == digest:
            return replace(base, elected=pin)
        if pin and pin.digest and not moving:
            return replace(base, elected=pin, repushed=digest)
        elected = reference.with_tag(election.elected, digest)
        if self.rules.refuses(elected):
            return replace(base, elected=elected)
        resolved = await self.client.resolve(elected, member.image.platform)
        pinned = await self._pinned_content(member)
        same = pinned == resolved.platform_digest
        return replace(base, elected=elected, resolved=resolved, same_content=same, lost=pinned == _LOST)

    async def _pinned_content(self, member: Watched) -> str:
        """The digest of what the pin is for the platform; _LOST, or "" where it cannot be told."""
        pin = member.pin
        if pin is None or pin.digest is None or pin.name != member.reference.name:
            return ""
        try:
            return await self.client.platform_digest(pin, member.image.platform)
        except ImageMissing:
            return _LOST
        except FairleadError:
            return ""

    def _holds_back(self, seen: Mapping[str, Sighting]) -> bool:
        """Whether quarantine or cooldown speak against an elected tag; then it is noted, and elected again without."""
        held = False
        for member in self.members:
            sighting = seen[member.name]
            if sighting.elected is None or not sighting.differs or sighting.elected.tag is None:
                continue
            tag = sighting.elected.tag
            if self.rules.refuses(sighting.elected):
                self.quarantined.add(tag)
                held = True
            elif self._is_too_young(member, sighting, tag):
                held = True
        return held

    def _is_too_young(self, member: Watched, sighting: Sighting, tag: str) -> bool:
        if not member.cooldown:
            return False
        since = self._since(sighting)
        age = max(self.client.clock.now() - since, timedelta(0))
        if age >= member.cooldown:
            return False
        self.ages[tag] = min(age, self.ages.get(tag, age))
        wait = Wait("cooldown", self._names(), tag, since, until=since + member.cooldown)
        self.waits[tag] = max(self.waits.get(tag, wait), wait, key=lambda known: known.until or since)
        return True

    def _since(self, sighting: Sighting) -> datetime:
        """When the elected image came to be: its configuration's `created`, else when it was first seen here."""
        created = sighting.resolved.created if sighting.resolved else None
        return created or self.first_seen.since(str(sighting.elected), self.client.clock.now())

    async def _outcome(self, joint: JointElection, seen: Mapping[str, Sighting]) -> Look:
        waits = list(self.waits.values())
        if joint.ahead and joint.missing:
            waits.append(await self._waiting_for(joint.ahead, joint.missing))
        sightings = tuple(seen[member.name] for member in self.members)
        return Look(sightings, self._candidates(sightings), tuple(waits))

    def _candidates(self, sightings: Collection[Sighting]) -> tuple[str, ...]:
        """What differs and is other content; where one of a group is, the others keep up with its tag."""
        if not any(sighting.differs and not sighting.same_content for sighting in sightings):
            return ()
        return tuple(sighting.name for sighting in sightings if sighting.differs)

    async def _waiting_for(self, tag: str, missing: tuple[str, ...]) -> Wait:
        """Since when the others have the tag: the oldest of them."""
        there = [member for member in self.members if member.name not in missing]
        found = await _each({member.name: self._first_there(member, tag) for member in there})
        now = self.client.clock.now()
        since = min(found.found.values(), default=now)
        overdue = now - since > self.rules.deadline
        return Wait("together", self._names(), tag, since, missing=missing, overdue=overdue)

    async def _first_there(self, member: Watched, tag: str) -> datetime:
        reference = member.reference.with_tag(tag)
        resolved = await self.client.resolve(reference, member.image.platform)
        sighting = Sighting(member.name, member.pin, reference.with_tag(tag, resolved.digest), resolved)
        return self._since(sighting)

    def _names(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.members)

    def _failed(self, errors: Mapping[str, FairleadError], joint: JointElection | None = None) -> Look:
        """No half release: an error of one member leaves the whole group as it is."""
        elections = joint.elections if joint else {}
        waits_for = f"waits for {', '.join(errors)}"
        return Look(
            tuple(
                Sighting(
                    member.name,
                    member.pin,
                    rejected=elections[member.name].rejected if member.name in elections else (),
                    why="" if member.name in errors else waits_for,
                    error=errors.get(member.name),
                )
                for member in self.members
            )
        )

    def _nothing(self, joint: JointElection) -> Look:
        why = f"the {MOST_ELECTIONS} newest tags are all held back"
        return Look(
            tuple(
                Sighting(member.name, member.pin, rejected=joint.elections[member.name].rejected, why=why)
                for member in self.members
            ),
            waits=tuple(self.waits.values()),
        )


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Found(Generic[_T]):
    """What could be found for each image, and what went wrong for the others."""

    found: Mapping[str, _T]
    errors: Mapping[str, FairleadError]


async def _each(asked: Mapping[str, Awaitable[_T]]) -> _Found[_T]:
    """Ask for all at once; a FairleadError of one is kept beside the answers, anything else is a bug and raised."""
    questions = [_caught(question) for question in asked.values()]
    answers = [await questions[0]] if len(questions) == 1 else await asyncio.gather(*questions)
    named = dict(zip(asked, answers, strict=True))
    errors = {name: answer for name, answer in named.items() if isinstance(answer, FairleadError)}
    found = {name: answer for name, answer in named.items() if not isinstance(answer, FairleadError)}
    return _Found(found, errors)


async def _caught(question: Awaitable[_T]) -> _T | FairleadError:
    try:
        return await question
    except FairleadError as error:
        return error
