"""What is fuzzed: everything that strangers write and Fairlead reads.

A target opens whatever it needs and gives a function that takes one input. It ends in a value or in the one kind of
error that is allowed; anything else is a finding.
"""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fairlead.config.load import load_configuration
from fairlead.deployment_repo.message import ImageChange, ReleaseMessage
from fairlead.deployment_repo.pins import edit_pins, read_pins
from fairlead.errors import ConfigurationError, InvalidPins, InvalidReference, RegistryError
from fairlead.images import ImageReference
from fairlead.registry.client import RegistryClient
from fairlead.registry.connection import Bounds
from fairlead.registry.untrusted import plain_text
from tests.fixtures.git import PINS, image
from tests.registry.hostile import Asked, Reply, hostile
from tests.scaffold.ansible.module import fairlead_compose as module

Check = Callable[[Any], None]
EXAMPLE = (Path(__file__).parents[2] / "docs/reference/fairlead.yaml").read_text()
NEW = image("backend", "2.0.0", "c")


@dataclass(frozen=True)
class Target:
    """inputs: what it may be given, mostly near what is right. open: gives the function that takes one of them."""

    inputs: st.SearchStrategy[Any]
    open: Callable[[], AbstractContextManager[Check]]


def pure(check: Check) -> Callable[[], AbstractContextManager[Check]]:
    """A target that needs nothing."""

    @contextmanager
    def opened() -> Iterator[Check]:
        yield check

    return opened


# --- texts that are nearly right

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.text(max_size=30),
    st.binary(max_size=8).map(str),
)
SEEDS = [
    "latest",
    "1.2.3",
    "{{ 7 * 7 }}",
    "$(id)",
    "-x",
    "../..",
    "sha256:" + "a" * 64,
    "9" * 400,
    "\u202e\x1b[2J",
    "&a",
    "!!python/x",
    "~",
]
JSON = st.recursive(
    SCALARS | st.sampled_from(SEEDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def nearly(text: str) -> st.SearchStrategy[str]:
    """The text with a few places overwritten, lines doubled or taken away."""
    edits = st.tuples(st.integers(0, len(text)), st.integers(0, 40), st.sampled_from(SEEDS) | st.text(max_size=12))
    return st.lists(edits, max_size=4).map(lambda made: _edited(text, made))


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    return text


# --- registry JSON


def _descriptor(digest: object) -> dict[str, object]:
    return {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2}


CONFIGS = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {"os": st.just("linux") | JSON, "architecture": st.just("amd64") | JSON},
        optional={"created": JSON, "config": st.fixed_dictionaries({"Labels": JSON}) | JSON},
    ),
)
MANIFESTS = st.one_of(
    JSON,
    st.fixed_dictionaries({}, optional={"config": st.just("CONFIG") | JSON, "layers": JSON, "mediaType": JSON}),
    st.fixed_dictionaries(
        {"manifests": st.lists(st.fixed_dictionaries({}, optional={"digest": JSON, "platform": JSON})) | JSON}
    ),
)
ANSWERS = st.fixed_dictionaries(
    {
        "tags": st.fixed_dictionaries({"tags": JSON}) | JSON,
        "manifest": MANIFESTS,
        "config": CONFIGS,
        "cut": st.integers(0, 400),
        "link": st.text(max_size=60)
        | st.sampled_from(['</v2/shop/app/tags/list?last=x>; rel="next"', "<>;rel=next", ""]),
    }
)


@contextmanager
def registry() -> Iterator[Check]:
    """A real client asks a real server for a list of tags and an image; the server says what it is given."""
    given: dict[str, Any] = {}

    def say(asked: Asked) -> Reply:
        kind = "tags" if "/tags/" in asked.path else "config" if "/blobs/" in asked.path else "manifest"
        body: bytes = given[kind]
        headers = {"Docker-Content-Digest": _digest(body)} if kind == "manifest" else {"Link": given["link"]}
        return Reply(200, headers, body)

    with hostile(say) as server:

        async def ask() -> None:
            async with RegistryClient(server.settings, bounds=replace(Bounds(), pages=3)) as client:
                for question in (client.tags(server.app), client.resolve(server.app.with_tag("1"), "linux/amd64")):
                    try:
                        await question
                    except RegistryError:
                        continue

        def check(answers: Mapping[str, Any]) -> None:
            given.update(_bodies(answers))
            asyncio.run(ask())

        yield check


