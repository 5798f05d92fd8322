"""The demo's images: built from demo/small or demo/shop, stamped with a version, pushed to the lab's registry.

What the two have in common stands once: the shop's database is the small application's, its gateway and its Keycloak
are those of the deployment repository that `fairlead init` writes (deployment/docker).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fairlead.errors import LabError, LabUsage
from fairlead.images import ImageReference, is_tag
from fairlead.lab import registry
from fairlead.lab.images import CADDY_BASE, KEYCLOAK_BASE, Base, demo_base
from fairlead.lab.secrets import APPLICATION as SECRETS
from fairlead.lab.site import Lab
from fairlead.scaffold.render import FILES

APPLICATION = "shop"
SMALL, SHOP = "small", "shop"
COMPONENTS = ("backend", "db", "gateway")
# The first versions, which `fairlead init --lab` begins its policies with.
STACKS = {
    SMALL: dict.fromkeys(COMPONENTS, ""),
    SHOP: {"backend": "1.0.0", "db": "17.0.0", "gateway": "1.0.0", "frontend": "1.0.0", "keycloak": "26.4.0"},
}
VARIANTS = ("", "broken", "wrong-version", "crash-later")
_PACKAGED = Path(__file__).parent / "demo"
_IN_CHECKOUT = Path(__file__).parents[3] / "demo"
_SITES_OWN = FILES / "deployment" / "docker"
_WITH_CADDY = ("gateway", "frontend")
_PUSHED = re.compile(r"digest: (sha256:[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Build:
    """One image of the demo. created: RFC 3339. revision: a commit, invented where none is given."""

    component: str
    version: str
    variant: str = ""
    created: str = ""
    revision: str = ""
    source: str = ""

    def arguments(self, base: str) -> dict[str, str]:
        """The Dockerfile's arguments (demo/small/README.md)."""
        return {
            "BASE": base,
            "VERSION": self.version,
            "VARIANT": self.variant,
            "CREATED": self.created,
            "REVISION": self.revision or hashlib.sha256(f"{self.component} {self.version}".encode()).hexdigest()[:40],
            "SOURCE": self.source or f"https://git.example.com/{APPLICATION}/{self.component}",
        }


def sources(stack: str = SMALL) -> Path:
    """A demo's directory: in the installed package, else in the checkout.

    Raises LabUsage for a stack that there is not, LabError where the demo is in neither place.
    """
    _stack(stack)
    for place in (_PACKAGED / stack, _IN_CHECKOUT / stack):
        if (place / "backend" / "Dockerfile").is_file():
            return place
    raise LabError(
        "The demo's Dockerfiles are not installed", remedy="Run it from a checkout, or name them: --demo DIR"
    )


def build_argv(build: Build, demo: Path, base: str, tag: str) -> list[str]:
    """Build an image. Arguments that a Dockerfile does not have are left out: `docker build` warns about them."""
    directory = place_of(build.component, demo)
    known = set(re.findall(r"(?m)^ARG (\w+)", (directory / "Dockerfile").read_text(encoding="utf-8")))
    return ["build", "--quiet", "--tag", tag, *build_arguments(build.arguments(base), known), str(directory)]


def build_arguments(arguments: Mapping[str, str], known: set[str]) -> list[str]:
    """`--build-arg` for every argument that the Dockerfile declares."""
    return [word for name, value in arguments.items() if name in known for word in ("--build-arg", f"{name}={value}")]


def push(lab: Lab, build: Build, demo: Path | None = None) -> ImageReference:
    """Build a demo image and push it. Returns the pin, under the registry's name in the lab.

    demo: the demo's directory; the small application's where none is given. Raises LabUsage for a component, a
    version or a variant that the demo does not have; LabMissing without a lab.
    """
    demo = demo or sources()
    check(build, demo)
    site = lab.site()
    base = lab.images.base(base_of(build.component, demo))
    repository = f"{APPLICATION}/{build.component}"
    target = f"{registry.push_address(lab.docker, lab.name)}/{repository}:{build.version}"
    with lab.progress.phase(f"Pushing {site.registry}/{repository}:{build.version}"):
        lab.docker.run(*build_argv(build, demo, base, target), timeout=600)
        said = lab.docker.run("push", target, timeout=300).stdout
    lab.docker.run("rmi", "--no-prune", target)
    return ImageReference(site.registry, repository, build.version, pushed_digest(said))


def base_of(component: str, demo: Path) -> Base:
    """What a component is built from."""
    if component in _WITH_CADDY:
        return CADDY_BASE
    return KEYCLOAK_BASE if component == "keycloak" else demo_base(place_of(component, demo).parent)


def bases(demo: Path) -> list[Base]:
    """What a demo's components are built from, each once."""
    return list(dict.fromkeys(base_of(component, demo) for component in components(demo)))


def image_answers(stack: str) -> tuple[str, ...]:
    """A stack's images as `fairlead init --image` takes them. Raises LabUsage for a stack that there is not."""
    tags = {component: f":{first}" if first else "" for component, first in _stack(stack).items()}
    return tuple(f"{variable_of(name)}={APPLICATION}/{name}{tag}" for name, tag in tags.items())


def variable_of(component: str) -> str:
    """The Ansible variable of a component's image."""
    return "app_image" if component == "backend" else f"{component}_image"


def secrets_of(stack: str) -> tuple[str, ...]:
    """The Ansible variables that are a stack's secrets; the lab makes their values up."""
    return SECRETS if "keycloak" in _stack(stack) else SECRETS[:1]


def _stack(name: str) -> Mapping[str, str]:
    if name not in STACKS:
        raise _unknown("stack", name, tuple(STACKS))
    return STACKS[name]


def components(demo: Path) -> tuple[str, ...]:
    """What a demo is made of."""
    return tuple(STACKS.get(demo.name, STACKS[SMALL]))


def place_of(component: str, demo: Path) -> Path:
    """Where a component's Dockerfile is: the demo's own, the deployment repository's, the small application's."""
    places = [place / component for place in (demo, _SITES_OWN, demo.parent / SMALL)]
    return next((place for place in places if (place / "Dockerfile").is_file()), places[0])


def check(build: Build, demo: Path) -> None:
    """Raise LabUsage for a component, a version or a variant that the demo does not have."""
    known = components(demo)
    if build.component not in known:
        raise _unknown("component", build.component, known)
    if build.variant not in VARIANTS:
        raise _unknown("variant", build.variant, VARIANTS[1:])
    if not is_tag(build.version):
        raise LabUsage(f"The version {build.version!r} cannot be a tag", remedy="For example: 1.1.0")


def _unknown(what: str, value: str, known: tuple[str, ...]) -> LabUsage:
    return LabUsage(f"The demo has no {what} {value!r}", remedy=f"Use one of: {', '.join(known)}")


def pushed_digest(said: str) -> str:
    """The digest that `docker push` ends with. Raises LabError if it says none."""
    found = _PUSHED.search(said)
    if found is None:
        raise LabError("docker push named no digest", why=said.strip()[-300:])
    return found.group(1)


def now() -> str:
    """The time for the `created` label, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
