"""What a registry says, checked before it is used: bounded JSON, digests over bytes, one-line text, next addresses.

Bounds: research of what went wrong elsewhere (gzip bombs, nesting that exhausts the stack, `realm` and `Link` that
lead credentials and requests to other hosts: CVE-2020-15157, CVE-2024-3727, CVE-2026-33540).
"""

import hashlib
import ipaddress
import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from fairlead.errors import UntrustedAnswer
from fairlead.images import is_digest

DEEPEST_JSON = 64
LONGEST_TEXT = 200
EARLIEST_CREATED = datetime(2000, 1, 1, tzinfo=UTC)  # before: a reproducible build's constant, not a time
LONGEST_RETRY_AFTER = 24 * 3600.0

_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])', re.DOTALL)
_LINK = re.compile(r"<(?P<target>[^<>\s]{1,4096})>(?P<parameters>[^,<]*)", re.ASCII)
_NEXT = re.compile(r";\s*rel\s*=\s*(\"next\"|next)\s*(;|$)", re.ASCII | re.IGNORECASE)
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

AddressKind = Literal["public", "private", "loopback", "link-local"]


def read_json(body: bytes, what: str) -> dict[str, Any]:
    """A JSON object of bounded depth. what: names the answer for messages. Raises UntrustedAnswer."""
    if _too_deep(body):
        raise UntrustedAnswer(f"{what} nests deeper than {DEEPEST_JSON} levels", remedy=_ASK_THE_OPERATOR)
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        reason = plain_text(str(error))
        raise UntrustedAnswer(f"{what} is not JSON", why=reason, remedy=_ASK_THE_OPERATOR) from None
    if not isinstance(value, dict):
        raise UntrustedAnswer(f"{what} is not a JSON object", remedy=_ASK_THE_OPERATOR)
    return value


_ASK_THE_OPERATOR = "Check that the address is a registry; a proxy's error page looks like this too"


def _too_deep(body: bytes) -> bool:
    """Checked on the bytes: a parser that recurses is not a safe way to find out."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST_JSON:
        return False
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(body):
        if match[1]:
            depth += 1
            if depth > DEEPEST_JSON:
                return True
        elif match[2]:
            depth -= 1
    return False


def digest_of(body: bytes) -> str:
    """The sha256 digest of bytes, as registries write it."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def check_digest(body: bytes, expected: str, what: str) -> None:
    """Raises UntrustedAnswer unless the digest of the body is the expected one."""
    actual = digest_of(body)
    if actual != expected:
        raise UntrustedAnswer(
            f"{what} has the digest {actual}",
            why=f"{expected} was announced: the content was changed on its way or in the registry",
            remedy="Do not deploy it; push the image again and look at the registry's storage",
        )


def digest_in(mapping: Any, what: str) -> str:
    """The digest of a descriptor (OCI image specification, descriptor.md). Raises UntrustedAnswer."""
    digest = mapping.get("digest") if isinstance(mapping, dict) else None
    if not isinstance(digest, str) or not is_digest(digest):
        raise UntrustedAnswer(f"{what} names no sha256 digest", why=f"It says {plain_text(str(digest))!r}")
    return digest


def plain_text(text: object, longest: int = LONGEST_TEXT) -> str:
    """One line of visible text: no control characters, escapes, bidirectional overrides or zero-width ones.

    White space of any kind becomes one space, so that a newline cannot forge a git trailer.
    """
    if not isinstance(text, str):
        return ""
    cut = text[: longest * 8]
    spaced = (" " if character.isspace() else character for character in cut)
    visible = "".join(c for c in spaced if c == " " or unicodedata.category(c)[0] != "C")
    line = " ".join(visible.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def next_link(header: str) -> str | None:
    """The target of `Link: <…>; rel="next"` (RFC 8288), or None."""
    for match in _LINK.finditer(header[:8192]):
        if _NEXT.search(match["parameters"]):
            return match["target"]
    return None


def retry_after(header: str, now: datetime) -> float:
    """Seconds that `Retry-After` asks for (RFC 9110, 10.2.3: seconds or a date): 0 to one day, 1 if unreadable."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            seconds = (parsedate_to_datetime(text).astimezone(UTC) - now).total_seconds()
        except ValueError:
            seconds = 1.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def read_created(text: object, now: datetime) -> datetime | None:
    """An image's `created` (RFC 3339). None where it is no time that a push can have had.

    Before 2000 it is a reproducible build's constant; more than a day ahead of `now` it is wrong or a lie.
    """
    if not isinstance(text, str) or not _TIMESTAMP.fullmatch(text):
        return None
    try:
        created = datetime.fromisoformat(_microseconds(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return created if EARLIEST_CREATED <= created <= now + timedelta(days=1) else None


def _microseconds(text: str) -> str:
    """datetime reads six digits of a second; Docker writes nine."""
    return re.sub(r"(\.\d{6})\d+", r"\1", text.upper())


def address_kind(address: str) -> AddressKind:
    """What kind of place an IP address is. Whatever is not reachable by everybody counts as private."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    if ip.is_link_local:
        return "link-local"
    if ip.is_loopback:
        return "loopback"
    return "public" if ip.is_global and not ip.is_multicast else "private"
