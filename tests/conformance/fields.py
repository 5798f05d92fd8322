"""Where deployers are held to their contract: a machine, and images that behave in known ways."""

import itertools
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fairlead.config import layout
from fairlead.config.models import AnsibleDeploy, SemaphoreDeploy
from fairlead.config.secrets import Secret
from fairlead.deploy.ansible import AnsibleDeployer
from fairlead.deploy.base import Deployer, DeployRequest, RunningRequest
from fairlead.deploy.fake import FakeDeployer
from fairlead.deploy.semaphore.deployer import SemaphoreDeployer
from fairlead.deploy.semaphore.following import Pace
from fairlead.deploy.semaphore.records import Records
from fairlead.deploy.semaphore.setup import Blueprint, Setup
from fairlead.images import ImageReference
from fairlead.lab import registry
from fairlead.lab.demo import base_of, sources
from fairlead.lab.site import Lab, Site
from fairlead.process import Mask
from tests.fixtures.git import make_site
from tests.fixtures.scaffold import write_ansible
from tests.lab.semaphore_api.running import Running as SemaphoreServer

_RUNS = itertools.count(1)
IMAGE = "web_image"
CANARY = "canary-{{ lookup('pipe', 'id') }}-$(id)-`id`-'\"\\"
# The service is named like the image's variable, so that every deployer speaks of it by the same name.
COMPOSE = """\
services:
  {image}:
    image: {{{{ {image} | to_json }}}}
    environment: {{PASSWORD: "${{PASSWORD:?}}"}}
    healthcheck: {{test: [CMD, test, -e, /marks/healthy], interval: 300ms, timeout: 2s, retries: 3}}
"""
# Beside the pins: what is here beats group_vars/all.yml.
VARIABLES = """\
app_name: {app}
app_directory: /opt/{app}
health_check_url: ""
"""
ENV = "PASSWORD={{ password | to_json | replace('$', '\\\\$') }}\n"
DOCKERFILE = """\
ARG BASE
FROM ${BASE}
COPY marks/ /marks/
STOPSIGNAL SIGKILL
CMD ["sh", "-c", "echo this is ${0}; exec sleep 3600"]
"""


@dataclass(frozen=True)
class Images:
    """old, new: become healthy. broken: never does. missing: no registry has it."""

    old: ImageReference
    new: ImageReference
    broken: ImageReference
    missing: ImageReference


class Field(Protocol):
    """A deployer, a machine at `vm_ip`, and an address where nothing answers."""

    deployer: Deployer
    images: Images
    vm_ip: str
    silent: str

    def release(self, image: ImageReference, **changes: Any) -> dict[str, Any]:
        """The fields of a request for a release that pins `image`."""


def deploy_request(field: Field, image: ImageReference, fence: int = 1, **changes: Any) -> DeployRequest:
    """A deploy of a release that pins `image`."""
    dry_run = changes.pop("dry_run", False)
    run = f"conformance-{next(_RUNS)}"  # a run is one execution: the same run is the same deploy
    return DeployRequest(**field.release(image, **changes), fence=fence, run=run, dry_run=dry_run)


def running_request(field: Field, image: ImageReference, **changes: Any) -> RunningRequest:
    """A look whether the release that pins `image` runs."""
    return RunningRequest(**field.release(image, **changes))


