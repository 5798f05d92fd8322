"""Asks the registries what git does not pin yet: joins the configuration, the pins and the control secrets."""

import asyncio
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fairlead import process
from fairlead.config.secrets import Secret, SecretClass
from fairlead.config.values import print_duration
from fairlead.config.variables import Variables
from fairlead.deployment_repo.message import ImageChange
from fairlead.errors import MissingSecret, UnreadableFile
from fairlead.images import ImageReference
from fairlead.pipeline.gates import Wait
from fairlead.pipeline.scope import Scope
from fairlead.registry import watcher
from fairlead.registry.auth import Credentials, credentials_for
from fairlead.registry.client import RegistryClient
from fairlead.registry.first_seen import FirstSeenFile
from fairlead.registry.watcher import Sighting, Watched

FIRST_SEEN = "first-seen.json"


@dataclass(frozen=True)
class Offer:
    """What the registries offer: changes of pins, what they wait for, and what was seen of every image."""

    changes: tuple[ImageChange, ...]
    waits: tuple[Wait, ...]
    sightings: tuple[Sighting, ...]


def offered(
    scope: Scope,
    quarantined: frozenset[ImageReference],
    *,
    allow_downgrade: bool = False,
    settle: bool = True,
    recheck: bool = False,
) -> Offer:
    """Look at all images of the environment. recheck: ask also whether pinned tags were pushed again.

    Raises the first error when nothing can be offered because of it."""
    rules = watcher.Rules(
        together=scope.configuration.release.together,
        deadline=scope.configuration.release.deadline,
        quarantined=quarantined,
        allow_downgrade=allow_downgrade,
        recheck=recheck,
    )
    look = asyncio.run(_look(scope, rules, settle=settle))
    if look.errors and not look.candidates:
        raise look.errors[0]
    changes = tuple(_change(scope, look[name]) for name in look.candidates if not look.unsettled)
    return Offer(changes, tuple(_waits(look, scope)), look.sightings)


async def _look(scope: Scope, rules: watcher.Rules, *, settle: bool) -> watcher.Look:
    pins = scope.pins
    watched = [
        Watched(name, image, pins.get(name), scope.configuration.cooldown(name))
        for name, image in scope.configuration.images.items()
    ]
    first_seen = FirstSeenFile(scope.variables.state / FIRST_SEEN)
    registries = {image.reference.registry for image in scope.configuration.images.values()}
    with _authorities(scope) as root:
        client = RegistryClient(
            scope.configuration.registries, credentials=registry_credentials(registries, scope.variables), root=root
        )
        async with client:

            async def look() -> watcher.Look:
                return await watcher.look(client, watched, rules, first_seen)

            return (
                await watcher.settled(look, scope.configuration.release.settle, asyncio.sleep)
                if settle
                else await look()
            )


@contextmanager
def _authorities(scope: Scope) -> Iterator[Path]:
    """The CA certificates that fairlead.yaml names, as they are in the commit."""
    with tempfile.TemporaryDirectory(prefix="fairlead-ca-") as directory:
        for name, registry in scope.configuration.registries.items():
            if registry.ca:
                content = scope.repository.read(scope.commit, registry.ca)
                if content is None:
                    raise UnreadableFile(
                        f"registries.{name}.ca: {registry.ca} does not exist in commit {scope.commit[:9]}",
                        remedy=f"git add {registry.ca}",
                    )
                path = Path(directory, registry.ca)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        yield Path(directory)


def registry_credentials(registries: set[str], variables: Variables) -> Mapping[str, Credentials]:
    """What to log in with, by registry: the control secret `registry_HOST` (`user:password`), else Docker's own.

    Raises MissingSecret for a secret of another form, and ConfigurationError for a login of Docker's that is broken.
    """
    found = {registry: _credentials(registry, variables) for registry in sorted(registries)}
    return {registry: credentials for registry, credentials in found.items() if credentials}


def _credentials(registry: str, variables: Variables) -> Credentials | None:
    secret = variables.secrets.find(SecretClass.CONTROL, secret_name(registry))
    if secret is None:
        return credentials_for(registry, variables.docker_config(), process.run)
    username, colon, password = secret.reveal().partition(":")
    if not (username and colon and password):
        raise MissingSecret(
            f"The control secret {secret_name(registry)} is not user:password",
            why=f"It is the login to {registry}; the user and the password stand in it with a colon between them",
            remedy=f"export FAIRLEAD_CONTROL_{secret_name(registry).upper()}=USER:PASSWORD",
        )
    return Credentials(username, Secret(password))


def secret_name(registry: str) -> str:
    """The control secret of a registry: `registry_` and its host, with underscores."""
    return "registry_" + re.sub(r"[^a-z0-9]", "_", registry.lower())


def _change(scope: Scope, sighting: Sighting) -> ImageChange:
    assert sighting.elected is not None
    return ImageChange(
        name=sighting.name,
        old=sighting.pin,
        new=sighting.elected,
        policy=str(scope.configuration.images[sighting.name].policy),
        source=sighting.labels.source or None,
        revision=sighting.labels.revision or None,
    )


def _waits(look: watcher.Look, scope: Scope) -> Iterator[Wait]:
    if look.unsettled:
        yield Wait("release.settle", "the registries never offered the same twice in a row")
    for wait in look.waits:
        if wait.reason == "cooldown":
            cooldown = print_duration(max(scope.configuration.cooldown(name) for name in wait.images))
            yield Wait("release.cooldown", f"{', '.join(wait.images)} {wait.tag} must be {cooldown} old", wait.since)
        else:
            late = " for longer than release.deadline allows" if wait.overdue else ""
            what = f"{wait.tag} is missing for {', '.join(wait.missing)}{late}"
            yield Wait("release.together", what, wait.since)
