"""Registries that let only some in: with a login, with tokens, with TLS by an own CA."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fairlead.config.models import Registry
from fairlead.config.secrets import Secret
from fairlead.registry.auth import Credentials
from tests.fixtures.registry import RegistryServer, docker_registry
from tests.registry.certificates import Authority
from tests.registry.token_server import ISSUER, SERVICE, TokenServer, token_server

USER, PASSWORD = "robot", "opensesame"
# bcrypt of the password, cost 5: docker-registry takes no other kind
HTPASSWD = "robot:$2b$05$9wGnusgIHuNgeQ0mhxf62eQx7znrMJ9o8pMxRkTue9X/uCKx5K8a."


@pytest.fixture
def login() -> Credentials:
    return Credentials(USER, Secret(PASSWORD))


@pytest.fixture(scope="session")
def basic_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """Wants HTTP Basic."""
    directory = tmp_path_factory.mktemp("basic")
    (directory / "htpasswd").write_text(HTPASSWD + "\n")
    auth = {"auth": {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}}
    with docker_registry(directory, auth) as host:
        yield RegistryServer(host, Registry(plain_http=True), login=(USER, PASSWORD))


@dataclass
class TokenRegistry:
    """A registry and the token server that it believes."""

    registry: RegistryServer
    tokens: TokenServer


@pytest.fixture(scope="session")
def _token_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenRegistry]:
    directory = tmp_path_factory.mktemp("token")
    with token_server(directory, (USER, PASSWORD)) as tokens:
        auth = {"realm": tokens.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(tokens.bundle)}
        with docker_registry(directory, {"auth": {"token": auth}}) as host:
            authorize = lambda repository: "Bearer " + tokens.token(f"repository:{repository}:pull,push")  # noqa: E731
            yield TokenRegistry(RegistryServer(host, Registry(plain_http=True), authorize=authorize), tokens)


@pytest.fixture
def token_registry(_token_registry: TokenRegistry) -> TokenRegistry:
    """Wants bearer tokens; the token server has forgotten what it gave."""
    _token_registry.tokens.given.clear()
    _token_registry.tokens.asked.clear()
    return _token_registry


@dataclass
class TlsRegistry:
    """A registry whose certificate only its own CA vouches for. root/ca.pem: the CA."""

    registry: RegistryServer
    root: Path


@pytest.fixture(scope="session")
def tls_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRegistry]:
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority.new("site CA")
    authority.write(directory / "ca.pem")
    trust = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    with docker_registry(directory, tls=authority.issue(directory)) as host:
        yield TlsRegistry(RegistryServer(host, Registry(ca="ca.pem"), tls=trust), directory)
