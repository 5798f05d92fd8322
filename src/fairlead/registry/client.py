"""The OCI distribution API, version 1.1, as far as electing an image needs it: tags, digests, and one image's labels.

Source of paths and headers: opencontainers/distribution-spec, spec.md; of documents: opencontainers/image-spec
(image-index.md, manifest.md, config.md, annotations.md) and Docker's manifest-v2-2.md. Everything is checked.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from fairlead.config.models import Registry
from fairlead.errors import ImageMissing, PlatformMissing, RegistryError, RegistryUnreachable, UntrustedAnswer
from fairlead.images import ImageReference, is_digest
from fairlead.registry.auth import Credentials
from fairlead.registry.clock import Clock, SystemClock
from fairlead.registry.connection import Allowance, Answer, Ask, Bounds, Connection, Lines
from fairlead.registry.untrusted import (
    check_digest,
    digest_in,
    digest_of,
    next_link,
    plain_text,
    read_created,
    read_json,
)

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = {"Accept": ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))}
_LABEL = "org.opencontainers.image."
_REMEMBERED = 1024
_LONGEST_TAG = 128
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class TagList:
    """A repository's tags, as the registry wrote them: not all of them need be tags by the grammar.

    complete: False where a bound cut the list short; `why` says which. Nothing may be elected then.
    """

    tags: tuple[str, ...]
    complete: bool = True
    why: str = ""


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """What an image says of itself (annotations.md): one line of visible text each, at most 200 characters."""

    source: str = ""
    revision: str = ""
    version: str = ""
    created: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index whose digest is that of its bytes."""

    digest: str
    content: Mapping[str, Any]

    @property
    def is_index(self) -> bool:
        return "manifests" in self.content


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """What a reference is: the digest that its tag has, and the image for one platform below it.

    digest: the index's, where there is one; it is what gets pinned. platform_digest: the platform manifest's.
    created: the configuration's, None where it is no time that a push can have had.
    """

    digest: str
    platform_digest: str
    labels: ImageLabels
    created: datetime | None


@dataclass(frozen=True, slots=True)
class _Page:
    etag: str
    tags: tuple[str, ...]
    link: str


