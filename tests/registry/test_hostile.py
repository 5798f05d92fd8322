"""What a hostile or broken registry says, and what must come of it. A real server says it."""

import asyncio
import json
import resource
import threading
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from fairlead.config.models import Registry
from fairlead.config.secrets import Secret
from fairlead.errors import RegistryDenied, RegistryRateLimited, RegistryUnreachable, UntrustedAnswer
from fairlead.images import ImageReference
from fairlead.registry.auth import Credentials
from fairlead.registry.client import RegistryClient, ResolvedImage, TagList
from fairlead.registry.connection import Bounds
from fairlead.registry.reach import Reach
from tests.fixtures.registry import OCI_INDEX, OCI_MANIFEST, digest_of
from tests.registry.asking import ask
from tests.registry.clock import TurnedClock
from tests.registry.hostile import Asked, HostileServer, Reply, Say, hostile

LOGIN = Credentials("robot", Secret("opensesame"))
AMD64 = "linux/amd64"


def as_json(content: object, **headers: str) -> Reply:
    return Reply(200, {"Content-Type": "application/json", **headers}, json.dumps(content).encode())


def always(reply: Reply) -> Say:
    return lambda _: reply


def tags_of(server: HostileServer, **client: object) -> TagList:
    return ask(server, lambda registry: registry.tags(server.app), **client)


def resolved(server: HostileServer, tag: str = "1.0", digest: str | None = None) -> ResolvedImage:
    return ask(server, lambda registry: registry.resolve(server.app.with_tag(tag, digest), AMD64))


class Shelf:
    """Says documents by path; a tag's HEAD answers with the digest of what GET would give."""

    def __init__(self) -> None:
        self.paths: dict[str, Reply] = {}

    def manifest(self, content: object, *, tag: str = "", digest: str = "") -> str:
        body = json.dumps(content).encode()
        digest = digest or digest_of(body)
        reply = Reply(200, {"Docker-Content-Digest": digest}, body)
        for name in (digest, tag):
            self.paths[f"/v2/shop/app/manifests/{name}"] = reply
        return digest

    def blob(self, content: object, digest: str = "") -> dict[str, object]:
        body = json.dumps(content).encode()
        self.paths[f"/v2/shop/app/blobs/{digest or digest_of(body)}"] = Reply(200, {}, body)
        return {"digest": digest or digest_of(body), "size": len(body)}

    def __call__(self, asked: Asked) -> Reply:
        return self.paths.get(asked.path, Reply(404))


# Lists of tags.


def test_pages_are_followed_and_asked_for_once_each() -> None:
    def say(asked: Asked) -> Reply:
        if "last=" in asked.path:
            return as_json({"tags": ["c"]})
        return as_json({"tags": ["a", "b"]}, Link='</v2/shop/app/tags/list?n=2&last=b>; rel="next"')

    with hostile(say) as server:
        assert tags_of(server) == TagList(("a", "b", "c"))
        assert len(server.asked) == 2


def test_a_list_of_500_000_tags_is_cut_short() -> None:
    with hostile(always(as_json({"tags": [f"1.0.{n}" for n in range(500_000)]}))) as server:
        found = tags_of(server)
    assert (len(found.tags), found.complete, found.why) == (50_000, False, "it has more than 50000 tags")


def test_endless_pages_are_cut_short() -> None:
    def say(asked: Asked) -> Reply:
        number = int(asked.path.rpartition("last=")[2]) if "last=" in asked.path else 0
        return as_json({"tags": [f"t{number}"]}, Link=f'</v2/shop/app/tags/list?last={number + 1}>; rel="next"')

    with hostile(say) as server:
        found = tags_of(server)
        assert (len(server.asked), found.complete, found.why) == (100, False, "it has more than 100 pages of tags")


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/v2/x",
        "https://evil.example/v2/",
        "//evil.example/v2/",
        "file:///etc/passwd",
        "http://u:p@{host}/v2/",
        "/elsewhere",
        "http://[::1",
    ],
)
def test_a_next_page_elsewhere_is_not_asked_for(target: str) -> None:
    def say(_: Asked) -> Reply:
        return as_json({"tags": ["a"]}, Link=f'<{target.format(host=server.host)}>; rel="next"')

    with hostile(say) as server:
        with pytest.raises(UntrustedAnswer):
            tags_of(server)
        assert len(server.asked) == 1


