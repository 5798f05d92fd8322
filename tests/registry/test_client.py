"""The client against real registries: open, with a login, with tokens, with TLS."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.config.models import Registry
from fairlead.config.secrets import Secret
from fairlead.errors import ImageMissing, InvalidSetting, PlatformMissing, RegistryDenied, RegistryUnreachable
from fairlead.registry.auth import IDENTITY_TOKEN_USER, Credentials
from fairlead.registry.client import ImageLabels, RegistryClient
from tests.fixtures.registry import RegistryServer, free_port
from tests.registry.asking import ask
from tests.registry.conftest import PASSWORD, TlsRegistry, TokenRegistry

LABELS = {
    "org.opencontainers.image.source": "https://git.example.com/shop/backend",
    "org.opencontainers.image.revision": "4be1a07",
    "org.opencontainers.image.version": "1.2.0",
}


def test_all_tags_come_back(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    for tag in ("1.0.0", "latest", "1.1.0"):
        registry_server.push(app, tag)
    found = ask(registry_server, lambda client: client.tags(app))
    assert (sorted(found.tags), found.complete) == (["1.0.0", "1.1.0", "latest"], True)


def test_one_list_of_tags_is_one_request(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    registry_server.push(app, "1.0.0")

    async def twice(client: RegistryClient) -> int:
        await client.tags(app)
        await client.tags(app)
        return client.requests

    assert ask(registry_server, twice) == 2


def test_a_repository_that_is_not_there_is_named(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    with pytest.raises(ImageMissing, match=app.name):
        ask(registry_server, lambda client: client.tags(app))


def test_a_tag_that_is_not_there_is_named(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    registry_server.push(app, "1.0.0")
    with pytest.raises(ImageMissing, match=r":1\.0\.1 is not in the registry"):
        ask(registry_server, lambda client: client.resolve(app.with_tag("1.0.1"), "linux/amd64"))


def test_a_deleted_digest_is_missing(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    digest = registry_server.push(app, "1.0.0")
    registry_server.delete(app, digest)
    with pytest.raises(ImageMissing):
        ask(registry_server, lambda client: client.resolve(app.with_tag("1.0.0", digest), "linux/amd64"))


def test_a_tag_resolves_to_digest_labels_and_time(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    digest = registry_server.push(app, "1.2.0", labels=LABELS, created="2026-03-04T05:06:07.123456789Z")
    image = ask(registry_server, lambda client: client.resolve(app.with_tag("1.2.0"), "linux/amd64"))
    assert image.digest == image.platform_digest == digest
    assert image.labels == ImageLabels("https://git.example.com/shop/backend", "4be1a07", "1.2.0")
    assert image.created == datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)


def test_an_index_resolves_to_its_own_digest_and_the_platforms(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    platforms = ("linux/arm64", "linux/amd64", "linux/arm/v7")
    digest = registry_server.push(app, "1.0.0", platforms=platforms, labels=LABELS)
    alone = registry_server.push(app, "amd64-only", labels=LABELS)
    image = ask(registry_server, lambda client: client.resolve(app.with_tag("1.0.0"), "linux/amd64"))
    assert (image.digest, image.platform_digest, image.labels.revision) == (digest, alone, "4be1a07")


@pytest.mark.parametrize("index", [True, False])
def test_an_image_for_another_platform_is_refused(registry_server: RegistryServer, index: bool) -> None:
    app = registry_server.fresh()
    registry_server.push(app, "1.0.0", platforms=("linux/arm64",), index=index)
    with pytest.raises(PlatformMissing, match="is not there for linux/amd64") as caught:
        ask(registry_server, lambda client: client.resolve(app.with_tag("1.0.0"), "linux/amd64"))
    assert caught.value.why == "It is there for linux/arm64"


def test_labels_are_one_line_of_plain_text(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    hostile = "abc\nSigned-off-by: mallory\x1b[2J\u202egnp.exe " + "x" * 300
    registry_server.push(app, "1", labels={"org.opencontainers.image.revision": hostile})
    image = ask(registry_server, lambda client: client.resolve(app.with_tag("1"), "linux/amd64"))
    assert image.labels.revision.startswith("abc Signed-off-by: mallory[2Jgnp.exe xxx")
    assert len(image.labels.revision) == 200


def test_a_known_digest_is_not_asked_for_again(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    digest = registry_server.push(app, "1.0.0")

    async def twice(client: RegistryClient) -> int:
        await client.resolve(app.with_tag("1.0.0", digest), "linux/amd64")
        before = client.requests
        await client.resolve(app.with_tag("1.0.0", digest), "linux/amd64")
        return client.requests - before

    assert ask(registry_server, twice) == 0


def test_basic_login(basic_registry: RegistryServer, login: Credentials) -> None:
    app = basic_registry.fresh()
    basic_registry.push(app, "1.0.0")
    found = ask(basic_registry, lambda client: client.tags(app), credentials={basic_registry.host: login})
    assert found.tags == ("1.0.0",)


@pytest.mark.parametrize("credentials", [None, Credentials("robot", Secret("wrong-password"))])
def test_basic_without_the_right_login_is_denied(
    basic_registry: RegistryServer, credentials: Credentials | None
) -> None:
    app = basic_registry.fresh()
    known = {basic_registry.host: credentials} if credentials else {}
    with pytest.raises(RegistryDenied) as caught:
        ask(basic_registry, lambda client: client.tags(app), credentials=known)
    assert caught.value.remedy == f"docker login {basic_registry.host}"
    assert "wrong-password" not in str(caught.value)


def test_a_login_for_another_registry_is_not_used(basic_registry: RegistryServer, login: Credentials) -> None:
    app = basic_registry.fresh()
    with pytest.raises(RegistryDenied, match="refuses to show"):
        ask(basic_registry, lambda client: client.tags(app), credentials={"registry.example.com": login})


def test_a_token_is_fetched_once_for_each_scope(token_registry: TokenRegistry, login: Credentials) -> None:
    registry = token_registry.registry
    app, web = registry.fresh("app"), registry.fresh("web")
    registry.push(app, "1.0.0")
    registry.push(web, "1.0.0")

    async def pass_over_both(client: RegistryClient) -> None:
        for _ in range(2):
            await client.tags(app)
            await client.resolve(app.with_tag("1.0.0"), "linux/amd64")
            await client.tags(web)

    ask(registry, pass_over_both, credentials={registry.host: login})
    assert token_registry.tokens.given == [f"repository:{image.repository}:pull" for image in (app, web)]


def test_a_token_that_has_run_out_is_replaced(token_registry: TokenRegistry, login: Credentials) -> None:
    registry = token_registry.registry
    app = registry.fresh()
    registry.push(app, "1.0.0")
    token_registry.tokens.expires_in = 1

    async def twice(client: RegistryClient) -> None:
        await client.tags(app)
        await client.tags(app)

    try:
        ask(registry, twice, credentials={registry.host: login})
    finally:
        token_registry.tokens.expires_in = 300
    assert len(token_registry.tokens.given) == 2


def test_an_identity_token_is_traded_for_a_bearer_token(token_registry: TokenRegistry) -> None:
    registry = token_registry.registry
    app = registry.fresh()
    registry.push(app, "1.0.0")
    identity = Credentials(IDENTITY_TOKEN_USER, Secret(PASSWORD), identity=True)
    found = ask(registry, lambda client: client.tags(app), credentials={registry.host: identity})
    assert (found.tags, token_registry.tokens.asked[0].method) == (("1.0.0",), "POST")


def test_a_token_service_that_refuses_is_told(token_registry: TokenRegistry) -> None:
    registry = token_registry.registry
    app = registry.fresh()
    with pytest.raises(RegistryDenied, match="requests without a login"):
        ask(registry, lambda client: client.tags(app))


def test_tls_by_an_own_ca(tls_registry: TlsRegistry) -> None:
    registry = tls_registry.registry
    app = registry.fresh()
    registry.push(app, "1.0.0")
    assert ask(registry, lambda client: client.tags(app), root=tls_registry.root).tags == ("1.0.0",)


def test_tls_is_verified(tls_registry: TlsRegistry) -> None:
    app = tls_registry.registry.fresh()
    with pytest.raises(RegistryUnreachable, match="certificate that is not trusted") as caught:
        ask(tls_registry.registry, lambda client: client.tags(app), registries={})
    assert f"registries: {{{app.registry}: {{ca: certs/site-ca.pem}}}}" in caught.value.remedy


def test_a_ca_that_is_no_certificate_is_a_setting_to_mend(registry_server: RegistryServer, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    app = registry_server.fresh()
    with pytest.raises(InvalidSetting, match=r"The CA certificate ca\.pem cannot be read"):
        ask(
            registry_server,
            lambda client: client.tags(app),
            registries={registry_server.host: Registry(ca="ca.pem")},
            root=tmp_path,
        )


def test_plain_http_is_not_spoken_unless_the_configuration_says_so(registry_server: RegistryServer) -> None:
    app = registry_server.fresh()
    registry_server.push(app, "1.0.0")
    with pytest.raises(RegistryUnreachable):
        ask(registry_server, lambda client: client.tags(app), registries={})


def test_a_registry_that_is_down_can_be_waited_for() -> None:
    server = RegistryServer(f"127.0.0.1:{free_port()}", Registry(plain_http=True))
    with pytest.raises(RegistryUnreachable) as caught:
        ask(server, lambda client: client.tags(server.fresh()))
    assert caught.value.retryable


def test_credentials_show_no_password() -> None:
    assert "opensesame" not in repr(Credentials("robot", Secret("opensesame")))
