"""The election: the documentation's tables, and what holds for every policy and every list of tags."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fairlead.config.models import Image
from fairlead.images import is_tag
from fairlead.registry.client import TagList
from fairlead.registry.policy import Ballot, Election, elect, elect_together, rank
from fairlead.versions import SemverRange, parse_version

PAGE = (Path(__file__).parents[2] / "docs/reference/tag-policies.md").read_text()


def table(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, their cells unescaped."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def image(policy: str, **more: Any) -> Image:
    return Image(repository="registry.example.com/shop/app", policy=YAML(typ="safe").load(policy), **more)


def ballot(
    policy: str, *tags: str, include: tuple[str, ...] = (), exclude: tuple[str, ...] = (), **more: Any
) -> Ballot:
    return Ballot(image(policy, include=include, exclude=exclude), TagList(tags), **more)


def reasons(election: Election) -> dict[str, str]:
    return {rejection.tag: rejection.reason for rejection in election.rejected}


@pytest.mark.parametrize(("policy", "tags"), table("The orders"))
def test_documented_order(policy: str, tags: str) -> None:
    oldest_first = code(tags)
    for given_order in (oldest_first, oldest_first[::-1], sorted(oldest_first)):
        assert list(rank(ballot(code(policy)[0], *given_order)).fit) == oldest_first[::-1]


@pytest.mark.parametrize(("written", "allowed", "refused"), table("Semantic versions"))
def test_documented_range(written: str, allowed: str, refused: str) -> None:
    ranking = rank(ballot(f"{{semver: '{code(written)[0]}'}}", *code(allowed), *code(refused)))
    assert (set(ranking.fit), {r.tag for r in ranking.unfit}) == (set(code(allowed)), set(code(refused)))


@pytest.mark.parametrize(("policy", "tag", "reason"), table("Why not"))
def test_documented_reason(policy: str, tag: str, reason: str) -> None:
    assert reasons(elect(ballot(code(policy)[0], code(tag)[0]))) == {code(tag)[0]: reason}


def test_the_newest_is_elected_and_the_others_have_their_reasons() -> None:
    election = elect(ballot('{semver: "^1"}', "1.0.0", "1.2.0", "latest", "1.1.0", "2.0.0"))
    assert election.elected == "1.2.0"
    assert [rejection.tag for rejection in election.rejected] == ["2.0.0", "1.1.0", "1.0.0", "latest"]
    assert reasons(election) == {
        "1.1.0": "is older than 1.2.0",
        "1.0.0": "is older than 1.2.0",
        "latest": "is not a semantic version",
        "2.0.0": "is outside ^1",
    }


@pytest.mark.parametrize(
    "hostile", ["v1.2.3\n", "-x", "{{7*7}}", "x" * 129, "1.2.\u0663", "", "1.0.0 ", "a/b", "\x1b[2J"]
)
def test_what_is_no_tag_is_left_out_and_shown_harmlessly(hostile: str) -> None:
    election = elect(ballot('{semver: "*"}', "1.0.0", hostile))
    (rejection,) = election.rejected
    assert (election.elected, rejection.reason) == ("1.0.0", "is not a tag by the OCI grammar")
    assert rejection.tag.isprintable()
    assert len(rejection.tag) <= 128


def test_nothing_below_the_pin() -> None:
    election = elect(ballot('{semver: "<3"}', "1.0.0", "2.0.0", pinned="2.5.0"))
    assert election.elected is None
    assert set(reasons(election).values()) == {"is below the pinned 2.5.0"}


def test_a_person_may_go_below_the_pin() -> None:
    assert elect(ballot('{semver: "<3"}', "1.0.0", "2.0.0", pinned="2.5.0", allow_downgrade=True)).elected == "2.0.0"


def test_the_pinned_tag_is_elected_again() -> None:
    assert elect(ballot('{semver: "*"}', "1.0.0", "2.0.0", pinned="2.0.0")).elected == "2.0.0"


def test_a_pin_that_the_policy_cannot_read_is_no_floor() -> None:
    assert elect(ballot('{semver: "*"}', "1.0.0", pinned="2026.01.05")).elected == "1.0.0"


def test_quarantined_tags_are_skipped() -> None:
    election = elect(ballot('{semver: "*"}', "1.0.0", "1.1.0", quarantined={"1.1.0"}))
    assert (election.elected, reasons(election)) == ("1.0.0", {"1.1.0": "is quarantined"})


def test_a_tag_below_the_cooldown_is_skipped() -> None:
    ages = {"1.1.0": timedelta(minutes=59), "1.0.0": timedelta(hours=1)}
    election = elect(ballot('{semver: "*"}', "1.0.0", "1.1.0", ages=ages, cooldown=timedelta(hours=1)))
    assert (election.elected, reasons(election)) == ("1.0.0", {"1.1.0": "is 59m old, the cooldown is 1h"})


def test_nothing_from_a_list_that_was_cut_short() -> None:
    election = elect(
        Ballot(image('{semver: "*"}'), TagList(("1.0.0",), complete=False, why="it has more than 2 pages"))
    )
    assert election.elected is None
    assert election.why.startswith("the list of tags was cut short: it has more than 2 pages")
    assert reasons(election) == {"1.0.0": "the list of tags was cut short"}


def test_include_and_exclude_are_searched_for() -> None:
    tags = ("1.0.0-alpine", "1.1.0", "1.2.0-alpine", "1.3.0-alpine-debug")
    election = elect(ballot('{semver: "*", prereleases: true}', *tags, include=("-alpine",), exclude=("-debug$",)))
    assert election.elected == "1.2.0-alpine"
    assert reasons(election)["1.1.0"] == "is not included by -alpine"
    assert reasons(election)["1.3.0-alpine-debug"] == "is excluded by -debug$"


@pytest.mark.parametrize("evil", ["(a+)+$", "((a*)*)*b", "(a|a)*c", "(.*)*x"])
def test_an_evil_pattern_ends(evil: str) -> None:
    tags = tuple("a" * 120 + str(number) for number in range(1000))
    assert elect(ballot("{alphabetical: asc}", *tags, include=(evil,))).elected is None


# Together.


def together(**tags: tuple[str, ...]) -> dict[str, Ballot]:
    return {name: ballot('{semver: "*"}', *given) for name, given in tags.items()}


def test_the_newest_tag_that_all_have() -> None:
    joint = elect_together(together(app=("1.0", "1.1", "1.2"), web=("1.0", "1.1"), db=("0.9", "1.0", "1.1")))
    assert {election.elected for election in joint.elections.values()} == {"1.1"}
    assert (joint.ahead, joint.missing) == ("1.2", ("web", "db"))
    assert reasons(joint.elections["app"]) == {
        "1.2": "is not there for all of app, web, db",
        "1.0": "is older than 1.1",
    }


def test_nobody_is_waited_for_when_all_have_the_newest() -> None:
    joint = elect_together(together(app=("1.0", "1.1"), web=("1.1",)))
    assert (joint.elections["web"].elected, joint.ahead, joint.missing) == ("1.1", None, ())


def test_no_tag_that_all_have() -> None:
    joint = elect_together(together(app=("1.1",), web=()))
    assert joint.elections["app"] == Election(None, joint.elections["app"].rejected, "no tag is there for all of them")
    assert (joint.ahead, joint.missing) == ("1.1", ("web",))


def test_a_tag_that_the_others_would_never_take_is_not_waited_for() -> None:
    ballots = {"app": ballot('{semver: "*"}', "1.0.0", "2.0.0"), "web": ballot('{semver: "^1"}', "1.0.0")}
    joint = elect_together(ballots)
    assert (joint.elections["app"].elected, joint.ahead) == ("1.0.0", None)


def test_a_cut_list_of_one_stops_all() -> None:
    ballots = together(app=("1.0",)) | {"web": Ballot(image('{semver: "*"}'), TagList(("1.0",), complete=False))}
    assert [election.elected for election in elect_together(ballots).elections.values()] == [None, None]


# What holds always.

POLICIES = [
    '{semver: "*"}',
    '{semver: "^1", prereleases: true}',
    "{calver: YYYY.0M.MICRO-MODIFIER}",
    r"{numeric: '^b(?P<n>\d+)'}",
    "{alphabetical: desc}",
    '{digest: "latest"}',
]
NUMBERS = st.integers(0, 30).map(str)
TAGS = st.one_of(
    st.lists(NUMBERS, min_size=1, max_size=4).map(".".join),
    st.builds("v{}.{}.{}-rc.{}".format, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    st.builds(
        "20{}.0{}.{}-{}".format, st.integers(10, 30), st.integers(1, 9), NUMBERS, st.sampled_from(["rc1", "2", "x"])
    ),
    st.builds("b{}".format, NUMBERS),
    st.sampled_from(["latest", "main", "1", "01", "1.0", "1.0.0", "v1.0.0"]),
    st.text(max_size=8),
)
QUICK = settings(max_examples=40, deadline=None)
LISTS = st.lists(TAGS, max_size=12, unique=True)


@pytest.mark.parametrize("policy", POLICIES)
@QUICK
@given(tags=LISTS, pinned=st.none() | TAGS.filter(is_tag))
def test_every_tag_is_elected_or_has_one_reason(policy: str, tags: list[str], pinned: str | None) -> None:
    election = elect(ballot(policy, *tags, pinned=pinned))
    assert len(election.rejected) + (election.elected is not None) == len(tags)
    assert election.elected is None or election.elected in tags
    assert all(rejection.reason for rejection in election.rejected)
    assert bool(election.why) == (election.elected is None)


@pytest.mark.parametrize("policy", POLICIES)
@QUICK
@given(tags=LISTS, random=st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(policy: str, tags: list[str], random: Any) -> None:
    shuffled = list(tags)
    random.shuffle(shuffled)
    assert elect(ballot(policy, *tags)).elected == elect(ballot(policy, *shuffled)).elected


@pytest.mark.parametrize("policy", POLICIES)
@QUICK
@given(tags=LISTS)
def test_election_is_stable_and_never_goes_down(policy: str, tags: list[str]) -> None:
    first = elect(ballot(policy, *tags)).elected
    if first is not None:
        assert elect(ballot(policy, *tags, pinned=first)).elected == first
        rest = [tag for tag in tags if tag != first]
        assert elect(ballot(policy, *rest, pinned=first)).elected is None


@QUICK
@given(first=LISTS, second=LISTS)
def test_what_is_elected_together_is_there_for_all(first: list[str], second: list[str]) -> None:
    ballots = together(app=tuple(first), web=tuple(second))
    joint = elect_together(ballots)
    elected = {election.elected for election in joint.elections.values()}
    assert len(elected) == 1
    assert elected <= {None, *(set(first) & set(second))}
    assert all(joint.ahead not in {"app": first, "web": second}[name] for name in joint.missing)


@QUICK
@given(tag=TAGS, major=st.integers(0, 5))
def test_caret_is_a_half_open_interval(tag: str, major: int) -> None:
    version = parse_version(tag)
    if version is not None and not version.prerelease:
        assert SemverRange.parse(f"^{major}.0").allows(version) == (
            version.major == major and (major > 0 or version.minor == 0)
        )