def test_a_next_page_that_is_the_same_page_ends_the_look() -> None:
    with hostile(lambda asked: as_json({"tags": ["a"]}, Link=f'<{asked.path}>; rel="next"')) as server:
        with pytest.raises(UntrustedAnswer, match="leads back to itself"):
            tags_of(server)
        assert len(server.asked) == 1


def test_tags_that_are_none_come_through_short_and_are_left_to_the_election() -> None:
    strange = ["v1.2.3\n", "-x", "{{7*7}}", "x" * 1000, "\u0661.\u0662.\u0663", None, {"a": 1}, 17]
    with hostile(always(as_json({"tags": strange}))) as server:
        found = tags_of(server)
    assert max(map(len, found.tags)) == 129
    assert found.complete


@pytest.mark.parametrize("content", [{"tags": None}, {}])
def test_no_tags_at_all(content: object) -> None:
    with hostile(always(as_json(content))) as server:
        assert tags_of(server) == TagList(())


@pytest.mark.parametrize("content", [{"tags": {"a": 1}}, ["a"], "a", None])
def test_json_that_is_no_list_of_tags(content: object) -> None:
    with hostile(always(as_json(content))) as server, pytest.raises(UntrustedAnswer):
        tags_of(server)


def test_an_unchanged_page_is_not_sent_again() -> None:
    def say(asked: Asked) -> Reply:
        if asked.headers.get("if-none-match") == '"one"':
            return Reply(304)
        return as_json({"tags": ["a"]}, ETag='"one"')

    async def twice(client: RegistryClient) -> tuple[TagList, TagList]:
        return await client.tags(server.app), await client.tags(server.app)

    with hostile(say) as server:
        first, second = ask(server, twice)
        assert first == second == TagList(("a",))
        assert [asked.headers.get("if-none-match") for asked in server.asked] == [None, '"one"']


# Bombs.


def gzip_bomb() -> bytes:
    """100 MB of blanks, made bit by bit: the test below looks at the process's greatest size."""
    packer = zlib.compressobj(wbits=31)
    blanks = b" " * 1_000_000
    return b"".join([*(packer.compress(blanks) for _ in range(100)), packer.flush()])


