"""Ways in: what a registry asks for, and the logins that Docker keeps."""

import base64
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead import process
from fairlead.errors import ConfigurationError, ProgramMissing, UntrustedAnswer
from fairlead.registry.auth import (
    Challenge,
    Credentials,
    credentials_for,
    helper_argv,
    parse_challenges,
    read_token,
)

HOST = "registry.example.com:5000"
Run = Callable[..., process.Completed]


def encoded(login: str) -> dict[str, str]:
    return {"auth": base64.b64encode(login.encode()).decode()}


def shown(credentials: Credentials | None) -> tuple[str, str, bool] | None:
    return (credentials.username, credentials.password.reveal(), credentials.identity) if credentials else None


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ("Basic", [Challenge("basic", {})]),
        ('basic REALM="x"', [Challenge("basic", {"realm": "x"})]),
        (
            'Negotiate, Basic realm="a, b\\"c"',
            [Challenge("negotiate", {}), Challenge("basic", {"realm": 'a, b"c'})],
        ),
        (
            'Basic realm="x", Bearer realm=https://a/b',
            [Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "https://a/b"})],
        ),
        ('Bearer realm="one",realm="two"', [Challenge("bearer", {"realm": "one"})]),
        ("", []),
        (",,;;", []),
    ],
)
def test_challenges_are_read(header: str, challenges: list[Challenge]) -> None:
    assert list(parse_challenges(header)) == challenges


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_header_is_read_without_an_error(header: str) -> None:
    assert all(challenge.scheme == challenge.scheme.lower() for challenge in parse_challenges(header))


def test_a_long_header_is_cut() -> None:
    assert len(parse_challenges("Basic " + 'a="b",' * 1_000_000)[0].parameters) == 1


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, None),
        ({"auths": None, "credHelpers": []}, None),
        ({"auths": {HOST: {}}}, None),
        ({"auths": {"other.example": encoded("u:p")}}, None),
        ({"auths": {HOST: encoded("robot:open:sesame")}}, ("robot", "open:sesame", False)),
        ({"auths": {f"https://{HOST}": encoded("robot:sesame")}}, ("robot", "sesame", False)),
        ({"auths": {HOST: {"username": "robot", "password": "sesame"}}}, ("robot", "sesame", False)),
        ({"auths": {HOST: {"identitytoken": "refresh"}}}, ("<token>", "refresh", True)),
    ],
)
def test_dockers_logins_are_found(config: dict[str, Any], found: object) -> None:
    assert shown(credentials_for(HOST, config)) == found


def test_docker_hubs_login_is_where_docker_keeps_it() -> None:
    config = {"auths": {"https://index.docker.io/v1/": encoded("robot:sesame")}}
    assert shown(credentials_for("docker.io", config)) == ("robot", "sesame", False)


@pytest.mark.parametrize(
    "auth", ["no base64!", base64.b64encode(b"nocolon").decode(), base64.b64encode(b"\xff:").decode()]
)
def test_a_broken_login_says_how_to_mend_it(auth: str) -> None:
    with pytest.raises(ConfigurationError, match=r"registry\.example\.com:5000 cannot be used") as caught:
        credentials_for(HOST, {"auths": {HOST: {"auth": auth}}})
    assert caught.value.remedy == f"docker login {HOST}"
    assert auth not in str(caught.value)


@pytest.fixture
def helper(tmp_path: Path) -> Callable[[str], Run]:
    """Install a credential helper `docker-credential-test`; gives what starts it."""

    def install(source: str) -> Run:
        path = tmp_path / "docker-credential-test"
        path.write_text(f"#!{sys.executable}\nimport json, sys\n{source}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

        def run(argv: list[str], **more: Any) -> process.Completed:
            return process.run([str(tmp_path / argv[0]), *argv[1:]], **more)

        return run

    return install


def test_a_credential_helper_is_asked(helper: Callable[[str], Run]) -> None:
    run = helper('print(json.dumps({"Username": "robot", "Secret": sys.stdin.read() + " secret"}))')
    for config in ({"credHelpers": {HOST: "test"}}, {"credsStore": "test"}):
        assert shown(credentials_for(HOST, config, run)) == ("robot", f"{HOST} secret", False)


def test_a_helper_may_give_an_identity_token(helper: Callable[[str], Run]) -> None:
    run = helper('print(json.dumps({"Username": "<token>", "Secret": "refresh"}))')
    assert shown(credentials_for(HOST, {"credsStore": "test"}, run)) == ("<token>", "refresh", True)


def test_a_helper_without_a_login_is_no_error(helper: Callable[[str], Run]) -> None:
    run = helper('print("credentials not found in native keychain"); sys.exit(1)')
    assert credentials_for(HOST, {"credsStore": "test"}, run) is None
    config = {"credsStore": "test", "auths": {HOST: encoded("robot:sesame")}}
    assert shown(credentials_for(HOST, config, run)) == ("robot", "sesame", False)


@pytest.mark.parametrize("said", ["no json", '{"Username": "robot"}', "[]", '{"Username": 1, "Secret": 2}'])
def test_a_helper_that_answers_nonsense(helper: Callable[[str], Run], said: str) -> None:
    run = helper(f"print({said!r})")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        credentials_for(HOST, {"credsStore": "test"}, run)


def test_a_helper_that_is_not_installed_is_named() -> None:
    with pytest.raises(ProgramMissing, match="docker-credential-fairlead-has-none"):
        credentials_for(HOST, {"credsStore": "fairlead-has-none"})


def test_a_helper_is_started_by_its_name() -> None:
    assert helper_argv("ecr-login") == ["docker-credential-ecr-login", "get"]


@pytest.mark.parametrize("name", ["../../bin/sh", "a b", "a;b", "-x", "", "a\n"])
def test_a_helpers_name_is_no_path(name: str) -> None:
    with pytest.raises(ConfigurationError, match="names the credential helper"):
        helper_argv(name)


@pytest.mark.parametrize(
    ("answer", "expires"),
    [
        ({"token": "t"}, 155.0),
        ({"access_token": "t", "expires_in": 300}, 395.0),
        ({"token": "t", "expires_in": 10**9}, 3695.0),
        ({"token": "t", "expires_in": 1}, 100.0),
        ({"token": "t", "expires_in": "soon"}, 155.0),
    ],
)
def test_a_token_lives_as_long_as_it_says(answer: dict[str, Any], expires: float) -> None:
    token = read_token(answer, 100.0, "auth.example.com")
    assert (token.bearer, token.expires) == ("Bearer t", expires)


def test_a_token_is_not_shown() -> None:
    assert "s3cret" not in repr(read_token({"token": "s3cret"}, 0.0, "auth.example.com"))


@pytest.mark.parametrize("answer", [{}, {"token": ""}, {"token": 7}, {"token": "a\nb"}, {"errors": []}])
def test_no_token(answer: dict[str, Any]) -> None:
    with pytest.raises(UntrustedAnswer, match=r"auth\.example\.com gave no token"):
        read_token(answer, 0.0, "auth.example.com")
