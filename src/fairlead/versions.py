"""Versions in tags: semantic versions with ranges, and calendar versions. Pure, ASCII only, bounded in length.

Both orders are total: two tags that mean the same version are told apart by how they are written, so that the same
tags always elect the same tag. docs/reference/tag-policies.md has the orders as tables, which are tests as well.
"""

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

LONGEST_TAG = 128
LONGEST_RANGE = 256
LONGEST_FORMAT = 64
# A tag of one number is a major version (`postgres:17`), but 20261123 is a date and 1048576 a build.
LARGEST_LONE_NUMBER = 99_999

_NUMBER = r"0|[1-9][0-9]{0,17}"
_PRERELEASE = rf"(?:(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)"
_VERSION = re.compile(
    rf"(?P<v>v?)(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER})(?:\.(?P<patch>{_NUMBER}))?)?(?:-(?P<pre>{_PRERELEASE}))?",
    re.ASCII,
)

Identifier = tuple[int, int, str]
Precedence = tuple[int, int, int, int, tuple[Identifier, ...]]


@dataclass(frozen=True, slots=True)
class Version:
    """A semantic version as a tag writes it. parts: how many of major, minor and patch were written (1 to 3)."""

    major: int
    minor: int
    patch: int
    prerelease: str
    parts: int
    text: str

    @property
    def release(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        return self.major, self.minor, self.patch

    @property
    def precedence(self) -> Precedence:
        """SemVer 2.0.0, section 11: a pre-release lies below its release, identifiers count as numbers or as ASCII."""
        identifiers = tuple(_identifiers(self.prerelease))
        return (*self.release, 0 if identifiers else 1, identifiers)

    @property
    def order(self) -> tuple[Precedence, int, str]:
        """The total order: precedence, then the more exact tag (1.4.0 over 1.4 over 1), then the text itself."""
        return self.precedence, self.parts, self.text


def _identifiers(prerelease: str) -> Iterator[Identifier]:
    for word in prerelease.split(".") if prerelease else ():
        yield (0, int(word), "") if word.isdigit() else (1, 0, word)


def parse_version(tag: str) -> Version | None:
    """Read a tag as a semantic version: `1.4.2`, `v1.4.2-rc.1`, and as tags do `1.4` or `17`. None: it is none."""
    match = _VERSION.fullmatch(tag) if len(tag) <= LONGEST_TAG else None
    if match is None:
        return None
    written = [int(number) for number in match.group("major", "minor", "patch") if number is not None]
    if len(written) == 1 and written[0] > LARGEST_LONE_NUMBER:
        return None
    major, minor, patch = (*written, 0, 0)[:3]
    return Version(major, minor, patch, match["pre"] or "", len(written), tag)


@dataclass(frozen=True, slots=True)
class _Bound:
    """One side of a comparator: `low` (at least) or not (at most), with or without the version itself."""

    low: bool
    inclusive: bool
    version: Version

    def holds(self, version: Version) -> bool:
        if self.low:
            mine, other = self.version.precedence, version.precedence
        else:
            # `<2.0.0` keeps 2.0.0-rc.1 out as well: nobody who writes it means the next major's pre-releases.
            if not self.inclusive and not self.version.prerelease and version.release == self.version.release:
                return False
            mine, other = version.precedence, self.version.precedence
        return mine <= other if self.inclusive else mine < other


_WORD = re.compile(r"(?:[<>=^~]+\s*)?[^\s,]+", re.ASCII)
_COMPARATOR = re.compile(
    rf"(?P<operator>\^|~>?|>=|<=|>|<|=)?\s*v?(?P<major>{_NUMBER}|[xX*])"
    rf"(?:\.(?P<minor>{_NUMBER}|[xX*])(?:\.(?P<patch>{_NUMBER}|[xX*]))?)?(?:-(?P<pre>{_PRERELEASE}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class SemverRange:
    """A range of versions as npm writes them: `^1.4`, `~1.4.2`, `>=1.0 <3`, `26.x`, `*`, `^1 || ^3`."""

    text: str
    _alternatives: tuple[tuple[_Bound, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a range. Comparators beside each other must all hold, `||` separates alternatives.

        Raises ValueError, which names the part that is wrong.
        """
        if len(text) > LONGEST_RANGE:
            raise ValueError(f"a version range has at most {LONGEST_RANGE} characters")
        return cls(text, tuple(tuple(_bounds(alternative)) for alternative in text.split("||")))

    def allows(self, version: Version, *, prereleases: bool = False) -> bool:
        """Whether the version lies in the range.

        A pre-release does so only when asked for: by `prereleases`, or because the range names a pre-release of
        the same major.minor.patch (npm's rule: `>=1.5.0-rc.1` admits 1.5.0-rc.2 but not 1.6.0-beta).
        """
        return any(_admits(bounds, version, prereleases) for bounds in self._alternatives)

    def __str__(self) -> str:
        return self.text


def _admits(bounds: tuple[_Bound, ...], version: Version, prereleases: bool) -> bool:
    if version.prerelease and not prereleases:
        named = (bound.version.release for bound in bounds if bound.version.prerelease)
        if version.release not in named:
            return False
    return all(bound.holds(version) for bound in bounds)


def _bounds(alternative: str) -> Iterator[_Bound]:
    """The bounds of one alternative, `>=1.0 <3` or `>= 1.0, < 3`."""
    words = _WORD.findall(alternative)
    if not words:
        raise ValueError("a version range is empty; write * for any version")
    for word in words:
        match = _COMPARATOR.fullmatch(word)
        if match is None:
            raise ValueError(f"{word!r} is no version comparator; write ^1.4, ~1.4.2, >=1.0 <3, 26.x or *")
        yield from _comparator(match)


def _comparator(match: re.Match[str]) -> Iterator[_Bound]:
    written = []
    for number in match.group("major", "minor", "patch"):
        if number is None or number in "xX*":
            break
        written.append(int(number))
    prerelease = match["pre"] or ""
    if prerelease and len(written) < 3:
        raise ValueError(f"{match[0]!r} names a pre-release, so it needs all of major.minor.patch")
    if any(number and number not in "xX*" for number in match.group("major", "minor", "patch")[len(written) :]):
        raise ValueError(f"{match[0]!r} has a number after a wildcard")
    if written:
        yield from _OPERATORS[match["operator"] or "="](written, _version(written, prerelease))


def _version(numbers: list[int], prerelease: str = "") -> Version:
    major, minor, patch = (*numbers, 0, 0)[:3]
    return Version(major, minor, patch, prerelease, 3, "")


def _after(numbers: list[int], kept: int) -> Version:
    """The first version that differs in its first `kept` numbers: `_after([1, 4, 2], 2)` is 1.5.0."""
    return _version([*numbers[: kept - 1], numbers[kept - 1] + 1])


def _caret(numbers: list[int], version: Version) -> Iterator[_Bound]:
    """`^1.4` is below 2, `^0.4` below 0.5, `^0.0.3` below 0.0.4: the first number that is not 0 stays."""
    kept = next((at for at, number in enumerate(numbers, start=1) if number), len(numbers))
    yield _Bound(True, True, version)
    yield _Bound(False, False, _after(numbers, kept))


def _tilde(numbers: list[int], version: Version) -> Iterator[_Bound]:
    """`~1.4.2` and `~1.4` are below 1.5, `~1` below 2."""
    yield _Bound(True, True, version)
    yield _Bound(False, False, _after(numbers, min(len(numbers), 2)))


def _equal(numbers: list[int], version: Version) -> Iterator[_Bound]:
    """`1.4.2` is itself, `1.4` all of 1.4."""
    yield _Bound(True, True, version)
    yield from _at_most(numbers, version)


def _at_most(numbers: list[int], version: Version) -> Iterator[_Bound]:
    yield _Bound(False, True, version) if len(numbers) == 3 else _Bound(False, False, _after(numbers, len(numbers)))


def _above(numbers: list[int], version: Version) -> Iterator[_Bound]:
    yield _Bound(True, False, version) if len(numbers) == 3 else _Bound(True, True, _after(numbers, len(numbers)))


def _at_least(_numbers: list[int], version: Version) -> Iterator[_Bound]:
    yield _Bound(True, True, version)


def _below(_numbers: list[int], version: Version) -> Iterator[_Bound]:
    yield _Bound(False, False, version)


_OPERATORS = {
    "^": _caret,
    "~": _tilde,
    "~>": _tilde,
    "=": _equal,
    ">=": _at_least,
    ">": _above,
    "<=": _at_most,
    "<": _below,
}


# Calendar versions, https://calver.org: the names of the parts are its scheme's.
# name: (pattern, rank of significance, whether the width is fixed)
_PARTS = {
    "YYYY": (r"[0-9]{4}", 0, True),
    "YY": (r"0|[1-9][0-9]?", 0, False),
    "0Y": (r"[0-9]{2}", 0, True),
    "MM": (r"[1-9]|1[0-2]", 1, False),
    "0M": (r"0[1-9]|1[0-2]", 1, True),
    "WW": (r"[1-9]|[1-4][0-9]|5[0-3]", 1, False),
    "0W": (r"0[1-9]|[1-4][0-9]|5[0-3]", 1, True),
    "DD": (r"[1-9]|[12][0-9]|3[01]", 2, False),
    "0D": (r"0[1-9]|[12][0-9]|3[01]", 2, True),
    "MINOR": (_NUMBER, 3, False),
    "MICRO": (_NUMBER, 4, False),
    "MODIFIER": (r"[0-9a-zA-Z][0-9a-zA-Z._-]*", 5, False),
}
_RANKS = ("the year", "the month or week", "the day", "MINOR", "MICRO", "MODIFIER")
_FORMAT = re.compile(r"(?P<part>YYYY|YY|0Y|MM|0M|WW|0W|DD|0D|MINOR|MICRO|MODIFIER)|(?P<literal>[a-z._-]+)", re.ASCII)

# Where a modifier lies: below the plain version, or above it. A bare number is a rebuild of that day, so above
# (SemVer would read `2026.11.23-3` as a pre-release, PEP 440 as a post-release: this is why CalVer is its own policy).
_MODIFIER = re.compile(r"(?P<word>[a-z]*)[._-]?(?P<number>[0-9]{1,18})?", re.ASCII)
_PLAIN = 0
_STAGES = {
    **dict.fromkeys(("dev", "snapshot", "nightly"), -5),
    **dict.fromkeys(("a", "alpha"), -4),
    **dict.fromkeys(("b", "beta"), -3),
    **dict.fromkeys(("pre", "preview"), -2),
    **dict.fromkeys(("c", "rc"), -1),
    **dict.fromkeys(("", "p", "patch", "post", "r", "rev", "hotfix"), 1),
}

CalverOrder = tuple[tuple[int, ...], tuple[int, int], str]


@dataclass(frozen=True, slots=True)
class CalverFormat:
    """A named format of calendar versions: `YYYY.MM.DD`, `YYYY.0M.MICRO`, `YY.0W-MODIFIER`, `release-YYYY0M0D`."""

    text: str
    _pattern: re.Pattern[str]
    _names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a format: parts from the greatest to the least, and literals of a-z . _ - between them.

        `MODIFIER` comes last and may be missing from a tag, together with the separator before it.
        Raises ValueError, which says what is wrong and what would be right.
        """
        if not text or len(text) > LONGEST_FORMAT:
            raise ValueError(f"a calendar format has 1 to {LONGEST_FORMAT} characters, such as YYYY.MM.DD")
        pieces = list(_pieces(text))
        names = tuple(part for part, _ in pieces if part)
        _check_parts(names)
        _check_neighbours(pieces)
        return cls(text, re.compile(_calver_pattern(pieces), re.ASCII), names)

    def read(self, tag: str) -> CalverOrder | None:
        """What the tag's version compares by: its numbers, its modifier, its text. None: it is not of this format."""
        match = self._pattern.fullmatch(tag) if len(tag) <= LONGEST_TAG else None
        if match is None:
            return None
        modifier = _modifier(match["part_MODIFIER"]) if "MODIFIER" in self._names else (_PLAIN, 0)
        numbers = {name: int(match[f"part_{name}"]) for name in self._names if name != "MODIFIER"}
        if modifier is None or not _is_date(numbers):
            return None
        return tuple(numbers.values()), modifier, tag

    def __str__(self) -> str:
        return self.text


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """The format as (part, "") and ("", literal)."""
    position = 0
    while position < len(text):
        match = _FORMAT.match(text, position)
        if match is None:
            raise ValueError(
                f"{text[position:]!r} in the calendar format {text!r} is neither one of {', '.join(_PARTS)} "
                "nor a literal of a-z . _ -"
            )
        yield match["part"] or "", match["literal"] or ""
        position = match.end()


def _check_parts(names: tuple[str, ...]) -> None:
    ranks = [_PARTS[name][1] for name in names]
    if not ranks or ranks[0] != 0:
        raise ValueError("a calendar format begins with the year: YYYY, YY or 0Y")
    for before, after in pairwise(ranks):
        if before == after:
            raise ValueError(f"a calendar format names {_RANKS[after]} twice")
        if before > after:
            order = f"{_RANKS[after]} cannot follow {_RANKS[before]}"
            raise ValueError(f"a calendar format goes from great to small: {order}")
    if 2 in ranks and not {"MM", "0M"} & set(names):
        raise ValueError("a calendar format with a day needs the month: MM or 0M")


def _check_neighbours(pieces: list[tuple[str, str]]) -> None:
    """Without a separator 2026111 would be both January the 11th and November the 1st."""
    for (left, _), (right, _) in pairwise(pieces):
        if left and right and not _PARTS[left][2]:
            raise ValueError(f"{left}{right} cannot be told apart; write a separator, or parts of fixed width (0M, 0D)")


def _calver_pattern(pieces: list[tuple[str, str]]) -> str:
    pattern = ""
    for at, (part, literal) in enumerate(pieces):
        group = f"(?P<part_{part}>{_PARTS[part][0]})" if part else re.escape(literal)
        if part == "MODIFIER":
            separator = re.escape(pieces[at - 1][1])
            pattern, group = pattern.removesuffix(separator), f"(?:{separator}{group})?"
        pattern += group
    return pattern


def _modifier(text: str | None) -> tuple[int, int] | None:
    """Stage and number: `rc.2` is (-1, 2), a missing modifier (0, 0), `3` is (1, 3); None for other words."""
    if text is None:
        return _PLAIN, 0
    match = _MODIFIER.fullmatch(text.lower())
    if match is None or match["word"] not in _STAGES:
        return None
    return _STAGES[match["word"]], int(match["number"] or 0)


def _is_date(numbers: dict[str, int]) -> bool:
    day = next((numbers[name] for name in ("DD", "0D") if name in numbers), 1)
    month = next((numbers[name] for name in ("MM", "0M") if name in numbers), 1)
    year = next(
        numbers[name] if name == "YYYY" else 2000 + numbers[name] for name in ("YYYY", "YY", "0Y") if name in numbers
    )
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True
