"""What a registry says, checked."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import UntrustedAnswer
from fairlead.registry.untrusted import (
    address_kind,
    check_digest,
    digest_of,
    next_link,
    plain_text,
    read_created,
    read_json,
    retry_after,
)

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
QUICK = settings(max_examples=100, deadline=None)
JSON = st.recursive(st.none() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@QUICK
@given(st.text(max_size=400))
def test_plain_text_is_one_short_visible_line(text: str) -> None:
    line = plain_text(text)
    assert len(line) <= 200
    assert line.isprintable()
    assert plain_text(line) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("fix: a\nSigned-off-by: m", "fix: a Signed-off-by: m"),
        ("a\u2028b\u0085c\td", "a b c d"),
        ("\x1b[31mred\x1b[0m\x07", "[31mred[0m"),
        ("\u202eabc\u2066\u200b", "abc"),
        ("Grüße 日本", "Grüße 日本"),
        (None, ""),
        (7, ""),
        ("x" * 201, "x" * 199 + "…"),
    ],
)
def test_plain_text(text: object, line: str) -> None:
    assert plain_text(text) == line


@QUICK
@given(content=st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_ordinary_json_is_read(content: dict[str, object]) -> None:
    assert read_json(json.dumps(content).encode(), "x") == content


@pytest.mark.parametrize(("depth", "fits"), [(63, True), (64, False)])
def test_depth_is_counted(depth: int, fits: bool) -> None:
    body = b'{"a":' + b"[" * depth + b"]" * depth + b',"b":"' + b"[" * 200 + b'"}'
    if fits:
        assert read_json(body, "x")["b"]
    else:
        with pytest.raises(UntrustedAnswer, match="deeper than 64"):
            read_json(body, "x")


@QUICK
@given(st.binary(max_size=100))
def test_a_digest_is_that_of_the_bytes(body: bytes) -> None:
    check_digest(body, digest_of(body), "x")
    with pytest.raises(UntrustedAnswer):
        check_digest(body + b" ", digest_of(body), "x")


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('</v2/a/tags/list?last=b&n=2>; rel="next"', "/v2/a/tags/list?last=b&n=2"),
        ("</x>; rel=next", "/x"),
        ('</a>; rel="prev", </b>; title="t"; rel="next"', "/b"),
        ('</a>; rel="prev"', None),
        ("</a>", None),
        ("", None),
        ('<a b>; rel="next"', None),
        ("<" * 100_000, None),
    ],
)
def test_the_next_page(header: str, target: str | None) -> None:
    assert next_link(header) == target


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("999999999999", 86400.0),
        ("-1", 1.0),
        ("soon", 1.0),
        ("\u0667", 1.0),
        ("Mon, 01 Jun 2026 12:00:30 GMT", 30.0),
        ("Mon, 01 Jun 2020 12:00:30 GMT", 0.0),
    ],
)
def test_retry_after(header: str, seconds: float) -> None:
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "created"),
    [
        ("2026-03-04T05:06:07Z", datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)),
        ("2026-03-04T05:06:07.123456789Z", datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)),
        ("2026-03-04T05:06:07+02:00", datetime(2026, 3, 4, 3, 6, 7, tzinfo=UTC)),
        ("2026-06-02T11:59:59Z", datetime(2026, 6, 2, 11, 59, 59, tzinfo=UTC)),
        ("2026-06-02T12:00:01Z", None),
        ("1980-01-01T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-03-04", None),
        ("2026-03-04T05:06:07", None),
        ("0001-01-01T00:00:00+23:59", None),
        (7, None),
    ],
)
def test_created(text: object, created: datetime | None) -> None:
    assert read_created(text, NOW) == created


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("1.1.1.1", "public"),
        ("10.0.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("0.0.0.0", "private"),
        ("224.0.0.1", "private"),
        ("127.0.0.53", "loopback"),
        ("169.254.169.254", "link-local"),
        ("::1", "loopback"),
        ("fe80::1%eth0", "link-local"),
        ("fd00::1", "private"),
        ("::ffff:169.254.169.254", "link-local"),
        ("2606:4700::1111", "public"),
    ],
)
def test_kinds_of_addresses(address: str, kind: str) -> None:
    assert address_kind(address) == kind