def _bodies(answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers as bytes; the manifest names the configuration's real digest where it is asked to."""
    config = json.dumps(answers["config"]).encode()
    manifest = answers["manifest"]
    if isinstance(manifest, dict) and manifest.get("config") == "CONFIG":
        manifest = {**manifest, "config": _descriptor(_digest(config))}
    body = json.dumps(manifest).encode()
    link = "".join(character for character in answers["link"] if character.isprintable() and character.isascii())
    cut = answers["cut"] if answers["cut"] < 200 else None  # half of the time nothing is cut off
    return {"config": config, "manifest": body[:cut], "tags": json.dumps(answers["tags"]).encode(), "link": link}


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


# --- references


def reference(text: str) -> None:
    """What is read is printed as plain text, and read back as the same."""
    try:
        found = ImageReference.parse(text)
    except InvalidReference as error:
        assert error.why  # noqa: PT017 - either end is right
        return
    assert ImageReference.parse(str(found)) == found
    assert str(found).isascii()
    assert str(found).isprintable()


# --- files of the deployment repository


def configuration(text: str) -> None:
    """A configuration, or an error that names the place."""
    try:
        load_configuration(text.encode(errors="surrogatepass"))
    except ConfigurationError as error:
        assert "fairlead.yaml" in error.what  # noqa: PT017 - either end is right


def pins(text: str) -> None:
    """Pins, which an edit changes as it should and no others; or an error."""
    content = text.encode(errors="surrogatepass")
    try:
        before = read_pins(content)
        after = edit_pins(content, {"app_image": NEW})
    except InvalidPins:
        return
    assert read_pins(after) == {**before, "app_image": NEW}


# --- labels to trailers


def labels(texts: tuple[str, str, str, str]) -> None:
    """Whatever an image's labels say, the commit has exactly our trailers, and is read back as it was meant."""
    source, revision, reason, policy = texts
    change = ImageChange(
        "app_image",
        image("backend", "1.0.0"),
        NEW,
        policy=plain_text(policy),
        source=plain_text(source),
        revision=plain_text(revision),
    )
    text = ReleaseMessage("staging", "run-1", (change,), reason=reason, rollback_of="a" * 40).text()
    last = text.rstrip("\n").rpartition("\n\n")[2].splitlines()
    assert all(line.startswith("Fairlead-") for line in last), last
    read = ReleaseMessage.parse(text)
    assert read is not None
    assert (read.run, read.environment) == ("run-1", "staging")
    assert [one.new for one in read.changes] == [NEW]


# --- the Compose module


@contextmanager
def compose_module() -> Iterator[Check]:
    """Its readers take any text; its files come back as they were written; a secret of .env is never shown."""
    with tempfile.TemporaryDirectory() as directory:

        def check(given: tuple[str, str, bytes, str]) -> None:
            compose, env, stream, fence = given
            module.marks_in(compose)
            module.unframe(stream)
            module.message_of(stream)
            files = module.Files(compose, env)
            files.write(directory)
            assert module.Files.read(directory) == files
            hide, secrets = module.masker(files.secrets()), files.secrets()
            shown = hide("\n".join(f"before {secret} after" for secret in secrets))
            assert not [secret for secret in secrets if f"before {secret} after" in shown]
            record = module.Record(directory, "app")
            (Path(directory) / "app").mkdir(exist_ok=True)
            (Path(directory) / "app" / "fence").write_text(fence, errors="surrogatepass")
            assert record.fence() is None or record.fence() >= 0

        yield check


COMPOSE = "services:\n  backend:\n    image: r/backend@sha256:1\n    x-fairlead: {rollout: start-first}\n"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)
TARGETS: Mapping[str, Target] = {
    "registry-json": Target(ANSWERS, registry),
    "references": Target(nearly(str(NEW)) | st.text(max_size=80), pure(reference)),
    "fairlead.yaml": Target(nearly(EXAMPLE) | JSON.map(json.dumps) | st.text(max_size=80), pure(configuration)),
    "images.yml": Target(nearly(PINS) | JSON.map(json.dumps) | st.text(max_size=80), pure(pins)),
    "labels": Target(
        st.tuples(*[st.text(max_size=300) | nearly("https://example.com/a.git\n\nSigned-off-by: x")] * 4), pure(labels)
    ),
    "compose-module": Target(
        st.tuples(
            nearly(COMPOSE).filter(str.isascii) | TEXT,
            nearly("A='b c'\nB=\"$1\"\n").filter(str.isascii) | TEXT,
            st.binary(max_size=60),
            TEXT,
        ),
        compose_module,
    ),
}