class RegistryClient:
    """Asks any number of registries; one per process, so that tokens and rate limits are known to all.

    registries: the configuration's. credentials: by registry. root: the directory that CA paths are relative to.
    """

    def __init__(
        self,
        registries: Mapping[str, Registry] | None = None,
        *,
        credentials: Mapping[str, Credentials] | None = None,
        root: Path = Path(),
        bounds: Bounds | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.bounds = bounds or Bounds()
        self.clock = clock or SystemClock()
        self._credentials = credentials or {}
        self._lines = Lines(registries or {}, root, self.bounds)
        self._connections: dict[str, Connection] = {}
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        self._resolved: OrderedDict[tuple[str, str], ResolvedImage] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._lines.close()

    @property
    def requests(self) -> int:
        """How many requests were made so far."""
        return sum(connection.requests for connection in self._connections.values())

    def allowance(self, registry: str) -> Allowance | None:
        """What the registry's last answers said of its rate limit; None where they said nothing."""
        connection = self._connections.get(registry)
        return connection.allowance if connection else None

    async def tags(self, image: ImageReference) -> TagList:
        """All tags of the image's repository: one request per page, conditional where the registry gives an ETag.

        Raises ImageMissing where there is no such repository, and as `Connection.ask` does.
        """
        connection = self._connection(image.registry)
        url = connection.reach.api(f"{image.repository}/tags/list?n={self.bounds.page_size}")
        tags: dict[str, None] = {}
        seen: set[str] = set()
        for _ in range(self.bounds.pages):
            seen.add(str(url))
            page = await self._page(connection, url, image)
            tags.update(dict.fromkeys(page.tags))
            if len(tags) > self.bounds.tags:
                return TagList(tuple(tags)[: self.bounds.tags], False, f"it has more than {self.bounds.tags} tags")
            if not page.link:
                return TagList(tuple(tags))
            url = connection.reach.next_page(page.link, url)
            if str(url) in seen:
                raise UntrustedAnswer(f"{image.name} has a list of tags that leads back to itself")
        return TagList(tuple(tags), False, f"it has more than {self.bounds.pages} pages of tags")

    async def digest(self, reference: ImageReference) -> str:
        """The digest that a tag has: HEAD, or GET where the registry's HEAD does not say.

        It is what the registry claims; `resolve` and `manifest` prove it. Raises ImageMissing.
        """
        answer = await self._ask_manifest("HEAD", reference)
        digest: str = answer.headers.get("docker-content-digest", "")
        if answer.status == 404:
            raise _missing(reference)
        if answer.status == 200 and is_digest(digest):
            return digest
        return (await self.manifest(reference)).digest

    async def manifest(self, reference: ImageReference) -> Manifest:
        """A manifest or index by digest, else by tag. Raises ImageMissing, UntrustedAnswer."""
        answer = await self._ask_manifest("GET", reference)
        if answer.status != 200:
            raise _missing(reference) if answer.status == 404 else _unexpected(answer, str(reference))
        announced = reference.digest or answer.headers.get("docker-content-digest") or digest_of(answer.body)
        check_digest(answer.body, plain_text(announced), f"The manifest of {reference}")
        content = read_json(answer.body, f"The manifest of {reference}")
        if ("manifests" in content) == ("config" in content):
            raise UntrustedAnswer(
                f"The manifest of {reference} is neither an index nor an image",
                why=f"It calls itself {plain_text(content.get('mediaType')) or 'nothing'}",
                remedy="Push the image with a current docker, buildah or skopeo",
            )
        return Manifest(announced, content)

    async def resolve(self, reference: ImageReference, platform: str) -> ResolvedImage:
        """What a reference is for one platform (`linux/amd64`, `linux/arm/v7`): digests, labels, creation time.

        Raises ImageMissing, PlatformMissing, UntrustedAnswer, and as `Connection.ask` does.
        """
        digest = reference.digest or await self.digest(reference)
        if (known := self._resolved.get((digest, platform))) is not None:
            return known
        pinned = replace(reference, digest=digest)
        image = await self._platform_manifest(pinned, platform)
        config = await self._config(pinned, image)
        if image.digest == digest:
            _check_platform(config, platform, pinned)
        created = read_created(config.get("created"), self.clock.now())
        resolved = ResolvedImage(digest, image.digest, _labels(config), created)
        _remember(self._resolved, (digest, platform), resolved)
        return resolved

    async def platform_digest(self, reference: ImageReference, platform: str) -> str:
        """The platform manifest's digest of a pinned reference. Raises as `resolve` does."""
        if reference.digest and (known := self._resolved.get((reference.digest, platform))) is not None:
            return known.platform_digest
        return (await self._platform_manifest(reference, platform)).digest

    async def _page(self, connection: Connection, url: httpx2.URL, image: ImageReference) -> _Page:
        known = self._pages.get(str(url))
        headers = {"If-None-Match": known.etag} if known else {}
        answer = await connection.ask(Ask("GET", url, _pull(image), headers, self.bounds.body))
        if answer.status == 304 and known:
            return known
        if answer.status == 404:
            raise _missing(image)
        if answer.status != 200:
            raise _unexpected(answer, f"The tags of {image.name}")
        page = _read_page(answer, image)
        if page.etag:
            _remember(self._pages, str(url), page)
        return page

    async def _ask_manifest(self, method: str, reference: ImageReference) -> Answer:
        connection = self._connection(reference.registry)
        name = reference.digest or reference.tag
        url = connection.reach.api(f"{reference.repository}/manifests/{name}")
        return await connection.ask(Ask(method, url, _pull(reference), ACCEPT, self.bounds.manifest))

    async def _platform_manifest(self, reference: ImageReference, platform: str) -> Manifest:
        manifest = await self.manifest(reference)
        if not manifest.is_index:
            return manifest
        descriptor = _choose(manifest, platform, reference)
        image = await self.manifest(_by_digest(reference, digest_in(descriptor, f"The index of {reference}")))
        if image.is_index:
            raise UntrustedAnswer(f"The index of {reference} names another index for {platform}")
        return image

    async def _config(self, reference: ImageReference, image: Manifest) -> dict[str, Any]:
        digest = digest_in(image.content.get("config"), f"The manifest of {reference}")
        connection = self._connection(reference.registry)
        url = connection.reach.api(f"{reference.repository}/blobs/{digest}")
        answer = await connection.ask(Ask("GET", url, _pull(reference), {}, self.bounds.manifest, blob=True))
        if answer.status != 200:
            raise _unexpected(answer, f"The configuration of {reference}")
        check_digest(answer.body, digest, f"The configuration of {reference}")
        return read_json(answer.body, f"The configuration of {reference}")

    def _connection(self, registry: str) -> Connection:
        if registry not in self._connections:
            credentials = self._credentials.get(registry)
            self._connections[registry] = Connection(registry, self._lines, credentials, self.bounds, self.clock)
        return self._connections[registry]


def _pull(image: ImageReference) -> str:
    return f"repository:{image.repository}:pull"


def _by_digest(reference: ImageReference, digest: str) -> ImageReference:
    return ImageReference(reference.registry, reference.repository, None, digest)


def _remember(known: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Keep it; forget the oldest beyond the bound."""
    known[key] = value
    if len(known) > _REMEMBERED:
        known.popitem(last=False)


def _read_page(answer: Answer, image: ImageReference) -> _Page:
    """`{"name": …, "tags": […]}`; `null` is what docker-registry answers when every tag is gone."""
    tags = read_json(answer.body, f"The list of tags of {image.name}").get("tags") or []
    if not isinstance(tags, list):
        raise UntrustedAnswer(f"The list of tags of {image.name} is no list")
    cut = tuple(str(tag)[: _LONGEST_TAG + 1] for tag in tags)
    link = next_link(answer.headers.get("link", "")) or ""
    return _Page(answer.headers.get("etag", ""), cut, link)


def _choose(index: Manifest, platform: str, reference: ImageReference) -> Mapping[str, Any]:
    """The index's entry for a platform. Attestations say `unknown/unknown` and so never fit."""
    entries = index.content["manifests"]
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    offered: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        offered.setdefault(_platform_of(entry.get("platform")), entry)
    found = offered.get(platform) or (offered.get(f"{platform}/v8") if platform == "linux/arm64" else None)
    if found is None:
        raise _no_platform(reference, platform, [name for name in offered if name and not name.startswith("unknown")])
    return found


def _platform_of(mapping: Any) -> str:
    if not isinstance(mapping, dict):
        return ""
    parts = (mapping.get("os"), mapping.get("architecture"), mapping.get("variant"))
    return "/".join(part for part in parts if isinstance(part, str) and part)


def _check_platform(config: Mapping[str, Any], platform: str, reference: ImageReference) -> None:
    """An image without an index says in its configuration what it is for."""
    actual = _platform_of(config)
    if actual != platform and not actual.startswith(f"{platform}/"):
        raise _no_platform(reference, platform, [actual] if actual else [])


def _no_platform(reference: ImageReference, platform: str, offered: list[str]) -> PlatformMissing:
    shown = ", ".join(plain_text(name, 40) for name in offered[:10]) or "no platform at all"
    return PlatformMissing(
        f"{reference} is not there for {platform}",
        why=f"It is there for {shown}",
        remedy=f"docker buildx build --platform {platform} --push -t {_by_tag(reference)} .",
    )


def _by_tag(reference: ImageReference) -> str:
    return f"{reference.name}:{reference.tag}" if reference.tag else reference.name


def _labels(config: Mapping[str, Any]) -> ImageLabels:
    inner = config.get("config")
    labels = inner.get("Labels") if isinstance(inner, dict) else None
    found = labels if isinstance(labels, dict) else {}
    return ImageLabels(*(plain_text(found.get(_LABEL + name)) for name in ("source", "revision", "version", "created")))


def _missing(reference: ImageReference) -> ImageMissing:
    return ImageMissing(
        f"{reference} is not in the registry",
        why=f"{reference.registry} knows no such repository, tag or digest",
        remedy=f"skopeo list-tags docker://{reference.name}",
    )


def _unexpected(answer: Answer, what: str) -> RegistryError:
    kind = RegistryUnreachable if answer.status >= 500 else UntrustedAnswer
    said = f"{what}: the registry answers with status {answer.status}"
    return kind(said, remedy=f"curl -v {answer.url.copy_with(query=None)}")
