"""The http check against a real server: what is right passes, what is wrong says what came, nothing is unbounded."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from fairlead.errors import InvalidSetting
from fairlead.process import Mask
from fairlead.verify.http import LARGEST_BODY, HttpCheck
from tests.verify.conftest import Answer, Certificate, make_certificate, serving


def test_the_right_answer_passes() -> None:
    body = json.dumps({"version": "1.1.0", "build": {"number": 7}, "ready": True}).encode()
    with serving(lambda _: Answer(body=body, headers={"X-App": "shop"})) as server:
        check = HttpCheck(
            f"{server.url}/api/version",
            fields={"version": "1.1.0", "build.number": 7, "ready": True},
            contains="version",
            headers={"x-app": "shop"},
        )
        outcome = check.attempt()
    assert outcome.passed
    assert outcome.came == "200"
    assert check.name == f"http {server.url}/api/version"
    assert server.asked == ["/api/version"]


@pytest.mark.parametrize(
    ("settings", "answer", "expected", "came"),
    [
        ({}, Answer(503, b"starting"), "200", "503: starting"),
        ({"status": 204}, Answer(200, b""), "204", "200: an empty body"),
        (
            {"fields": {"version": "1.1.0"}},
            Answer(body=b'{"version": "1.0.0"}'),
            '200, version="1.1.0"',
            'version="1.0.0"',
        ),
        ({"fields": {"version": "1.1.0"}}, Answer(body=b"{}"), '200, version="1.1.0"', "no field version: {}"),
        ({"fields": {"version": "1.1.0"}}, Answer(body=b"<html>"), '200, version="1.1.0"', "no JSON: <html>"),
        ({"fields": {"a": 1}}, Answer(body=b'{"a": true}'), "200, a=1", "a=true"),
        ({"fields": {"a": "1"}}, Answer(body=b'{"a": 1}'), '200, a="1"', "a=1"),
        ({"fields": {"a": 1}}, Answer(body=b"[" * 200_000), "200, a=1", "no JSON: ["),
        ({"contains": "hello"}, Answer(body=b"bye"), "200, containing 'hello'", "without 'hello': bye"),
        ({"headers": {"X-App": "a"}}, Answer(headers={"X-App": "b"}), "200, X-App: a", "X-App: b"),
        ({"headers": {"X-App": "a"}}, Answer(), "200, X-App: a", "X-App: none"),
        ({}, Answer(500, b"\x1b[31mred\x1b[0m\r\nSigned-off-by: x"), "200", "500: [31mred [0m Signed-off-by: x"),
    ],
)
def test_a_wrong_answer_says_what_came(settings: dict[str, object], answer: Answer, expected: str, came: str) -> None:
    with serving(lambda _: answer) as server:
        outcome = HttpCheck(server.url, **settings).attempt()  # type: ignore[arg-type]
    assert not outcome.passed
    assert not outcome.fault
    assert outcome.expected == expected
    assert outcome.came.startswith(came)
    assert len(outcome.came) <= 500


def test_a_200_with_the_old_version_fails() -> None:
    """Case 63 of the threat list."""
    with serving(lambda _: Answer(body=b'{"version": "1.0.0"}')) as server:
        assert not HttpCheck(server.url, fields={"version": "1.1.0"}).attempt().passed


def test_an_endless_body_is_bounded() -> None:
    """Case 66. A check of the status alone does not read the body at all."""
    with serving(lambda _: Answer(body=b"x" * 65536, endless=True)) as server:
        outcome = HttpCheck(server.url, contains="y").attempt()
        assert outcome.came == f"200 with a body of more than {LARGEST_BODY // 1024} KiB"
        assert HttpCheck(server.url).attempt().passed


def test_an_answer_that_trickles_ends_at_the_time_limit() -> None:
    """Each byte comes in time, the whole never does: the limit is for the exchange."""
    with serving(lambda _: Answer(body=b"x", endless=True)) as server:
        outcome = HttpCheck(server.url, contains="y", timeout=0.3).attempt()
    assert outcome.came == "no whole answer within 0.3 s"


def test_a_compressed_bomb_is_never_unpacked() -> None:
    headers = {"Content-Encoding": "gzip"}
    with serving(lambda _: Answer(body=b"\x1f\x8b not really", headers=headers)) as server:
        assert not HttpCheck(server.url, contains="x" * 50).attempt().passed


def test_a_redirect_on_the_same_host_is_followed() -> None:
    def answer(path: str) -> Answer:
        return Answer(302, b"", {"Location": "/login"}) if path == "/" else Answer(body=b"please log in")

    with serving(answer) as server:
        assert HttpCheck(f"{server.url}/", contains="log in").attempt().passed
        assert HttpCheck(f"{server.url}/", status=302).attempt().passed
    assert server.asked == ["/", "/login", "/"]


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest", "http://localhost/", "file:///etc/passwd", "//x"])
def test_a_redirect_to_another_host_is_not_followed(target: str) -> None:
    """Case 66."""
    with serving(lambda _: Answer(302, b"", {"Location": target})) as server:
        outcome = HttpCheck(f"{server.url}/").attempt()
    assert re.fullmatch(r"302 to .*, which is another host and was not followed", outcome.came)
    assert server.asked == ["/"]


def test_a_circle_of_redirects_ends() -> None:
    with serving(lambda _: Answer(302, b"", {"Location": "/"})) as server:
        assert HttpCheck(server.url).attempt().came.startswith("more than 5 redirects")
    assert len(server.asked) == 6


def test_a_redirect_from_https_to_http_is_not_followed(certificate: Certificate) -> None:
    with serving(lambda _: Answer(302, b"", {"Location": "http://127.0.0.1/"}), certificate.context) as server:
        outcome = HttpCheck(server.url, ca=certificate.pem).attempt()
    assert "from https" in outcome.came


def test_nobody_listens() -> None:
    with serving(lambda _: Answer()) as server:
        url = server.url
    outcome = HttpCheck(url).attempt()
    assert not outcome.passed
    assert not outcome.fault, "a machine that does not answer is what a check is there to see"
    assert "onnect" in outcome.came


def test_tls_is_verified_and_its_end_is_told(certificate: Certificate) -> None:
    with serving(lambda _: Answer(), certificate.context) as server:
        trusted = HttpCheck(server.url, ca=certificate.pem).attempt()
        unknown = HttpCheck(server.url).attempt()
        other_name = HttpCheck(server.url.replace("127.0.0.1", "localhost"), ca=certificate.pem).attempt()
    assert trusted.passed
    assert re.fullmatch(r"200; certificate valid until \w{3} .* GMT", trusted.came)
    assert unknown.came == "a TLS certificate that is not accepted: self-signed certificate"
    assert "mismatch" in other_name.came
    assert server.asked == ["/"]


def test_an_expired_certificate_fails(tmp_path: Path) -> None:
    """Case 66."""
    expired = make_certificate(tmp_path, "expired", timedelta(days=-1))
    with serving(lambda _: Answer(), expired.context) as server:
        outcome = HttpCheck(server.url, ca=expired.pem).attempt()
    assert outcome.came == "a TLS certificate that is not accepted: certificate has expired"


def test_plain_http_on_a_tls_port_is_told() -> None:
    with serving(lambda _: Answer()) as server:
        outcome = HttpCheck(server.url.replace("http:", "https:")).attempt()
    assert outcome.came.startswith("a TLS failure")


def test_a_ca_file_that_is_none_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(InvalidSetting, match=name):
            HttpCheck("https://127.0.0.1/", ca=tmp_path / name).attempt()


def test_a_secret_in_an_answer_is_masked() -> None:
    with serving(lambda _: Answer(500, b"password hunter2 refused")) as server:
        assert HttpCheck(server.url, mask=Mask(["hunter2"])).attempt().came == "500: password *** refused"
