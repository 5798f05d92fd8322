"""Getting in: what a registry asks for, the tokens that were given, and the logins that Docker keeps.

Sources: RFC 7235 and RFC 6750 (challenges), distribution's docs/spec/auth/token.md and oauth.md (token service),
docker/cli's config file and docker-credential-helpers (logins).
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fairlead import process
from fairlead.config.secrets import Secret
from fairlead.errors import ConfigurationError, UntrustedAnswer
from fairlead.images import DOCKER_HUB
from fairlead.registry.untrusted import plain_text

DOCKER_HUB_LOGIN = "https://index.docker.io/v1/"  # where `docker login` has always kept Docker Hub's login
IDENTITY_TOKEN_USER = "<token>"  # noqa: S105 - the user name by which a helper says that the secret is a token
SHORTEST_TOKEN_LIFE = 60.0  # seconds; token.md: a client may count on it
TOKEN_MARGIN = 5.0
LONGEST_HEADER = 8192

_HELPER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", re.ASCII)
_SCHEME = re.compile(r"[\s,]*(?P<scheme>[A-Za-z][A-Za-z0-9._~+-]*)(?:\s+|$|(?=,))", re.ASCII)
_PARAMETER = re.compile(
    r"""\s*(?P<key>[A-Za-z0-9_-]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]+))\s*,?""", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login to one registry. identity: the password is an OAuth2 refresh token, not a password."""

    username: str
    password: Secret
    identity: bool = False

    @property
    def basic(self) -> str:
        """The `Authorization` header of HTTP Basic."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in that a 401 answer offers. scheme: lower-case. parameters: with lower-case keys."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a `WWW-Authenticate` header; what cannot be read ends the list."""
    found, text = [], header[:LONGEST_HEADER]
    position = 0
    while match := _SCHEME.match(text, position):
        parameters, position = _parameters(text, match.end())
        found.append(Challenge(match["scheme"].lower(), parameters))
    return tuple(found)


def _parameters(text: str, position: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    while match := _PARAMETER.match(text, position):
        quoted = match["quoted"]
        value = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        parameters.setdefault(match["key"].lower(), value)
        position = match.end()
    return parameters, position


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token. expires: by the client's monotonic clock, seconds."""

    value: Secret
    expires: float

    @property
    def bearer(self) -> str:
        """The `Authorization` header."""
        return f"Bearer {self.value.reveal()}"


def read_token(answer: Mapping[str, Any], now: float, service: str) -> Token:
    """A token service's answer (`token`, or `access_token` as OAuth2 says). Raises UntrustedAnswer."""
    value = answer.get("token") or answer.get("access_token")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise UntrustedAnswer(f"The token service {plain_text(service)} gave no token")
    life = answer.get("expires_in")
    seconds = float(life) if isinstance(life, int) and life > 0 else SHORTEST_TOKEN_LIFE
    return Token(Secret(value), now + max(min(seconds, 3600.0) - TOKEN_MARGIN, 0.0))


def credentials_for(
    registry: str, docker_config: Mapping[str, Any], run: Callable[..., process.Completed] = process.run
) -> Credentials | None:
    """The login that Docker's config.json holds for a registry, or None.

    docker_config: the parsed file. Order, as Docker's own: the registry's credential helper, the general one
    (`credsStore`), then `auths`. run: starts a helper. Raises ConfigurationError for a login that is there and broken.
    """
    for key in _keys(registry):
        helper = _mapping(docker_config, "credHelpers").get(key) or docker_config.get("credsStore")
        found = _from_helper(helper, key, run) if helper else None
        found = found or _from_auths(_mapping(docker_config, "auths").get(key), key)
        if found:
            return found
    return None


def _keys(registry: str) -> tuple[str, ...]:
    if registry == DOCKER_HUB:
        return (DOCKER_HUB_LOGIN, "index.docker.io", DOCKER_HUB)
    return (registry, f"https://{registry}")


def _mapping(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    return value if isinstance(value, Mapping) else {}


def helper_argv(name: str) -> list[str]:
    """The credential helper's command line; the registry goes to its standard input. Raises ConfigurationError."""
    if not _HELPER.fullmatch(name):
        raise ConfigurationError(
            f"Docker's config.json names the credential helper {plain_text(name)!r}",
            why="A helper's name has only letters, digits, . _ and -",
            remedy="Correct credHelpers or credsStore in config.json",
        )
    return [f"docker-credential-{name}", "get"]


def _from_helper(name: object, key: str, run: Callable[..., process.Completed]) -> Credentials | None:
    done = run(helper_argv(str(name)), stdin=key, timeout=30.0, expect=(0, 1))
    if done.exit_code:
        return None  # "credentials not found in native keychain": no login is not an error
    try:
        answer = json.loads(done.stdout)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError):
        raise _broken(key, f"The credential helper {name} did not answer with Username and Secret") from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _broken(key, f"The credential helper {name} did not answer with text")
    return Credentials(username, Secret(secret), identity=username == IDENTITY_TOKEN_USER) if secret else None


def _from_auths(entry: object, key: str) -> Credentials | None:
    if not isinstance(entry, Mapping):
        return None
    if identity := entry.get("identitytoken"):
        return Credentials(IDENTITY_TOKEN_USER, Secret(str(identity)), identity=True)
    if not (encoded := entry.get("auth")):
        username, password = entry.get("username"), entry.get("password")
        return Credentials(str(username), Secret(str(password))) if username and password else None
    try:
        username, colon, password = base64.b64decode(str(encoded), validate=True).decode().rstrip("\0").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise _broken(key, "Its `auth` is not base64 of user:password") from None
    if not colon:
        raise _broken(key, "Its `auth` is not base64 of user:password")
    return Credentials(username, Secret(password))


def _broken(key: str, why: str) -> ConfigurationError:
    host = key.removeprefix("https://").split("/")[0]
    return ConfigurationError(f"Docker's login for {host} cannot be used", why=why, remedy=f"docker login {host}")
