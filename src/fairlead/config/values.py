"""The small values of fairlead.yaml: durations, patterns, addresses, freeze windows. Each says what would be right."""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from fairlead import versions
from fairlead.errors import InvalidReference
from fairlead.images import ImageReference, is_registry, is_tag

NAME = r"[a-z][a-z0-9_]{0,62}"
ENVIRONMENT = r"[a-z][a-z0-9-]{0,30}"
RUN = r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}"
DURATION = r"(\d+(\.\d+)?)\s*(ms|s|m|h|d|w)"
PLATFORM = r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9_.]+)?"
APP = r"[a-z][a-z0-9-]{1,40}"
BRANCH = r"(?!.*(\.\.|//|\.lock($|/)|[./]$))[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}"
ADDRESS = r"[A-Za-z0-9.:-]+"
DIRECTORY = r"(?!.*/\.\.?(/|$))/[A-Za-z0-9._/-]+"
FILE = r"(?!.*(^|/)\.\.?(/|$))[A-Za-z0-9._-][A-Za-z0-9._/-]{0,199}"
USER = r"[a-z_][a-z0-9_-]{0,31}"
RESERVED = ("ansible_", "fairlead_")  # variables so named mean something to Ansible or to the shipped playbook
LONGEST_PATTERN = 1000
LONGEST_DURATION = timedelta(days=3650)

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MOMENT = rf"({'|'.join(_DAYS)})\s+(\d\d):(\d\d)"
_WINDOW = re.compile(rf"{_MOMENT}\s*-\s*{_MOMENT}\s+(\S+)", re.ASCII)


def invalid(why: str, remedy: str) -> PydanticCustomError:
    """A value that is refused: why, and what would be right."""
    return PydanticCustomError("value", "{why}", {"why": why, "remedy": remedy})


def parse_duration(value: object) -> timedelta:
    """`20s`, `15m`, `1h`, `7d`; also a timedelta as it is."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(DURATION, value.strip(), re.ASCII) if isinstance(value, str) else None
    if not match or len(match[1]) > 9:
        raise invalid("is not a duration", "Write a number and a unit: 20s, 15m, 1h, 7d")
    seconds = float(match[1]) * _SECONDS[match[3]]
    if seconds > LONGEST_DURATION.total_seconds():
        raise invalid("is longer than ten years", "Write a number and a unit: 20s, 15m, 1h, 7d")
    return timedelta(seconds=seconds)


def print_duration(value: timedelta) -> str:
    """The shortest form that `parse_duration` reads back: `90s` is `90s`, `3600s` is `1h`."""
    seconds = value.total_seconds()
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:g}s"


def text_of(grammar: str, what: str, example: str) -> BeforeValidator:
    """A validator for text that must match a grammar as a whole."""
    pattern = re.compile(grammar, re.ASCII)

    def check(value: object) -> object:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise invalid(f"is not {what}", f"Write something like {example}")
        return value

    return BeforeValidator(check)


def parse_variable(value: object) -> object:
    """A name of an Ansible variable that is the operator's own: neither Ansible's nor the playbook's."""
    if isinstance(value, str) and (value == "vm_ip" or value.startswith(RESERVED)):
        raise invalid("is a variable of Ansible's or the playbook's own", "Write another name, such as app_image")
    return value


