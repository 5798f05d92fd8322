"""What a person tells `fairlead init`. Every value is checked by grammar, so that none can break out of its place."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from fairlead.config.addresses import machine_address
from fairlead.config.values import ENVIRONMENT, NAME
from fairlead.errors import InvalidAnswer, InvalidReference, InvalidSetting
from fairlead.images import ImageReference, is_registry

APP = r"[a-z][a-z0-9-]{1,40}"
# Ansible's own groups, the one host of every inventory, and what YAML reads as something else than text.
RESERVED = ("all", "ungrouped", "app", "true", "false", "null", "yes", "no", "on", "off")
_URL_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+", re.ASCII)
_HOST_KEY = re.compile(r"[A-Za-z0-9.:\[\]-]+ (ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/]+=*", re.ASCII)
_SSH_KEY = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+=*( [A-Za-z0-9@._-]+)?", re.ASCII)
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*", re.ASCII)
_VERSION_TAG = re.compile(r"v?(\d+)\.(\d+)(\.(\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ImageAnswer:
    """An image to watch: the Ansible variable's name, and where the image is.

    A tag chooses the policy (`17` is followed by its digest, `1.4.2` starts a semver range); with a digest too the
    reference is the first pin.
    """

    name: str
    reference: ImageReference

    @classmethod
    def parse(cls, text: str, registry: str = "") -> Self:
        """Read `app_image=registry.example.com/team/app[:tag[@digest]]`. A name without a host is in `registry`."""
        name, equals, where = text.partition("=")
        if not equals or not where:
            raise _invalid("image", text, "is not NAME=REPOSITORY", "app_image=registry.example.com/team/app")
        if registry and not is_registry_first(where):
            where = f"{registry}/{where}"
        try:
            return cls(name, ImageReference.parse(where))
        except InvalidReference as error:
            raise InvalidAnswer(f"The image {text!r} cannot be used", why=str(error), remedy=error.remedy) from None

    @property
    def policy(self) -> str:
        """The tag policy as fairlead.yaml writes it."""
        tag = self.reference.tag
        if tag is None:
            return '{semver: "*"}'
        if match := _VERSION_TAG.fullmatch(tag):
            return f'{{semver: ">={tag.removeprefix("v")} <{int(match[1]) + 1}"}}'
        return f'{{digest: "{tag}"}}'


def is_registry_first(where: str) -> bool:
    """Whether the first component of an image's name is a registry, by Docker's rule."""
    first, slash, _ = where.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


@dataclass(frozen=True, slots=True)
class MachineAnswer:
    """A machine that OpenTofu is to make. address: with prefix, `192.0.2.10/24`. ssh_keys: public ones."""

    vm_id: int
    address: str
    gateway: str
    dns_servers: tuple[str, ...]
    ssh_keys: tuple[str, ...] = ()
    node: str = "pve1"
    template: int = 9000

    @classmethod
    def example(cls, position: int) -> Self:
        """What is written where nobody said anything: addresses that are for documentation (RFC 5737)."""
        return cls(101 + position, f"192.0.2.{10 + position % 200}/24", "192.0.2.1", ("192.0.2.1",))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Raises TypeError or InvalidAnswer for anything else than `asdict` gives."""
        return cls(**{**record, "dns_servers": tuple(record["dns_servers"]), "ssh_keys": tuple(record["ssh_keys"])})

    def __post_init__(self) -> None:
        addresses = (self.gateway, *self.dns_servers)
        wrong = [
            *([] if _is_interface(self.address) else [self.address]),
            *(text for text in addresses if not _is_ipv4(text)),
            *(text for text in self.ssh_keys if not _SSH_KEY.fullmatch(text)),
            *([] if _NODE.fullmatch(self.node) else [self.node]),
        ]
        if wrong:
            raise InvalidAnswer(
                f"{wrong[0]!r} cannot be written into a .tfvars file",
                why="It is no address, no public SSH key and no node of Proxmox",
                remedy="Leave it out, and write the file under deployment/opentofu/environments by hand",
            )