def fields_of(checkout: Path, image: ImageReference, vm_ip: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The fields that all requests share."""
    shared = {"environment": "staging", "app": "shop", "commit": "c" * 40, "checkout": checkout, "vm_ip": vm_ip}
    return {**shared, "pins": {IMAGE: image}, "secrets": {"password": Secret(CANARY)}, **changes}


@dataclass
class FakeField:
    """The fake that dry runs use."""

    checkout: Path
    vm_ip: str = "192.0.2.10"
    silent: str = "192.0.2.99"
    images: Images = field(init=False)
    deployer: Deployer = field(init=False)

    def __post_init__(self) -> None:
        self.images = Images(*(_invented(digit) for digit in "1234"))
        broken, missing = {str(self.images.broken.digest)}, {str(self.images.missing.digest)}
        self.deployer = FakeDeployer(broken=broken, missing=missing, unreachable={self.silent})

    def release(self, image: ImageReference, **changes: Any) -> dict[str, Any]:
        return fields_of(self.checkout, image, self.vm_ip, changes)


def _invented(digit: str) -> ImageReference:
    return ImageReference("registry.example.com", "shop/web", f"{digit}.0", f"sha256:{digit * 64}")


@dataclass
class AnsibleField:
    """The shipped playbook against a lab's machine. Every instance is an application of its own on that machine."""

    root: Path
    site: Site
    images: Images
    app: str = field(default_factory=lambda: f"conf{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        machine = self.site.machines["staging"]
        self.vm_ip, self.silent = machine.address, machine.address.rpartition(".")[0] + ".250"
        self.key = Secret(machine.ssh_key.read_text(encoding="utf-8"))
        self.deployer: Deployer = AnsibleDeployer(AnsibleDeploy(), ssh_key=self.key)

    def release(self, image: ImageReference, **changes: Any) -> dict[str, Any]:
        checkout = self.root / f"{image.tag}"
        if not checkout.exists():
            self.write(checkout, image)
        return fields_of(checkout, image, self.vm_ip, changes)

    def write(self, checkout: Path, image: ImageReference) -> None:
        """The export of a commit: the shipped files, with a stack of one service."""
        place = write_ansible(checkout)
        (place / "group_vars/staging/conformance.yml").write_text(VARIABLES.format(app=self.app))
        (place / "templates/docker-compose.yml.j2").write_text(COMPOSE.format(image=IMAGE))
        (place / "templates/env.j2").write_text(ENV)
        (checkout / layout.images_file("staging")).write_text(f"{IMAGE}: {image}\n")
        (checkout / layout.KNOWN_HOSTS).write_text(self.site.machines["staging"].known_hosts_line)


@dataclass
class SemaphoreField:
    """The same through a Semaphore, whose project is set up as `fairlead semaphore setup` does."""

    root: Path
    site: Site
    images: Images
    semaphore: SemaphoreServer
    app: str = field(default_factory=lambda: f"conf{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.ansible = AnsibleField(self.root, self.site, self.images, self.app)
        self.vm_ip, self.silent = self.ansible.vm_ip, self.ansible.silent
        self.git = make_site(self.root)
        self.settings = SemaphoreDeploy.model_validate({"with": "semaphore"})
        Setup(self.semaphore.server, self.blueprint).run()
        self.deployer: Deployer = self.new_deployer()

    @property
    def blueprint(self) -> Blueprint:
        """What the project must have."""
        return Blueprint(
            settings=self.settings,
            app=self.app,
            environment="staging",
            git_url=self.git.url,
            branch="main",
            images=(IMAGE,),
            secret_names=("password",),
            ssh_key=lambda: self.ansible.key,
            git_key=lambda: self.ansible.key,
            git_login=None,
            secret=lambda _name: Secret(CANARY),
        )

    def new_deployer(self, **changes: Any) -> SemaphoreDeployer:
        """As another process makes one: nothing is shared but the state directory."""
        pace = changes.pop("pace", Pace(poll=0.1, running=300.0, patience=120.0, stopping=10.0))
        records = Records(self.root / "state" / "staging.json")
        return SemaphoreDeployer(self.semaphore.server, self.settings, records, Mask([CANARY]), pace, **changes)

    def release(self, image: ImageReference, **changes: Any) -> dict[str, Any]:
        """A commit on the branch, which Semaphore checks out."""
        if image not in self._commits:
            self.ansible.write(self.git.person, image)
            self._commits[image] = self.git.write({}, f"Pin {image.tag}")
        fields = fields_of(self.git.person, image, self.vm_ip, {"commit": self._commits[image], **changes})
        return {**fields, "app": self.app, "secrets": {}}

    _commits: dict[ImageReference, str] = field(default_factory=dict)


def push_images(lab: Lab, root: Path) -> Images:
    """Build and push one image for each behaviour."""
    old, new = (_push(lab, root, version, "healthy") for version in ("1.0", "2.0"))
    return Images(old, new, _push(lab, root, "broken"), old.with_tag("gone", f"sha256:{'0' * 64}"))


def _push(lab: Lab, root: Path, version: str, *marks: str) -> ImageReference:
    context = root / version
    (context / "marks").mkdir(parents=True)
    (context / "Dockerfile").write_text(DOCKERFILE)
    for mark in (version, *marks):
        (context / "marks" / mark).touch()
    repository = f"shop/conformance{os.getpid()}"  # two workers build at the same time
    target = f"{registry.push_address(lab.docker, lab.name)}/{repository}:{version}"
    base = lab.images.base(base_of("backend", sources()))
    lab.docker.run("build", "--quiet", "--build-arg", f"BASE={base}", "--tag", target, context)
    said = lab.docker.run("push", target).stdout
    lab.docker.run("rmi", "--no-prune", target)
    return ImageReference(lab.site().registry, repository, version, said.rpartition("digest: ")[2].split()[0])
