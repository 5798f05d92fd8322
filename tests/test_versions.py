"""Versions in tags: read, ordered, and matched by ranges. docs/reference/tag-policies.md has the tables."""

import contextlib

import pytest
import semver
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.versions import CalverFormat, SemverRange, parse_version

QUICK = settings(max_examples=60, deadline=None)
NUMBER = st.integers(0, 40)
IDENTIFIER = st.text("01aZ-", min_size=1, max_size=3).filter(lambda text: not text.isdigit() or str(int(text)) == text)
PRERELEASE = st.lists(IDENTIFIER, max_size=3).map(".".join)
SEMVER = st.builds(
    lambda major, minor, patch, pre: f"{major}.{minor}.{patch}" + (f"-{pre}" if pre else ""),
    NUMBER,
    NUMBER,
    NUMBER,
    PRERELEASE,
)


@QUICK
@given(left=SEMVER, right=SEMVER)
def test_precedence_is_that_of_the_semver_library(left: str, right: str) -> None:
    mine_left, mine_right = parse_version(left), parse_version(right)
    assert mine_left is not None
    assert mine_right is not None
    theirs = semver.Version.parse(left).compare(right)
    mine = (mine_left.precedence > mine_right.precedence) - (mine_left.precedence < mine_right.precedence)
    assert mine == theirs


@QUICK
@given(text=st.text(max_size=12))
def test_what_is_three_numbers_here_is_a_version_for_the_semver_library(text: str) -> None:
    version = parse_version(text)
    assert (version is not None and version.parts == 3 and not text.startswith("v")) == (
        semver.Version.is_valid(text) and "+" not in text
    )


@pytest.mark.parametrize(
    "tag",
    ["", "v", "latest", "01.2", "1.2.3.4", "1.2.3-", "1.2.3-01", "1.2.3+b", "1..2", "V1", "1.2.3\n", "1.\u0662", "-1"],
)
def test_what_is_no_version(tag: str) -> None:
    assert parse_version(tag) is None


def test_a_date_or_a_build_number_is_no_major_version() -> None:
    assert parse_version("20261123") is None
    assert parse_version("99999") is not None


def test_numbers_are_bounded() -> None:
    assert parse_version(f"1.{'9' * 18}") is not None
    assert parse_version(f"1.{'9' * 19}") is None
    assert parse_version("1.0.0-" + "a" * 123) is None


@pytest.mark.parametrize(("written", "tag"), [("<3", "3.0.0-rc.1"), ("<3.0.0", "3.0.0-a"), ("^1.4", "2.0.0-rc.1")])
def test_an_upper_bound_keeps_its_own_pre_releases_out(written: str, tag: str) -> None:
    version = parse_version(tag)
    assert version is not None
    assert not SemverRange.parse(written).allows(version, prereleases=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a version range is empty; write * for any version"),
        ("^1 ||", "a version range is empty; write * for any version"),
        ("latest", "'latest' is no version comparator; write ^1.4, ~1.4.2, >=1.0 <3, 26.x or *"),
        ("1.2 - 2.3", "'-' is no version comparator; write ^1.4, ~1.4.2, >=1.0 <3, 26.x or *"),
        ("1.2.3.4", "'1.2.3.4' is no version comparator; write ^1.4, ~1.4.2, >=1.0 <3, 26.x or *"),
        ("1.x.3", "'1.x.3' has a number after a wildcard"),
        ("^1.4-rc.1", "'^1.4-rc.1' names a pre-release, so it needs all of major.minor.patch"),
        ("1" * 300, "a version range has at most 256 characters"),
    ],
)
def test_a_range_that_is_none_says_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"range|comparator|wildcard|pre-release") as caught:
        SemverRange.parse(text)
    assert str(caught.value) == said


@QUICK
@given(version=SEMVER)
def test_a_version_is_in_its_own_range(version: str) -> None:
    parsed = parse_version(version)
    assert parsed is not None
    for operator in ("", "=", ">=", "<=", "^", "~"):
        assert SemverRange.parse(operator + version).allows(parsed)
    for operator in ("<", ">"):
        assert not SemverRange.parse(operator + version).allows(parsed, prereleases=True)


@QUICK
@given(version=SEMVER, bound=SEMVER)
def test_a_bound_splits_the_versions(version: str, bound: str) -> None:
    parsed, split = parse_version(version), parse_version(bound)
    assert parsed is not None
    assert split is not None
    at_least = SemverRange.parse(f">={bound}").allows(parsed, prereleases=True)
    assert at_least == (parsed.precedence >= split.precedence)


@QUICK
@given(text=st.text(max_size=30))
def test_any_text_is_a_range_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert str(SemverRange.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a calendar format has 1 to 64 characters, such as YYYY.MM.DD"),
        ("MM.YYYY", "a calendar format begins with the year: YYYY, YY or 0Y"),
        ("yyyy", "a calendar format begins with the year: YYYY, YY or 0Y"),
        ("YYYYMMDD", "MMDD cannot be told apart; write a separator, or parts of fixed width (0M, 0D)"),
        ("YYYY.DD", "a calendar format with a day needs the month: MM or 0M"),
        ("YYYY.DD.MM", "a calendar format goes from great to small: the month or week cannot follow the day"),
        ("YYYY.MICRO.MICRO", "a calendar format names MICRO twice"),
        ("YYYY.MM.WW", "a calendar format names the month or week twice"),
    ],
)
def test_a_format_that_is_none_says_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"calendar|told apart") as caught:
        CalverFormat.parse(text)
    assert str(caught.value) == said


def test_an_unknown_part_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'Q' in the calendar format 'YYYY\.Q' is neither one of YYYY, YY"):
        CalverFormat.parse("YYYY.Q")


@QUICK
@given(day=st.dates(), other=st.dates())
def test_dates_are_ordered_as_the_calendar_orders_them(day: object, other: object) -> None:
    plain = CalverFormat.parse("YYYY.0M.0D")
    left, right = (plain.read(f"{date:%Y.%m.%d}".rjust(10, "0")) for date in (day, other))
    assert left is not None
    assert right is not None
    assert (left < right) == (day < other)  # type: ignore[operator]


@QUICK
@given(text=st.text(max_size=20))
def test_any_text_is_a_format_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert str(CalverFormat.parse(text)) == text
