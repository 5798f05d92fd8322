"""The registries and the images in them: whether they answer, let us in, and have a tag that fits."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead.config.models import Configuration, Image
from fairlead.config.variables import Variables
from fairlead.errors import FairleadError, ImageMissing, RegistryDenied, RegistryRateLimited, RegistryUnreachable
from fairlead.pipeline.doctor.fact import Fact, fails
from fairlead.pipeline.registries import registry_credentials, secret_name
from fairlead.registry.auth import Credentials
from fairlead.registry.client import RegistryClient
from fairlead.registry.connection import Allowance, Bounds
from fairlead.registry.policy import Ballot, Election, elect, moving_tag

PATIENCE = Bounds(tries=2, request=15.0)
_SCARCE = 0.1  # of the rate limit
_GONE = (RegistryUnreachable, RegistryRateLimited)

Seen = str | FairleadError  # what a look at an image gave: the elected tag, or why not


@dataclass(frozen=True)
class Site:
    """One registry as fairlead.yaml has it. root: the directory that CA paths are relative to."""

    registry: str
    configuration: Configuration
    variables: Variables
    root: Path

    @property
    def images(self) -> Mapping[str, Image]:
        """Its images, by Ansible variable."""
        images = self.configuration.images.items()
        return {name: image for name, image in images if image.reference.registry == self.registry}


def registries_of(configuration: Configuration) -> list[str]:
    """The registries that hold images, in the order of the file."""
    return list(dict.fromkeys(image.reference.registry for image in configuration.images.values()))


def registry(site: Site) -> Iterator[Fact]:
    """Reachable, TLS, login, rate limit, and each image."""
    name = f"registry {site.registry}"
    try:
        credentials = registry_credentials({site.registry}, site.variables)
        seen, allowance = asyncio.run(_look(site, credentials))
    except FairleadError as error:
        yield fails(name, error)
        return
    gone = next((error for error in seen.values() if isinstance(error, _GONE)), None)
    if gone:
        yield fails(name, gone)
        return
    yield Fact(name, True, "answers")
    login = credentials.get(site.registry)
    yield _login(site.registry, login.username if login else "", seen)
    if allowance:
        yield rate_limit(site.registry, allowance)
    for image, one in seen.items():
        yield _image(image, site.images[image], one)


async def _look(site: Site, credentials: Mapping[str, Credentials]) -> tuple[dict[str, Seen], Allowance | None]:
    """Look at one image, and at the others only where the registry answered."""
    first, *others = site.images.items()
    settings = site.configuration.registries
    async with RegistryClient(settings, credentials=credentials, root=site.root, bounds=PATIENCE) as client:
        seen = {first[0]: await _see(client, first[1])}
        if not isinstance(seen[first[0]], _GONE):
            rest = await asyncio.gather(*(_see(client, image) for _, image in others))
            seen |= dict(zip((name for name, _ in others), rest, strict=True))
        return seen, client.allowance(site.registry)


async def _see(client: RegistryClient, image: Image) -> Seen:
    """The tag that the policy elects. Its digest is asked for by HEAD, which counts against no rate limit."""
    try:
        tag = moving_tag(image)
        if tag is None:
            election = elect(Ballot(image, await client.tags(image.reference)))
            if election.elected is None:
                return _nothing_fits(image, election)
            tag = election.elected
        await client.digest(image.reference.with_tag(tag))
    except FairleadError as error:
        return error
    return tag


def _nothing_fits(image: Image, election: Election) -> FairleadError:
    example = f"; {election.rejected[0].tag} {election.rejected[0].reason}" if election.rejected else ""
    return ImageMissing(
        f"{image.repository} has no tag that its policy {image.policy} elects",
        why=f"{election.why}{example}",
        remedy=f"Push an image with such a tag, or change the policy; skopeo list-tags docker://{image.repository}",
    )


def _login(registry: str, username: str, seen: Mapping[str, Seen]) -> Fact:
    """A registry that refuses every image refuses the login; one that refuses some refuses those."""
    name = f"registry {registry}: login"
    denied = next((error for error in seen.values() if isinstance(error, RegistryDenied)), None)
    if denied and all(isinstance(error, RegistryDenied) for error in seen.values()):
        remedy = f"docker login {registry}, or set the control secret {secret_name(registry)} to user:password"
        return Fact(name, False, denied.why, remedy)
    return Fact(name, True, f"{username!r} is accepted" if username else "none is needed")


def rate_limit(registry: str, allowance: Allowance) -> Fact:
    """How much of a rate limit is left."""
    detail = f"{allowance.left} of {allowance.total} left" if allowance.total else f"{allowance.left} left"
    scarce = allowance.left <= allowance.total * _SCARCE
    remedy = f"Poll less often, or log in for a higher limit: docker login {registry}" if scarce else ""
    return Fact(f"registry {registry}: rate limit", allowance.left > 0, detail, remedy)


def _image(name: str, image: Image, seen: Seen) -> Fact:
    if isinstance(seen, FairleadError):
        return fails(f"image {name}", seen)
    return Fact(f"image {name}", True, f"{image.repository}:{seen} fits {image.policy}")
