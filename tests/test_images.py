"""Image references, tags and digests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import InvalidReference
from fairlead.images import REPOSITORY, ImageReference, is_digest, is_registry, is_tag

QUICK = settings(max_examples=60, deadline=None)
DIGEST_A = "sha256:" + "a" * 64
REGISTRIES = st.sampled_from(
    [
        "registry.example.com",
        "localhost:5000",
        "localhost",
        "127.0.0.1:5000",
        "[::1]:5000",
        "docker.io",
        "a-b.example:1",
    ]
)
COMPONENTS = st.text("ab0-._", min_size=1, max_size=6).filter(lambda text: REPOSITORY.fullmatch(text) is not None)
REPOSITORIES = st.lists(COMPONENTS, min_size=1, max_size=3).map("/".join)
TAGS = st.text("aZ0_.-", min_size=1, max_size=6).filter(is_tag)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)


@QUICK
@given(registry=REGISTRIES, repository=REPOSITORIES, tag=st.none() | TAGS, digest=st.none() | DIGESTS)
def test_what_is_printed_is_read_back(registry: str, repository: str, tag: str | None, digest: str | None) -> None:
    reference = ImageReference(registry, repository, tag, digest)
    assert ImageReference.parse(str(reference)) == reference


@QUICK
@given(text=st.text(max_size=40))
def test_any_text_is_a_reference_or_refused_with_a_reason(text: str) -> None:
    try:
        reference = ImageReference.parse(text)
    except InvalidReference as error:
        assert error.why  # noqa: PT017 - either outcome is right
    else:
        assert str(reference).isascii()
        assert str(reference).isprintable()
        assert " " not in str(reference)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("team/app", "docker.io/team/app"),
        ("localhost/app", "localhost/app"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("registry.example.com/shop/app@" + DIGEST_A, "registry.example.com/shop/app@" + DIGEST_A),
        ("[::1]:5000/app:1@" + DIGEST_A, "[::1]:5000/app:1@" + DIGEST_A),
    ],
)
def test_short_names_are_read_as_docker_reads_them(text: str, printed: str) -> None:
    assert str(ImageReference.parse(text)) == printed


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the repository 'library/' is not lower-case path components"),
        ("Registry.example.com/App:1", "the repository 'App' is not lower-case path components"),
        ("registry.example.com/app:-x", "the tag '-x' is not 1 to 128"),
        ("registry.example.com/app:1\n", r"the tag '1\n' is not 1 to 128"),
        ("registry.example.com/app:{{7*7}}", "the tag '{{7*7}}' is not 1 to 128"),
        ("registry.example.com/app:" + "x" * 129, "is not 1 to 128"),
        ("registry.example.com/app:1@sha256:abc", "the digest 'sha256:abc' is not sha256:"),
        ("registry.example.com/app:1@" + DIGEST_A.upper(), "is not sha256:"),
        ("registry.example.com/app@", "the digest '' is not sha256:"),
        ("registry_.example.com/app", "the registry 'registry_.example.com' is not host or host:port"),
        ("registry.example.com/../etc", "is not lower-case path components"),
        ("registry.example.com/" + "a" * 256, "is not lower-case path components"),
        ("https://registry.example.com/app", "is not"),
    ],
)
def test_a_reference_that_is_none_names_the_part(text: str, why: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        ImageReference.parse(text)
    assert why in caught.value.why
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("tag", ["1.2\n", "1.\u0662", "\uff11", "", ".a", "a b", "a" * 129])
def test_what_is_no_tag(tag: str) -> None:
    assert not is_tag(tag)


@pytest.mark.parametrize(
    "digest", [DIGEST_A + "\n", "sha512:" + "a" * 128, "sha256:" + "A" * 64, "sha256:" + "a" * 63, ""]
)
def test_what_is_no_digest(digest: str) -> None:
    assert not is_digest(digest)


@pytest.mark.parametrize("registry", ["-a.example", "a..b", "host:port", "host:123456", "http://host", "user@host", ""])
def test_what_is_no_registry(registry: str) -> None:
    assert not is_registry(registry)


def test_a_pin_has_tag_and_digest() -> None:
    reference = ImageReference.parse("registry.example.com/shop/app")
    assert not reference.is_pin
    assert reference.with_tag("1", DIGEST_A).is_pin
    assert reference.with_tag("1", DIGEST_A).short == "app:1@aaaaaaaaaaaa"
    assert reference.name == str(reference)