def endless() -> Iterator[bytes]:
    while True:
        yield b" " * 65536


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(200, {"Content-Encoding": "gzip"}, gzip_bomb()), "compresses its answer"),
        (Reply(200, {}, endless()), "more than 8388608 bytes"),
        (Reply(200, {}, b"[" * 100_000), "nests deeper than 64 levels"),
        (Reply(200, {}, b'{"a":' * 100_000), "nests deeper than 64 levels"),
        (Reply(200, {}, b'{"tags": ["' + b"[" * 100_000), "nests deeper than 64 levels"),
        (Reply(200, {}, b"<html>Sign in</html>"), "is not JSON"),
        (Reply(200, {}, b"\xff\xfe{"), "is not JSON"),
        (Reply(200, {}, b'{"tags": ' + b"9" * 5000 + b"}"), "is not JSON"),
    ],
)
def test_a_bomb_does_not_go_off(reply: Reply, said: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with hostile(always(reply)) as server, pytest.raises(UntrustedAnswer, match=said):
        tags_of(server)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_brackets_in_text_are_no_nesting() -> None:
    with hostile(always(as_json({"tags": ["a"], "note": '["\\' * 1000}))) as server:
        assert tags_of(server).tags == ("a",)


# Ways in.


def challenge(realm: str) -> Reply:
    return Reply(
        401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s",scope="repository:shop/app:pull,push,*"'}
    )


@pytest.mark.parametrize(
    "realm", ["http://169.254.169.254/", "https://evil.example/token", "ftp://evil.example/", "http://u:p@{host}/"]
)
def test_a_realm_elsewhere_gets_no_request_and_no_credentials(realm: str) -> None:
    with hostile(lambda _: challenge(realm.format(host=server.host))) as server:
        with pytest.raises(UntrustedAnswer, match=r"token service \(realm\)") as caught:
            tags_of(server, credentials={server.host: LOGIN})
        assert [asked.headers.get("authorization") for asked in server.asked] == [None]
    assert "allow_hosts" in caught.value.remedy


def test_a_realm_on_a_host_that_is_allowed_gets_the_credentials() -> None:
    def say(asked: Asked) -> Reply:
        return as_json({"tags": ["a"]}) if "authorization" in asked.headers else challenge(f"http://{name}/token")

    with hostile(always(as_json({"token": "t0ken"}))) as tokens, hostile(say) as server:
        name = tokens.host.replace("127.0.0.1", "localhost")
        registries = {server.host: Registry(plain_http=True, allow_hosts=(name,)), name: Registry(plain_http=True)}
        found = ask(server, lambda c: c.tags(server.app), registries=registries, credentials={server.host: LOGIN})
        assert found.tags == ("a",)
        assert tokens.asked[0].headers["authorization"] == LOGIN.basic
        assert tokens.asked[0].path.endswith("scope=repository%3Ashop%2Fapp%3Apull")


def test_an_allowed_realm_over_plain_http_is_refused_unless_that_host_may() -> None:
    with hostile(lambda _: challenge("http://localhost:1/token")) as server:
        registries = {server.host: Registry(plain_http=True, allow_hosts=("localhost:1",))}
        with pytest.raises(UntrustedAnswer, match="localhost:1") as caught:
            ask(server, lambda client: client.tags(server.app), registries=registries)
    assert "not https" in caught.value.why


def test_a_realm_loop_ends() -> None:
    with hostile(lambda _: challenge(f"http://{server.host}/token")) as server:
        with pytest.raises(RegistryDenied):
            tags_of(server, credentials={server.host: LOGIN})
        assert len(server.asked) == 2


def test_a_token_that_is_refused_is_not_tried_for_ever() -> None:
    def say(asked: Asked) -> Reply:
        return (
            as_json({"token": "t0ken"}) if asked.path.startswith("/token") else challenge(f"http://{server.host}/token")
        )

    with hostile(say) as server, pytest.raises(RegistryDenied):
        tags_of(server)
    assert len(server.asked) == 3


@pytest.mark.parametrize("token", ["a\r\nX-Injected: 1", "", None, 7, "ключ"])
def test_a_token_that_is_none(token: object) -> None:
    def say(asked: Asked) -> Reply:
        if asked.path.startswith("/token"):
            return as_json({"token": token})
        return challenge(f"http://{server.host}/token")

    with hostile(say) as server, pytest.raises(UntrustedAnswer, match="gave no token"):
        tags_of(server)


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_an_api_redirect_elsewhere_is_refused(status: int) -> None:
    with (
        hostile(always(Reply(status, {"Location": "https://evil.example/v2/"}))) as server,
        pytest.raises(UntrustedAnswer) as caught,
    ):
        tags_of(server)
    assert caught.value.what.endswith("sends a redirect to evil.example")


def test_redirects_in_a_circle_end() -> None:
    with (
        hostile(lambda asked: Reply(302, {"Location": asked.path})) as server,
        pytest.raises(UntrustedAnswer, match="more than 5 times"),
    ):
        tags_of(server)


def test_an_allowed_redirect_carries_no_credentials() -> None:
    def say(asked: Asked) -> Reply:
        if "authorization" not in asked.headers:
            return Reply(401, {"WWW-Authenticate": "Basic"})
        return Reply(307, {"Location": f"http://{name}{asked.path}"})

    with hostile(always(as_json({"tags": ["a"]}))) as other, hostile(say) as server:
        name = other.host.replace("127.0.0.1", "localhost")
        registries = {server.host: Registry(plain_http=True, allow_hosts=(name,)), name: Registry(plain_http=True)}
        found = ask(server, lambda c: c.tags(server.app), registries=registries, credentials={server.host: LOGIN})
        assert found.tags == ("a",)
        assert [asked.headers.get("authorization") for asked in other.asked] == [None]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://169.254.169.254/latest", "not plain https"),
        ("https://169.254.169.254/latest", "link-local"),
        ("https://10.0.0.1/secret", "private"),
        ("https://[fe80::1]/", "link-local"),
        ("https://[::ffff:10.0.0.1]/", "private"),
        ("https://u:p@192.0.2.1/", "not plain https"),
    ],
)
def test_a_download_may_not_lead_inside(target: str, why: str) -> None:
    shelf = Shelf()
    config = shelf.blob({"os": "linux", "architecture": "amd64"})
    shelf.paths[f"/v2/shop/app/blobs/{config['digest']}"] = Reply(307, {"Location": target})
    shelf.manifest({"config": config, "layers": []}, tag="1.0")
    with hostile(shelf) as server, pytest.raises(UntrustedAnswer, match="sends a download to") as caught:
        resolved(server)
    assert why in caught.value.why


