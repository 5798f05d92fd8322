"""Election. Pure: tags in, the elected tag and a reason against every other tag out.

No clock, no network, the input is never changed, one bad tag never fails the list. A policy is one function that
judges one tag: where it lies in the policy's total order, and what speaks against it. To add a policy, add its model
to config/models.py and its judge here; docs/reference/tag-policies.md is its table and its test.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple

from fairlead.config.models import AlphabeticalPolicy, CalverPolicy, DigestPolicy, Image, NumericPolicy, SemverPolicy
from fairlead.config.values import print_duration
from fairlead.images import is_tag
from fairlead.registry.client import TagList
from fairlead.registry.untrusted import plain_text
from fairlead.versions import CalverFormat, SemverRange, parse_version

NOT_A_TAG = "is not a tag by the OCI grammar"
LONGEST_NUMBER = 100
_MOST_AHEAD = 20  # tags that are looked at to say what is waited for


@dataclass(frozen=True, slots=True)
class Rejection:
    """A tag that was not elected, and why. The tag is printable, however hostile it was."""

    tag: str
    reason: str


@dataclass(frozen=True, slots=True)
class Election:
    """elected: a tag, or None with the reason in `why`. rejected: every other tag, newest first; those
    that have no place in the policy's order come last."""

    elected: str | None
    rejected: tuple[Rejection, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Ballot:
    """What is known when one image's tag is elected.

    pinned: the tag that git pins, if any. quarantined: tags that are. ages, cooldown: a tag whose age is known and
    below the cooldown is not elected.
    """

    image: Image
    tags: TagList
    pinned: str | None = None
    quarantined: Collection[str] = ()
    ages: Mapping[str, timedelta] = field(default_factory=dict)
    cooldown: timedelta = timedelta(0)
    allow_downgrade: bool = False


class Judgement(NamedTuple):
    """place: where the tag lies in the policy's total order, None: it cannot be read. objection: empty, it fits."""

    place: Any
    objection: str


Judge = Callable[[str], Judgement]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The tags of one image that may be elected, newest first, and the objections to the others.

    order: every tag that has a place in the policy's order, newest first.
    """

    fit: tuple[str, ...]
    unfit: tuple[Rejection, ...]
    order: tuple[str, ...]


def elect(ballot: Ballot) -> Election:
    """The newest tag that fits. A pinned tag that is still the newest is elected again."""
    if not ballot.tags.complete:
        return _nothing_from_a_cut_list(ballot.tags)
    ranking = rank(ballot)
    return _choose(ranking, ranking.fit[0] if ranking.fit else None)


@dataclass(frozen=True, slots=True)
class JointElection:
    """Images that are released with one tag.

    elections: by image. ahead: the newest tag above the elected one that some have already. missing: who lacks it.
    """

    elections: Mapping[str, Election]
    ahead: str | None = None
    missing: tuple[str, ...] = ()


def elect_together(ballots: Mapping[str, Ballot]) -> JointElection:
    """The newest tag that all of the images have and that fits each of them; in the order of the first one's policy."""
    if cut := [ballot.tags for ballot in ballots.values() if not ballot.tags.complete]:
        return JointElection(dict.fromkeys(ballots, _nothing_from_a_cut_list(cut[0])))
    if len(ballots) == 1:
        return JointElection({name: elect(ballot) for name, ballot in ballots.items()})
    rankings = {name: rank(ballot) for name, ballot in ballots.items()}
    fits = {name: frozenset(ranking.fit) for name, ranking in rankings.items()}
    newest_first = _in_order_of_the_first(ballots, frozenset().union(*fits.values()))
    elected = next((tag for tag in newest_first if all(tag in fit for fit in fits.values())), None)
    elections = {name: _choose(ranking, elected, rankings) for name, ranking in rankings.items()}
    above = newest_first[: newest_first.index(elected)] if elected else newest_first
    for tag in above[:_MOST_AHEAD]:
        missing = tuple(name for name, fit in fits.items() if tag not in fit)
        if all(_would_fit(ballots[name], tag) for name in missing):
            return JointElection(elections, tag, missing)
    return JointElection(elections)


def _in_order_of_the_first(ballots: Mapping[str, Ballot], tags: Collection[str]) -> list[str]:
    """Newest first by the first image's policy; tags that it objects to are left out."""
    judge = judge_of(next(iter(ballots.values())).image)
    judged = ((judge(tag), tag) for tag in tags)
    return [tag for _, tag in sorted(((j.place, tag) for j, tag in judged if not j.objection), reverse=True)]


def _would_fit(ballot: Ballot, tag: str) -> bool:
    """Whether a tag that an image lacks would fit it, so that waiting for it makes sense."""
    return bool(rank(replace(ballot, tags=TagList((tag,)))).fit)


def rank(ballot: Ballot) -> Ranking:
    """Sort the tags that fit, newest first, and object to the others."""
    judge = judge_of(ballot.image)
    floor = judge(ballot.pinned).place if ballot.pinned and not ballot.allow_downgrade else None
    filters = _filters(ballot.image)
    fit: set[str] = set()
    unfit: list[Rejection] = []
    placed: list[tuple[Any, str]] = []
    for tag in ballot.tags.tags:
        place, objection = judge(tag) if is_tag(tag) else Judgement(None, NOT_A_TAG)
        objection = objection or _filtered(tag, filters) or _held_back(tag, place, floor, ballot)
        if objection:
            unfit.append(Rejection(plain_text(tag, 128), objection))
        else:
            fit.add(tag)
        if place is not None:
            placed.append((place, tag))
    order = tuple(tag for _, tag in sorted(placed, reverse=True))
    return Ranking(tuple(tag for tag in order if tag in fit), tuple(unfit), order)


def _choose(ranking: Ranking, elected: str | None, group: Collection[str] = ()) -> Election:
    if elected is None and not ranking.fit:
        return Election(None, _newest_first(ranking.unfit, ranking), "no tag fits")
    reason = f"is older than {elected}" if elected else f"is not there for all of {', '.join(group)}"
    newer = f"is not there for all of {', '.join(group)}"
    above = ranking.fit.index(elected) if elected else 0
    others = tuple(
        Rejection(tag, newer if position < above else reason)
        for position, tag in enumerate(ranking.fit)
        if tag != elected
    )
    rejected = _newest_first((*others, *ranking.unfit), ranking)
    return Election(elected, rejected, "" if elected else "no tag is there for all of them")


def _newest_first(rejected: Sequence[Rejection], ranking: Ranking) -> tuple[Rejection, ...]:
    position = {tag: number for number, tag in enumerate(ranking.order)}
    return tuple(sorted(rejected, key=lambda rejection: position.get(rejection.tag, len(position))))


def _nothing_from_a_cut_list(tags: TagList) -> Election:
    reason = "the list of tags was cut short"
    rejected = tuple(Rejection(plain_text(tag, 128), reason) for tag in tags.tags)
    return Election(None, rejected, f"{reason}: {tags.why}; delete old tags, or push to a repository of its own")


def _held_back(tag: str, place: Any, floor: Any, ballot: Ballot) -> str:
    if floor is not None and place < floor:
        return f"is below the pinned {ballot.pinned}"
    if tag in ballot.quarantined:
        return "is quarantined"
    age = ballot.ages.get(tag)
    if age is not None and age < ballot.cooldown:
        return f"is {_shown(age)} old, the cooldown is {print_duration(ballot.cooldown)}"
    return ""


def _shown(age: timedelta) -> str:
    return print_duration(timedelta(seconds=int(age.total_seconds())))


def _filters(image: Image) -> tuple[list[Any], list[Any]]:
    return [_pattern(text) for text in image.include], [_pattern(text) for text in image.exclude]


def _filtered(tag: str, filters: tuple[list[Any], list[Any]]) -> str:
    include, exclude = filters
    text = tag.encode()
    if include and not any(pattern.search(text) for pattern in include):
        return f"is not included by {' or '.join(pattern.pattern for pattern in include)}"
    return next((f"is excluded by {pattern.pattern}" for pattern in exclude if pattern.search(text)), "")


def _pattern(text: str) -> Any:
    """RE2: no pattern and no tag can make it run for long. Match bytes: for text it counts characters, slowly."""
    import re2  # noqa: PLC0415 - 20 ms, and only needed where there is a pattern

    return re2.compile(text)


def judge_of(image: Image) -> Judge:
    """The judge of an image's policy."""
    match image.policy:
        case SemverPolicy():
            return _semver(image.policy)
        case CalverPolicy():
            return _calver(image.policy)
        case NumericPolicy():
            return _numeric(image.policy)
        case AlphabeticalPolicy():
            return _alphabetical(image.policy)
        case DigestPolicy():
            return _moving(image.policy)


def _semver(policy: SemverPolicy) -> Judge:
    allowed = SemverRange.parse(policy.semver)

    def judge(tag: str) -> Judgement:
        version = parse_version(tag)
        if version is None:
            return Judgement(None, "is not a semantic version")
        if allowed.allows(version, prereleases=policy.prereleases):
            return Judgement(version.order, "")
        if version.prerelease and allowed.allows(version, prereleases=True):
            return Judgement(version.order, "is a pre-release, which the policy does not ask for")
        return Judgement(version.order, f"is outside {allowed}")

    return judge


def _calver(policy: CalverPolicy) -> Judge:
    written = CalverFormat.parse(policy.calver)

    def judge(tag: str) -> Judgement:
        place = written.read(tag)
        return Judgement(place, "" if place else f"is not a version of the form {written}")

    return judge


def _numeric(policy: NumericPolicy) -> Judge:
    pattern = _pattern(policy.numeric)
    ((group, position),) = pattern.groupindex.items()

    def judge(tag: str) -> Judgement:
        match = pattern.fullmatch(tag.encode())
        if match is None:
            return Judgement(None, f"does not match {policy.numeric}")
        number = match[position]  # by name, re2 would look the name up for every tag
        if not number or not number.isdigit() or len(number) > LONGEST_NUMBER:
            return Judgement(None, f"has no number where {policy.numeric} names <{group}>")
        return Judgement((int(number), tag), "")

    return judge


@dataclass(frozen=True, slots=True)
class _Reversed:
    """A text that sorts before the ones that sort after it."""

    text: str

    def __lt__(self, other: "_Reversed") -> bool:
        return other.text < self.text


def _alphabetical(policy: AlphabeticalPolicy) -> Judge:
    return lambda tag: Judgement(tag if policy.alphabetical == "asc" else _Reversed(tag), "")


def _moving(policy: DigestPolicy) -> Judge:
    """A moving tag has no order: only its digest tells old from new. A pin of another tag sets no floor."""

    def judge(tag: str) -> Judgement:
        if tag == policy.digest:
            return Judgement((), "")
        return Judgement(None, f"is not {policy.digest}, the tag that is followed")

    return judge


def moving_tag(image: Image) -> str | None:
    """The tag that a digest policy follows: such an image needs no list of tags."""
    return image.policy.digest if isinstance(image.policy, DigestPolicy) else None