def parse_pattern(value: object) -> str:
    """A regular expression for RE2, which cannot be made to run for ever by a hostile tag."""
    import re2  # noqa: PLC0415 - 20 ms, and only needed where there is a pattern

    if not isinstance(value, str) or len(value) > LONGEST_PATTERN:
        raise invalid("is not a pattern", f"Write a regular expression of at most {LONGEST_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(value, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise invalid(f"is not a pattern for RE2: {reason}", "See https://github.com/google/re2/wiki/Syntax") from None
    return value


def parse_numeric_pattern(value: object) -> str:
    """A pattern with exactly one named group, whose text is the number that orders tags."""
    import re2  # noqa: PLC0415

    pattern = parse_pattern(value)
    if len(re2.compile(pattern).groupindex) != 1:
        raise invalid("has no single named group", r"Name the number: '^build-(?P<n>\d+)$'")
    return pattern


def parse_repository(value: object) -> str:
    """An image's name without tag and digest."""
    try:
        reference = ImageReference.parse(value if isinstance(value, str) else "")
    except InvalidReference as error:
        raise invalid(f"is not an image: {error.why}", "Write registry.example.com/team/app") from None
    if reference.tag or reference.digest:
        raise invalid("carries a tag or a digest", f"Write {reference.name}; the pin is kept in images.yml")
    return reference.name


def parse_tag(value: object) -> str:
    """A tag, also where YAML has read a number (`digest: 17`)."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not is_tag(text):
        raise invalid("is not a tag", 'Write the moving tag to follow, in quotes: "17"')
    return text


def parse_registry(value: object) -> str:
    """`host` or `host:port`."""
    if not isinstance(value, str) or not is_registry(value):
        raise invalid("is not a registry", "Write host or host:port, without a scheme: registry.example.com:5000")
    return value


def parse_semver_range(value: object) -> str:
    """A range of versions; YAML reads `1.2` as a number, which is taken as it was most likely meant."""
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise invalid("is not a version range", 'Write a range in quotes: ">=1.0 <3", "^1.4", "26.x"')
    try:
        versions.SemverRange.parse(text)
    except ValueError as error:
        raise invalid(f"is not a version range: {error}", 'Write a range: ">=1.0 <3", "^1.4", "26.x"') from None
    return text


def parse_calver_format(value: object) -> str:
    """A calendar version format such as YYYY.MM.DD."""
    try:
        versions.CalverFormat.parse(value if isinstance(value, str) else "")
    except ValueError as error:
        raise invalid(f"is not a CalVer format: {error}", "Write a format: YYYY.MM.DD, YYYY.0M.MICRO") from None
    return str(value)


def parse_git_url(value: object) -> str:
    """An address that git may use: https, ssh or a path. No other transport runs (`ext::` would run a program)."""
    if isinstance(value, str) and re.match(r"[a-z]+://[^/@]*:[^/@]*@", value):
        raise invalid("holds a password", "Write the address without it, and export FAIRLEAD_CONTROL_GIT_TOKEN=…")
    if isinstance(value, str) and re.fullmatch(
        r"(https|ssh|file)://[^\s-]\S*|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:(?!-)\S+|/\S+", value, re.ASCII
    ):
        return value
    raise invalid("is not a git address", "Write https://…, ssh://…, user@host:path or an absolute path")


@dataclass(frozen=True, slots=True)
class FreezeWindow:
    """A time of the week in which nothing is released: from `start` to `end` in `zone`, minutes since Monday 00:00."""

    text: str
    start: int
    end: int
    zone: ZoneInfo

    @classmethod
    def parse(cls, value: object) -> "FreezeWindow":
        """Read `Fri 16:00 - Mon 08:00 Europe/Rome`."""
        if isinstance(value, FreezeWindow):
            return value
        match = _WINDOW.fullmatch(value.strip()) if isinstance(value, str) else None
        if not match:
            raise invalid(
                "is not a freeze window", "Write day and time twice and a zone: Fri 16:00 - Mon 08:00 Europe/Rome"
            )
        start, end = (_minute_of_week(match[at], match[at + 1], match[at + 2]) for at in (1, 4))
        if start == end:
            raise invalid("ends when it begins", "Write two moments: Fri 16:00 - Mon 08:00 Europe/Rome")
        return cls(match[0], start, end, _zone(match[7]))

    def holds(self, now: datetime) -> bool:
        """Whether the window is open (nothing may be released) at `now`, an aware time."""
        local = now.astimezone(self.zone)
        minute = local.weekday() * 1440 + local.hour * 60 + local.minute
        return self.start <= minute < self.end if self.start <= self.end else minute >= self.start or minute < self.end


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):  # ValueError: a name that leaves the list's directory
        raise invalid(
            f"names an unknown time zone {name!r}", "Write a zone of the IANA list: Europe/Rome, UTC"
        ) from None


def _minute_of_week(day: str, hour: str, minute: str) -> int:
    try:
        moment = time(int(hour), int(minute))
    except ValueError:
        raise invalid("has a time outside 00:00 to 23:59", "Write Fri 16:00 - Mon 08:00 Europe/Rome") from None
    return _DAYS.index(day) * 1440 + moment.hour * 60 + moment.minute


def _schema(grammar: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{grammar}$"})


def _text_schema(**extra: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **extra})


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(print_duration, return_type=str),
    _schema(DURATION),
]
AppName = Annotated[str, text_of(APP, "a name of an application", "shop"), _schema(APP)]
BranchName = Annotated[str, text_of(BRANCH, "a name of a branch", "main"), _schema(BRANCH)]
Address = Annotated[str, text_of(ADDRESS, "an address", "192.0.2.10"), _schema(ADDRESS)]
FilePath = Annotated[str, text_of(FILE, "a path in the deployment repository", "certs/site-ca.pem"), _schema(FILE)]
HttpUrl = Annotated[str, text_of(r"https?://.+", "an HTTP address", "http://{vm_ip}/"), _schema("https?://.+")]
Name = Annotated[str, text_of(NAME, "a name of an Ansible variable", "app_image"), _schema(NAME)]
VariableName = Annotated[Name, BeforeValidator(parse_variable)]
EnvironmentName = Annotated[str, text_of(ENVIRONMENT, "a name of an environment", "staging"), _schema(ENVIRONMENT)]
Platform = Annotated[str, text_of(PLATFORM, "a platform", "linux/amd64"), _schema(PLATFORM)]
Directory = Annotated[str, text_of(DIRECTORY, "an absolute path", "/opt/app"), _schema(DIRECTORY)]
UserName = Annotated[str, text_of(USER, "a user name", "deploy"), _schema(USER)]
Pattern = Annotated[str, BeforeValidator(parse_pattern), _text_schema(format="regex")]
NumericPattern = Annotated[str, BeforeValidator(parse_numeric_pattern), _text_schema(format="regex")]
RepositoryName = Annotated[str, BeforeValidator(parse_repository), _text_schema()]
MovingTag = Annotated[str, BeforeValidator(parse_tag), WithJsonSchema({"type": ["string", "integer"]})]
RegistryName = Annotated[str, BeforeValidator(parse_registry), _text_schema()]
SemverRange = Annotated[str, BeforeValidator(parse_semver_range), WithJsonSchema({"type": ["string", "number"]})]
CalverFormat = Annotated[str, BeforeValidator(parse_calver_format), _text_schema()]
GitUrl = Annotated[str, BeforeValidator(parse_git_url), _text_schema()]
Freeze = Annotated[
    FreezeWindow,
    BeforeValidator(FreezeWindow.parse),
    PlainSerializer(lambda window: window.text, return_type=str),
    _text_schema(),
]