def test_a_download_from_a_public_https_host_is_allowed() -> None:
    reach = Reach("registry.example.com", {})
    reach.base = reach.base.copy_with(host="192.0.2.1")
    target = httpx2.URL("https://1.1.1.1/blob?signature=x")
    assert asyncio.run(reach.blob_target(target)) == target


# Digests.


def test_a_manifest_with_another_digest_is_rejected() -> None:
    shelf = Shelf()
    shelf.manifest({"config": {}, "layers": []}, tag="1.0", digest="sha256:" + "0" * 64)
    with hostile(shelf) as server, pytest.raises(UntrustedAnswer, match="has the digest sha256:"):
        resolved(server)


def test_a_configuration_with_another_digest_is_rejected() -> None:
    shelf = Shelf()
    shelf.manifest({"config": shelf.blob({"os": "linux"}, digest="sha256:" + "1" * 64), "layers": []}, tag="1.0")
    with hostile(shelf) as server, pytest.raises(UntrustedAnswer, match="The configuration of"):
        resolved(server)


@pytest.mark.parametrize(
    "digest", ["sha256:short", "../../etc/passwd", "md5:" + "0" * 64, "sha256:" + "0" * 64 + "\n", 7, None]
)
def test_a_digest_that_is_none_names_no_path(digest: object) -> None:
    shelf = Shelf()
    shelf.manifest({"config": {"digest": digest}, "layers": []}, tag="1.0")
    with hostile(shelf) as server:
        with pytest.raises(UntrustedAnswer, match="names no sha256 digest"):
            resolved(server)
        assert not [asked for asked in server.asked if "blobs" in asked.path]


@pytest.mark.parametrize("headers", [{}, {"Docker-Content-Digest": "sha256:bad"}])
@pytest.mark.parametrize("status", [200, 405])
def test_a_head_that_says_nothing_is_replaced_by_a_get(headers: dict[str, str], status: int) -> None:
    body = json.dumps({"config": {}, "layers": []}).encode()

    def say(asked: Asked) -> Reply:
        return Reply(status, headers) if asked.method == "HEAD" else Reply(200, {}, body)

    with hostile(say) as server:
        assert ask(server, lambda client: client.digest(server.app.with_tag("1"))) == digest_of(body)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"schemaVersion": 1, "fsLayers": []},
        {"mediaType": OCI_INDEX, "manifests": [], "config": {}, "layers": []},
    ],
)
def test_a_manifest_that_is_neither_or_both_is_rejected(content: dict[str, object]) -> None:
    shelf = Shelf()
    shelf.manifest(content, tag="1.0")
    with hostile(shelf) as server, pytest.raises(UntrustedAnswer, match="neither an index nor an image"):
        resolved(server)


def test_an_index_in_an_index_is_rejected() -> None:
    shelf = Shelf()
    digest = shelf.manifest({"mediaType": OCI_INDEX, "manifests": []})
    platform = {"os": "linux", "architecture": "amd64"}
    shelf.manifest({"manifests": [{"mediaType": OCI_MANIFEST, "digest": digest, "platform": platform}]}, tag="1.0")
    with hostile(shelf) as server, pytest.raises(UntrustedAnswer, match="another index"):
        resolved(server)