@dataclass(frozen=True, slots=True)
class Answers:
    """All that the scaffold depends on.

    environments: the first follows the images, each other one follows the one before it. images: Ansible variable to
    image. addresses: environment to the machine's address; where one is missing, OpenTofu makes the machines.
    plain_http: registries without TLS. secrets: Ansible variables that are secret. version_path: where the application
    answers `{"version": TAG}` with the tag of the first image; empty where it does not. host_keys: `ADDRESS TYPE KEY`,
    lines of known_hosts that a person or a lab vouches for. machines: what OpenTofu is to make, by environment; an
    example is written where one is missing.
    """

    app: str
    environments: tuple[str, ...]
    images: tuple[ImageAnswer, ...]
    addresses: Mapping[str, str] = field(default_factory=dict)
    plain_http: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ("postgres_password",)
    version_path: str = ""
    host_keys: tuple[str, ...] = ()
    machines: Mapping[str, MachineAnswer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _each_matches("app", (self.app,), re.compile(APP).fullmatch, "shop")
        _each_matches("environment", self.environments, re.compile(ENVIRONMENT).fullmatch, "staging")
        _each_matches("image", [image.name for image in self.images], re.compile(NAME).fullmatch, "app_image")
        _each_matches("secret", self.secrets, re.compile(NAME).fullmatch, "postgres_password")
        _each_matches("address", self.addresses.values(), _is_address, "staging=192.0.2.10")
        _each_matches("registry", self.plain_http, is_registry, "registry.example.com:5000")
        _each_matches("version-path", filter(None, [self.version_path]), _URL_PATH.fullmatch, "/api/version")
        _each_matches("host-key", self.host_keys, _HOST_KEY.fullmatch, "'192.0.2.10 ssh-ed25519 AAAA…'")
        for name in set(self.environments) & set(RESERVED):
            raise _invalid("environment", name, "means something else to Ansible or in YAML", "staging")
        for name in set(self.addresses) - set(self.environments):
            raise _invalid("address", name, "is for an environment that is not asked for", f"{self.environments[0]}=…")

    def as_record(self) -> dict[str, Any]:
        """Plain data, read back by `from_record`."""
        images = {image.name: str(image.reference) for image in self.images}
        return {**asdict(self), "images": images, "addresses": dict(self.addresses)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or InvalidAnswer for anything else than `as_record` gives."""
        return cls(
            record["app"],
            tuple(record["environments"]),
            tuple(ImageAnswer(name, ImageReference.parse(text)) for name, text in record["images"].items()),
            dict(record["addresses"]),
            plain_http=tuple(record["plain_http"]),
            secrets=tuple(record["secrets"]),
            version_path=str(record["version_path"]),
            host_keys=tuple(record["host_keys"]),
            # Records of before OpenTofu have none.
            machines={name: MachineAnswer.from_record(each) for name, each in record.get("machines", {}).items()},
        )

    def machine(self, environment: str) -> MachineAnswer:
        """What OpenTofu is to make for the environment."""
        return self.machines.get(environment) or MachineAnswer.example(self.environments.index(environment))


def _is_interface(text: str) -> bool:
    try:
        return "/" in text and bool(ipaddress.IPv4Interface(text))
    except ValueError:
        return False


def _is_ipv4(text: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False


def _is_address(text: str) -> bool:
    try:
        machine_address(text, "--address")
    except InvalidSetting:
        return False
    return True


def _each_matches(what: str, values: Any, is_right: Callable[[str], object], example: str) -> None:
    texts = list(values)
    if what in ("environment", "image") and not texts:
        raise InvalidAnswer(f"No {what} is given", remedy=f"Add --{what} {example}")
    for text in texts:
        if not is_right(text):
            raise _invalid(what, text, "is not allowed here", example)
        if texts.count(text) > 1 and what != "address":
            raise _invalid(what, text, "is given twice", example)


def _invalid(what: str, value: str, why: str, example: str) -> InvalidAnswer:
    return InvalidAnswer(f"The {what} {value!r} cannot be used", why=f"It {why}", remedy=f"Write --{what} {example}")