@pytest.mark.parametrize(
    "created", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "now", 7, None]
)
def test_a_time_that_no_push_can_have_had_is_no_time(created: object) -> None:
    shelf = Shelf()
    config = shelf.blob({"os": "linux", "architecture": "amd64", "created": created, "config": {"Labels": ["x"]}})
    shelf.manifest({"config": config, "layers": []}, tag="1.0")
    with hostile(shelf) as server:
        assert resolved(server).created is None


# Too much, too slow, too often.


def test_a_retry_after_that_is_long_is_respected_by_all_requests_to_that_registry() -> None:
    clock = TurnedClock()

    async def three_images(client: RegistryClient) -> list[object]:
        images = [ImageReference(server.host, f"shop/app{number}") for number in range(3)]
        return [await refusal(client.tags, image) for image in images]

    with hostile(always(Reply(429, {"Retry-After": "3600"}))) as server:
        refusals = ask(server, three_images, clock=clock)
        assert len(server.asked) == 1
    assert [type(refused) for refused in refusals] == [RegistryRateLimited] * 3
    assert "asks to wait 3600 s" in str(refusals[2])
    assert clock.slept == []


async def refusal(question: Callable[[ImageReference], object], image: ImageReference) -> object:
    try:
        return await question(image)  # type: ignore[misc]
    except RegistryRateLimited as error:
        return error


@pytest.mark.parametrize("as_date", [False, True])
def test_a_short_retry_after_is_waited_for(as_date: bool) -> None:
    clock = TurnedClock(datetime(2026, 6, 1, tzinfo=UTC))
    after = format_datetime(clock.now() + timedelta(seconds=7), usegmt=True) if as_date else "7"
    answers = iter([Reply(429, {"Retry-After": after}), as_json({"tags": ["a"]})])
    with hostile(lambda _: next(answers)) as server:
        assert tags_of(server, clock=clock).tags == ("a",)
    assert sum(clock.slept) == pytest.approx(7)


def test_server_errors_are_tried_again_with_a_growing_pause() -> None:
    clock = TurnedClock()
    answers = iter([Reply(503), Reply(500), as_json({"tags": ["a"]})])
    with hostile(lambda _: next(answers)) as server:
        assert tags_of(server, clock=clock).tags == ("a",)
    first, second = clock.slept
    assert 0.1 <= first <= 0.3
    assert 0.2 <= second <= 0.6


def test_a_registry_that_stays_broken_is_unreachable_after_three_tries() -> None:
    with hostile(always(Reply(502))) as server:
        with pytest.raises(RegistryUnreachable, match="cannot be reached") as caught:
            tags_of(server, clock=TurnedClock())
        assert len(server.asked) == 3
    assert caught.value.why == "It answers with status 502"


def test_a_body_that_drips_is_given_up() -> None:
    def drip() -> Iterator[bytes]:
        while not done:
            yield b" "

    done: list[bool] = []
    with hostile(always(Reply(200, {}, drip()))) as server:
        with pytest.raises(RegistryUnreachable, match="cannot be reached") as caught:
            tags_of(server, bounds=Bounds(request=0.2, body=10**9))
        done.append(True)
    assert caught.value.why == "It did not answer within 0.2 s"


def test_no_more_than_eight_requests_at_once() -> None:
    eight = threading.Barrier(8, timeout=30)
    inside: list[int] = []
    most: list[int] = []

    def say(_: Asked) -> Reply:
        if len(server.asked) > 1:  # the first request goes alone
            inside.append(1)
            most.append(len(inside))
            eight.wait()
            inside.pop()
        return as_json({"tags": []})

    async def one_and_forty(client: RegistryClient) -> None:
        await asyncio.gather(*(client.tags(ImageReference(server.host, f"a{n}")) for n in range(41)))

    with hostile(say) as server:
        ask(server, one_and_forty)
        assert len(server.asked) == 41
    assert max(most) == 8
