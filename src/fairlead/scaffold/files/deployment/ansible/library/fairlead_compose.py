#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Put one release of a Docker Compose application on this machine, or undo the attempt. One round trip.

Read from the bottom: `main` chooses between `Deployment` (state: deployed) and `inspect` (state: inspected).
A `Deployment` holds the machine's lock, compares the fence, and lets a `Rollout` bring the containers to what the
Compose file says; when that fails, a second `Rollout` brings them back to what served before. What is to be done is
computed by pure functions (`plan`, `batches`, `verdict`, `prunable`), so it can be tested without an engine.
Programs: only `docker compose` and `docker pull`'s credentials need the client; all else asks the engine's socket,
which answers in milliseconds. Only the standard library is used, and Python 3.9 is enough.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: fairlead_compose
short_description: Deploy one release of a Docker Compose application, or read what runs
description:
  - >-
    With O(state=deployed), takes the machine's lock, refuses a stale release, pulls what is missing, recreates only
    what changed, waits for health, and puts the previous release back when the new one does not become healthy.
  - >-
    Services marked C(x-fairlead: {rollout: start-first}) are replaced beside the running container. With C(announce),
    the name of one of the service's networks, the new container joins that network only when it is healthy, so that
    a gateway there never sends a request to a container that cannot serve.
  - With O(state=inspected), compares the digests that run with those expected. Changes nothing.
options:
  state:
    description: What to do.
    choices: [deployed, inspected]
    default: deployed
    type: str
  app:
    description: The application's name, which is also the Compose project's.
    required: true
    type: str
  directory:
    description: Where docker-compose.yml and .env live on the machine.
    default: /opt/app
    type: path
  compose:
    description: The content of docker-compose.yml. Required for O(state=deployed).
    type: str
  env:
    description: The content of .env, written with mode 0600.
    default: ""
    type: str
  expected:
    description: For O(state=inspected), the image reference that every service must run.
    default: {}
    type: dict
  fence:
    description: >-
      The position of the release's commit on the deployment branch. A lower number than the recorded one is refused.
    type: int
  run:
    description: The run that deploys, told to whoever finds the machine locked.
    default: by hand
    type: str
  commit:
    description: The release's commit.
    default: ""
    type: str
  force_recreate:
    description: Recreate every container in place, as plain Compose does.
    default: false
    type: bool
  lock_wait:
    description: Seconds to wait for another deployment to end.
    default: 60
    type: int
  health_timeout:
    description: Seconds that the containers of one step have to become healthy.
    default: 180
    type: int
  steady:
    description: Seconds that a container without a health check must run.
    default: 1.0
    type: float
  program_timeout:
    description: Seconds after which a pull or a start is given up.
    default: 900
    type: int
  reserve:
    description: MiB that must stay free on the engine's disk.
    default: 512
    type: int
  health_check_url:
    description: >-
      Asked once at the end, and the answer is in RV(answers), so that a playbook needs another round trip only where
      it was not 200. V("") for none.
    default: ""
    type: str
  keep_releases:
    description: How many releases' images stay on the machine, newest first.
    default: 3
    type: int
  keep_fences:
    description: Releases whose images stay too, whatever their age.
    default: []
    type: list
    elements: int
  record:
    description: Where the lock, the fence and the serving release's files are kept.
    default: /var/lib/fairlead
    type: path
  socket:
    description: The engine's socket.
    default: /var/run/docker.sock
    type: path
requirements: [Docker Engine 20.10 or later, Docker Compose 2.20 or later, Python 3.9 or later]
author: The Fairlead maintainers
"""

EXAMPLES = r"""
- name: Deploy the release
  fairlead_compose:
    app: shop
    compose: "{{ lookup('ansible.builtin.template', 'docker-compose.yml.j2') }}"
    env: "{{ lookup('ansible.builtin.template', 'env.j2') }}"
    fence: 42
"""

RETURN = r"""
outcome:
  description: >-
    V(deployed), V(unchanged), V(release_fault) (the release's containers or images are at fault) or V(site_fault)
    (the machine, the engine, the registry or another holder; repeating may help). With O(state=inspected), V(match)
    or V(differs).
  type: str
  returned: always
fault:
  description: >-
    code, service, reason, log (last lines of the failing container), restored (C(yes), C(no) and why, or
    C(nothing to restore)).
  type: dict
  returned: on failure
services:
  description: Per service, the action, the old and new image reference and digest; with inspected, its containers.
  type: dict
  returned: always
timings:
  description: Seconds per phase.
  type: dict
  returned: with deployed
answers:
  description: Whether O(health_check_url) answered 200 at the first attempt.
  type: bool
  returned: with deployed
fence:
  description: The fence that the machine has recorded.
  type: int
  returned: with deployed
"""

import contextlib  # noqa: E402
import fcntl  # noqa: E402
import glob  # noqa: E402
import http.client  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import shutil  # noqa: E402
import socket  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import urllib.request  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence  # noqa: E402
from urllib.parse import quote, urlencode  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

COMPOSE_FILE = "docker-compose.yml"
ENV_FILE = ".env"
HALF_WRITTEN = ".fairlead-"  # how the name of a file begins until it is whole
KEEP = "fairlead.keep"
POLL = 0.1  # seconds between two looks at a container
RESTARTS = 3  # a container that the engine had to restart so often is crashing
LOG_LINES = 20
MIB = 1024 * 1024
LABEL = "com.docker.compose."

# ---------------------------------------------------------------------------------------------------------------------
# Faults: who must act


class Fault(Exception):
    """The deployment cannot be done. `code` is stable; `service` and `log` name the culprit where there is one."""

    outcome = "site_fault"

    def __init__(self, code: str, reason: str, service: str = "", log: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason, self.service, self.log = code, reason, service, log
        self.restored = "nothing to restore"

    def report(self, mask: Callable[[str], str]) -> dict[str, Any]:
        """The fault as result fields, with every secret masked."""
        return {
            "code": self.code,
            "service": self.service,
            "reason": mask(self.reason),
            "log": [mask(line) for line in self.log.splitlines()[-LOG_LINES:]],
            "restored": self.restored,
        }


class SiteFault(Fault):
    """The machine, the engine, the registry, or another holder. Repeating may help; the release is not to blame."""


class ReleaseFault(Fault):
    """The release's own images or Compose file. Repeating does not help."""

    outcome = "release_fault"


# ---------------------------------------------------------------------------------------------------------------------
# What the Compose file asks for, and what runs


@dataclass(frozen=True)
class Service:
    """One service of the Compose model. `hash` is Compose's own: it changes when a container must be recreated."""

    name: str
    image: str
    hash: str = ""
    marks: Mapping[str, str] = field(default_factory=dict)  # x-fairlead
    depends_on: tuple[str, ...] = ()
    replicas: int = 1
    has_healthcheck: bool = False
    obstacles: tuple[str, ...] = ()  # why two containers of it cannot live side by side
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # key in the Compose file -> aliases
    announce_in: str = ""  # the engine's name of the network that a new container joins only when it is healthy

    @property
    def start_first(self) -> bool:
        """Whether its new container starts beside the old one."""
        return self.marks.get("rollout") == "start-first"

    @property
    def pinned(self) -> bool:
        """Whether the reference names content, not a movable tag."""
        return "@sha256:" in self.image


@dataclass(frozen=True)
class Container:
    """One container of the application, as the engine describes it."""

    id: str
    service: str
    hash: str = ""
    image: str = ""  # the reference it was made from
    image_id: str = ""
    status: str = "running"
    health: str = ""  # "" without a health check
    exit_code: int = 0
    restarts: int = 0
    restart_policy: str = ""
    health_output: str = ""
    networks: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        """Whether it could serve."""
        return self.status == "running"

    @property
    def completed(self) -> bool:
        """Whether it was meant to end, and ended well (a migration, for example)."""
        return self.status == "exited" and self.exit_code == 0 and self.restart_policy in ("", "no", "on-failure")

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it now."""
        return self.completed or (self.running and self.health in ("", "none", "healthy"))


def service_of(name: str, model: Mapping[str, Any], config_hash: str, marks: Mapping[str, str]) -> Service:
    """A service from the JSON that `docker compose config` prints, its hash, and its `x-fairlead` marks."""
    body = model["services"][name]
    network = (model.get("networks") or {}).get(marks.get("announce", "")) or {}
    return Service(
        name=name,
        image=body.get("image", ""),
        hash=config_hash,
        marks=marks,
        depends_on=tuple(sorted(body.get("depends_on") or ())),
        replicas=replicas_of(body),
        has_healthcheck=bool(body.get("healthcheck")) and not body["healthcheck"].get("disable", False),
        obstacles=tuple(obstacles_of(body)),
        networks={
            key: tuple((value or {}).get("aliases") or ()) for key, value in (body.get("networks") or {}).items()
        },
        announce_in=network.get("name", ""),
    )


def replicas_of(body: Mapping[str, Any]) -> int:
    """How many containers the service is to have."""
    replicas = (body.get("deploy") or {}).get("replicas")
    return int(body.get("scale", 1) if replicas is None else replicas)


def obstacles_of(body: Mapping[str, Any]) -> Iterator[str]:
    """Every setting that keeps a second container from starting beside the first."""
    if body.get("ports"):
        yield "it publishes host ports"
    if body.get("container_name"):
        yield "it has a container_name"
    if str(body.get("network_mode") or "").startswith(("host", "service:", "container:")):
        yield f"its network_mode is {body['network_mode']}"
    if any((network or {}).get("ipv4_address") for network in (body.get("networks") or {}).values()):
        yield "it has a fixed address"
    if replicas_of(body) != 1:
        yield f"it has {replicas_of(body)} replicas"
    if (body.get("healthcheck") or {}).get("disable"):
        yield "its health check is disabled"


def marks_in(canonical: str) -> dict[str, dict[str, str]]:
    """The `x-fairlead` of every service that has one, from the YAML that `docker compose config` prints.

    Compose's JSON leaves extensions out (2.26), and the target need not have a YAML parser. Compose's own output is
    canonical: two spaces a level, one key a line.
    """
    found: dict[str, dict[str, str]] = {}
    path: list[str] = []
    for line in canonical.splitlines():
        match = re.match(r"( *)([^\s:#][^:]*):(?: (.*))?$", line)
        if not match:
            continue
        path = [*path[: len(match.group(1)) // 2], unquoted(match.group(2))]
        if len(path) == 4 and path[0] == "services" and path[2] == "x-fairlead":
            found.setdefault(path[1], {})[path[3]] = unquoted(match.group(3) or "")
    return found


def unquoted(scalar: str) -> str:
    """A plain or quoted scalar of canonical YAML that needs no escapes."""
    return scalar.strip().strip("\"'")


def parse_hashes(text: str) -> dict[str, str]:
    """`docker compose config --hash '*'`: a service and its hash per line."""
    return dict(line.split(None, 1) for line in text.splitlines() if line.strip())


def container_of(body: Mapping[str, Any]) -> Container:
    """A container from the engine's answer to GET /containers/{id}/json."""
    config, state = body["Config"], body["State"]
    health = state.get("Health") or {}
    probes = health.get("Log") or [{}]
    return Container(
        id=body["Id"],
        service=config["Labels"].get(LABEL + "service", ""),
        hash=config["Labels"].get(LABEL + "config-hash", ""),
        image=config.get("Image", ""),
        image_id=body.get("Image", ""),
        status=state.get("Status", ""),
        health=health.get("Status", ""),
        exit_code=state.get("ExitCode", 0),
        restarts=body.get("RestartCount", 0),
        restart_policy=((body.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name", ""),
        health_output=(probes[-1] or {}).get("Output", ""),
        networks=tuple((body.get("NetworkSettings") or {}).get("Networks") or ()),
    )


# ---------------------------------------------------------------------------------------------------------------------
# The plan: pure


@dataclass(frozen=True)
class Step:
    """What happens to one service.

    keep: nothing. create, start, replace: Compose does it in place. start-first: a new container beside `old`.
    finish: a container of this release already runs beside `old`, left there by a rollout that was cut short.
    remove: the service is gone from the Compose file. `dead` are removed first: they serve nobody, and Compose would
    start them again.
    """

    service: str
    action: str
    old: tuple[Container, ...] = ()
    dead: tuple[Container, ...] = ()
    image: str = ""

    @property
    def beside(self) -> bool:
        """Whether the old containers stay until the new one is healthy."""
        return self.action in ("start-first", "finish")


def plan(
    services: Iterable[Service], containers: Sequence[Container], images: Mapping[str, str], force: bool = False
) -> list[Step]:
    """One step per service, dependencies first, and one per service that is no longer wanted.

    images: image reference -> local image id; only looked at for references that are not pinned. force: recreate all.
    """
    wanted = in_order(services)
    steps = [
        step_for(service, [c for c in containers if c.service == service.name], images, force) for service in wanted
    ]
    names = {service.name for service in wanted}
    for gone in sorted({c.service for c in containers} - names):
        steps.append(Step(gone, "remove", old=tuple(c for c in containers if c.service == gone)))
    return steps


def step_for(service: Service, mine: Sequence[Container], images: Mapping[str, str], force: bool) -> Step:
    """What happens to one service, given its own containers."""
    right = [c for c in mine if is_right(c, service, images)]
    settled = len(right) == len(mine) == service.replicas and all(is_announced(c, service) for c in right)
    if not mine:
        action = "create"
    elif force:
        action = "replace"
    elif settled:
        action = "keep" if all(c.running or c.completed or c.status == "restarting" for c in right) else "start"
    elif service.start_first and any(c.running for c in mine):
        return beside_step(service, mine, [c for c in right if c.running])
    else:
        action = "replace"
    return Step(service.name, action, old=tuple(mine), image=service.image)


def is_announced(container: Container, service: Service) -> bool:
    """Whether a gateway can find it."""
    return not service.announce_in or not container.running or service.announce_in in container.networks


def beside_step(service: Service, mine: Sequence[Container], right: Sequence[Container]) -> Step:
    """Start a container beside the old ones, or finish what was begun: the healthiest of this release stays."""
    keep = sorted(right, key=lambda c: not c.good)[:1]
    old = tuple(c for c in mine if c.running and c not in keep)
    dead = tuple(c for c in mine if not c.running)
    return Step(service.name, "finish" if keep else "start-first", old=old, dead=dead, image=service.image)


def is_right(container: Container, service: Service, images: Mapping[str, str]) -> bool:
    """Whether the container is what the Compose file asks for, by configuration and by content."""
    same_content = service.pinned or container.image_id == images.get(service.image, container.image_id)
    return container.hash == service.hash and same_content


def in_order(services: Iterable[Service]) -> list[Service]:
    """Dependencies first, else by name. Compose itself refuses circles, so there are none."""
    by_name = {service.name: service for service in services}
    ordered: dict[str, Service] = {}

    def visit(name: str) -> None:
        if name in by_name and name not in ordered:
            for dependency in by_name[name].depends_on:
                visit(dependency)
            ordered[name] = by_name[name]

    for name in sorted(by_name):
        visit(name)
    return list(ordered.values())


def batches(steps: Iterable[Step]) -> list[list[Step]]:
    """Steps that one call of Compose can do together: neighbours of the same kind. Nothing to do, no batch."""
    groups: list[list[Step]] = []
    for step in steps:
        if step.action in ("keep", "remove"):
            continue
        if groups and groups[-1][0].beside == step.beside:
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def refusals(services: Iterable[Service]) -> list[str]:
    """Why this Compose file cannot be rolled out as it asks, before anything starts."""
    return [f"{service.name}: {reason}" for service in services for reason in refusals_of(service)]


def refusals_of(service: Service) -> Iterator[str]:
    """What is wrong with one service's `x-fairlead`."""
    for key in sorted(set(service.marks) - {"rollout", "announce"}):
        yield f"x-fairlead has no setting {key!r}; it has rollout and announce"
    rollout, network = service.marks.get("rollout", "in-place"), service.marks.get("announce")
    if rollout not in ("in-place", "start-first"):
        yield f"unknown rollout {rollout!r}; it is start-first or in-place"
    if network is not None and network not in service.networks:
        yield f"it cannot be announced in {network!r}, which is none of its networks"
    if network is not None and set(service.networks) == {network}:
        yield f"it cannot be announced in {network!r}, its only network: without one it would never become healthy"
    if service.start_first:
        yield from (f"it cannot start first: {obstacle}" for obstacle in service.obstacles)


def verdict(container: Container, watched: float, steady: float) -> str:
    """ "good", "wait" or what is bad about it, after `watched` seconds of looking at this container."""
    if container.completed:
        return "good"
    if container.status in ("exited", "dead", "removing"):
        return f"ended with exit code {container.exit_code}"
    if container.restarts >= RESTARTS:
        return f"was restarted {container.restarts} times"
    if container.health == "unhealthy":
        return "is unhealthy"
    if container.status != "running" or container.health == "starting":
        return "wait"
    return "good" if container.health == "healthy" or watched >= steady else "wait"


def changes(steps: Iterable[Step], services: Iterable[Service]) -> dict[str, dict[str, str]]:
    """The report: per service what was done, and the old and new reference with their digests."""
    new = {service.name: service.image for service in services}
    return {step.service: change(step, new.get(step.service, "")) for step in steps}


def change(step: Step, new: str) -> dict[str, str]:
    """One service's line of the report."""
    old = step.old[0].image if step.old else new if step.action == "finish" else ""
    return {"action": step.action, "old": old, "new": new, "old_digest": digest_of(old), "new_digest": digest_of(new)}


def digest_of(reference: str) -> str:
    """The digest in a pinned reference, else ""."""
    return reference.partition("@")[2]


def repository_of(reference: str) -> str:
    """The reference without tag and digest. A port's colon stands before the last slash."""
    name = reference.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return head + slash + tail.partition(":")[0]


# ---------------------------------------------------------------------------------------------------------------------
# Which images stay: pure


def keep_repository(app: str, service: str) -> str:
    """The local repository whose tags hold the images of a service's releases; a tag is a fence."""
    return f"{KEEP}/{app}/{service}"


def superseded(tags: Iterable[str], app: str, keep_releases: int, keep_fences: Iterable[int]) -> list[str]:
    """The keep-tags of this application that are neither among the newest of their service nor asked for."""
    fences: dict[str, list[int]] = {}
    for tag in tags:
        repository, _, fence = tag.rpartition(":")
        if repository.startswith(f"{KEEP}/{app}/") and fence.isdecimal():
            fences.setdefault(repository, []).append(int(fence))
    asked = set(keep_fences)
    return [
        f"{repository}:{fence}"
        for repository, numbers in sorted(fences.items())
        for fence in sorted(numbers, reverse=True)[max(keep_releases, 1) :]
        if fence not in asked
    ]


def prunable(images: Iterable[Mapping[str, Any]], repositories: set[str], used: set[str]) -> list[str]:
    """References to remove: of this application's repositories, of images that no container and no keep-tag needs."""
    found: list[str] = []
    for image in images:
        tags = [tag for tag in image.get("RepoTags") or [] if tag != "<none>:<none>"]
        names = tags + [name for name in image.get("RepoDigests") or [] if not name.startswith("<none>")]
        kept = any(tag.startswith(KEEP + "/") for tag in tags)
        if not kept and image["Id"] not in used:
            found += [name for name in names if repository_of(name) in repositories]
    return found


# ---------------------------------------------------------------------------------------------------------------------
# The engine, by its socket


class _Socket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    """The Docker Engine API (docs.docker.com/reference/api/engine), as far as it is needed."""

    def __init__(self, path: str) -> None:
        self.path = path

    def call(
        self,
        method: str,
        target: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout: float = 30,
    ) -> tuple[int, bytes]:
        """Status and body. An engine that does not answer is a site fault."""
        connection = _Socket(self.path, timeout)
        try:
            content = json.dumps(body) if body is not None else None
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, target + ("?" + urlencode(query) if query else ""), content, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise SiteFault("engine", f"the Docker engine does not answer on {self.path}: {error}") from error
        finally:
            connection.close()

    def get(self, target: str, query: Mapping[str, Any] | None = None) -> Any:
        """The answer, or None where there is no such thing."""
        status, body = self.call("GET", target, query)
        if status == 404:
            return None
        if status >= 400:
            raise SiteFault("engine", f"GET {target}: the Docker engine answers {status}: {message_of(body)}")
        return json.loads(body)

    def containers(self, app: str) -> list[Container]:
        """Every container of the Compose project, running or not, oldest first; one-off ones are left out."""
        filters = json.dumps({"label": [f"{LABEL}project={app}", f"{LABEL}oneoff=False"]})
        listed = self.get("/containers/json", {"all": "1", "filters": filters})
        bodies = (
            self.get(f"/containers/{item['Id']}/json") for item in sorted(listed, key=lambda item: item["Created"])
        )
        return [container_of(body) for body in bodies if body]

    def container(self, identity: str) -> Container | None:
        """One container, or None when it is gone."""
        body = self.get(f"/containers/{identity}/json")
        return container_of(body) if body else None

    def image(self, reference: str) -> dict[str, Any] | None:
        """The image that a reference names on this machine, or None."""
        image: dict[str, Any] | None = self.get(f"/images/{quote(reference, safe='/:@')}/json")
        return image

    def images(self) -> list[dict[str, Any]]:
        """Every image on the machine."""
        return list(self.get("/images/json"))

    def log(self, identity: str) -> str:
        """The last lines that a container wrote."""
        status, body = self.call("GET", f"/containers/{identity}/logs", {"stdout": 1, "stderr": 1, "tail": LOG_LINES})
        return unframe(body).decode(errors="replace") if status == 200 else ""

    def retire(self, container: Container) -> None:
        """Stop it with its own signal and grace period, then remove it. Gone already is as good."""
        self.call("POST", f"/containers/{container.id}/stop", timeout=600)
        status, body = self.call("DELETE", f"/containers/{container.id}", {"force": "1"}, timeout=60)
        if status >= 400 and status not in (404, 409):  # 409: somebody else is removing it
            raise SiteFault(
                "engine", f"cannot remove container {container.id[:12]}: {message_of(body)}", container.service
            )

    def start(self, container: Container) -> None:
        """Start a container that Compose has created."""
        status, body = self.call("POST", f"/containers/{container.id}/start", timeout=120)
        if status >= 400:
            raise start_fault(status, message_of(body), container.service)

    def leave(self, network: str, identity: str) -> None:
        """Take a container out of a network."""
        self._network(network, "disconnect", {"Container": identity})

    def join(self, network: str, identity: str, aliases: Sequence[str]) -> None:
        """Put a container into a network under these names."""
        self._network(network, "connect", {"Container": identity, "EndpointConfig": {"Aliases": list(aliases)}})

    def _network(self, network: str, verb: str, body: Mapping[str, Any]) -> None:
        status, answer = self.call("POST", f"/networks/{network}/{verb}", body=body)
        if status >= 400:
            raise SiteFault("engine", f"cannot {verb} a container and network {network}: {message_of(answer)}")

    def tag(self, image_id: str, repository: str, tag: str) -> None:
        """Give an image a local name."""
        status, body = self.call("POST", f"/images/{image_id}/tag", {"repo": repository, "tag": tag})
        if status >= 400:
            raise SiteFault("engine", f"cannot tag {image_id} as {repository}:{tag}: {message_of(body)}")

    def forget(self, reference: str) -> bool:
        """Remove one name of an image; the last name takes the image along. False when something still needs it."""
        return self.call("DELETE", f"/images/{quote(reference, safe='/:@')}", timeout=120)[0] == 200

    def disk(self) -> str:
        """The directory that holds images and volumes."""
        return str(self.get("/info")["DockerRootDir"])


def message_of(body: bytes) -> str:
    """The engine's own words for an error."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]


def unframe(stream: bytes) -> bytes:
    """A container's log without the engine's frames (8 bytes: stream, 0, 0, 0, length); a terminal's log has none."""
    text, rest = b"", stream
    while len(rest) >= 8 and rest[0] in (0, 1, 2) and rest[1:4] == b"\0\0\0":
        length = int.from_bytes(rest[4:8], "big")
        text, rest = text + rest[8 : 8 + length], rest[8 + length :]
    return text + rest


# ---------------------------------------------------------------------------------------------------------------------
# Compose, by its program

SITE_WORDS = re.compile(
    r"no space left|cannot connect to the docker daemon|connection refused|connection reset|i/o timeout"
    r"|timeout exceeded|deadline exceeded|no such host|no route to host|network is unreachable|temporary failure"
    r"|port is already allocated|address already in use",
    re.IGNORECASE,
)
REGISTRY_WORDS = re.compile(
    r"unauthorized|denied|too ?many ?requests|certificate|tls:|server gave http|unexpected eof|\b50[0234]\b",
    re.IGNORECASE,
)
NO_COMPOSE_WORDS = re.compile(r"unknown command|not a docker command|unknown (shorthand )?flag", re.IGNORECASE)
MISSING_WORDS = re.compile(r"manifest unknown|not found|no matching manifest|name unknown", re.IGNORECASE)


class Compose:
    """`docker compose` for one application. Every argv is built here; `run` (AnsibleModule.run_command) runs it."""

    def __init__(self, run: Callable[..., tuple[int, str, str]], app: str, directory: str, timeout: int) -> None:
        self.run, self.app, self.directory, self.timeout = run, app, directory, timeout
        self.inherited: tuple[int, ...] = ()  # the lock lives as long as any child that may still change something

    def argv(self, files: str, *words: str) -> list[str]:
        """files: the directory that holds docker-compose.yml and .env. A program that hangs is ended."""
        limit = ["timeout", "--kill-after=30", str(self.timeout)]
        project = ["--project-name", self.app, "--project-directory", self.directory]
        sources = ["--file", os.path.join(files, COMPOSE_FILE), "--env-file", os.path.join(files, ENV_FILE)]
        return [*limit, "docker", "compose", "--ansi", "never", *project, *sources, *words]

    def up_argv(self, steps: Sequence[Step], force: bool = False) -> list[str]:
        """Start one batch in place; or, beside, only create one container more than run now and touch no other.

        Never with --no-deps: it takes depends_on out of the hash on the container (2.26), and the next `up` by hand
        would recreate it. The dependencies are as they should be by now, so Compose leaves them alone.
        """
        words = ["up", "--no-build", "--pull", "never"]
        if steps[0].beside:
            words += ["--no-start", "--no-recreate"]
            for step in steps:
                words += ["--scale", f"{step.service}={len(step.old) + 1}"]
        else:
            words += ["--detach", *(["--force-recreate"] if force else [])]
        return self.argv(self.directory, *words, *(step.service for step in steps if step.action != "finish"))

    def model(self, files: str) -> list[Service]:
        """The services that the files ask for. Three readings, side by side, because none prints everything."""
        readings = (["--format", "json"], ["--hash", "*"], ["--format", "yaml"])
        with ThreadPoolExecutor(len(readings)) as pool:
            as_json, hashes, as_yaml = pool.map(lambda words: self._config(files, words), readings)
        digests, marks, model = parse_hashes(hashes), marks_in(as_yaml), json.loads(as_json)
        return [service_of(name, model, digests[name], marks.get(name, {})) for name in model["services"]]

    def _config(self, files: str, words: Sequence[str]) -> str:
        status, out, err = self.run(self.argv(files, "config", *words))
        if status:
            raise config_fault(status, err or out)
        return out

    def pull(self, files: str, services: Sequence[str]) -> None:
        """Fetch the images of these services, all at once."""
        status, out, err = self.run(self.argv(files, "pull", "--quiet", *services), pass_fds=self.inherited)
        if status:
            raise pull_fault(status, err or out)

    def up(self, argv: Sequence[str], service: str) -> None:
        """Start what `up_argv` says. The caller looks at the containers; only Compose's own failure is told here."""
        status, out, err = self.run(list(argv), pass_fds=self.inherited)
        if status:
            raise start_fault(status, err or out, service)


def last_line(text: str) -> str:
    """What a program said at the end."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def config_fault(status: int, text: str) -> Fault:
    """A Compose file that cannot be read: the release's fault, unless there is no Compose to read it."""
    if NO_COMPOSE_WORDS.search(text) or status in (124, 126, 127, 137):
        reason = f"`docker compose` does not run on this machine; install the Compose plugin: {last_line(text)}"
        return SiteFault("compose-missing", reason)
    return ReleaseFault("compose-invalid", f"docker-compose.yml is not valid: {last_line(text)}")


def pull_fault(status: int, text: str) -> Fault:
    """A pull that failed: an image that does not exist is the release's fault, all else is the site's."""
    reason = f"cannot pull: {last_line(text)}"
    if status in (124, 137):
        return SiteFault("registry", "cannot pull: the time limit was reached")
    if re.search("no space left", text, re.IGNORECASE):
        return SiteFault("disk-full", reason)
    missing = MISSING_WORDS.search(text) and not (SITE_WORDS.search(text) or REGISTRY_WORDS.search(text))
    return ReleaseFault("image-missing", reason) if missing else SiteFault("registry", reason)


def start_fault(status: int, text: str, service: str) -> Fault:
    """A start that failed in Compose or in the engine."""
    reason = f"cannot start: {last_line(text)}"
    if status in (124, 137):
        return SiteFault("engine", "cannot start: the time limit was reached", service)
    if re.search("no space left", text, re.IGNORECASE):
        return SiteFault("disk-full", reason, service)
    return SiteFault("start", reason, service) if SITE_WORDS.search(text) else ReleaseFault("start", reason, service)


# ---------------------------------------------------------------------------------------------------------------------
# Files: the release's, and the machine's record


@dataclass(frozen=True)
class Files:
    """The two files that make a release on the machine."""

    compose: str
    env: str

    @classmethod
    def read(cls, directory: str) -> Files | None:
        """What a directory holds, or None when it holds no Compose file."""
        compose, env = (read_text(os.path.join(directory, name)) for name in (COMPOSE_FILE, ENV_FILE))
        return None if compose is None else cls(compose, env or "")

    def write(self, directory: str, public: bool = True) -> None:
        """Put them there, each whole or not at all; .env is for root only, and so is the directory unless `public`."""
        os.makedirs(directory, mode=0o755 if public else 0o700, exist_ok=True)
        write_text(os.path.join(directory, ENV_FILE), self.env, 0o600)
        write_text(os.path.join(directory, COMPOSE_FILE), self.compose, 0o644 if public else 0o600)

    def secrets(self) -> list[str]:
        """The values of .env that are long enough to be looked for in a log without hiding ordinary words."""
        values = (line.partition("=")[2].strip().strip("\"'") for line in self.env.splitlines())
        plain = [value.replace('\\"', '"').replace("\\$", "$").replace("\\\\", "\\") for value in values]
        return sorted((value for value in plain if len(value) >= 6), key=len, reverse=True)


def read_text(path: str) -> str | None:
    """A file's text, or None where there is no file."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write_text(path: str, text: str, mode: int) -> None:
    """Replace a file so that a reader, or a power cut, sees the old or the new text and nothing between."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=HALF_WRITTEN)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise SiteFault("disk", f"cannot write {path}: {error}") from error


class Record:
    """/var/lib/fairlead/<app>: the lock, the fence, and the files of the release that last became healthy."""

    def __init__(self, root: str, app: str) -> None:
        self.directory = os.path.join(root, app)
        self.serving = os.path.join(self.directory, "serving")
        self._coming = os.path.join(self.directory, "coming")
        self._fence = os.path.join(self.directory, "fence")
        self._lock = os.path.join(self.directory, "lock")

    @contextlib.contextmanager
    def locked(self, wait: float, holder: Mapping[str, Any]) -> Iterator[int]:
        """Hold the machine's lock; gives its file descriptor. Whoever waits too long is told who holds it."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        with open(self._lock, "a+", encoding="utf-8") as file:
            if not acquire(file.fileno(), wait):
                raise SiteFault("busy", f"another deployment holds this machine: {read_text(self._lock) or 'unknown'}")
            file.truncate(0)
            file.write(json.dumps(holder, sort_keys=True))
            file.flush()
            yield file.fileno()

    @contextlib.contextmanager
    def coming(self) -> Iterator[str]:
        """A private directory for the new files, until nothing speaks against them; only for who holds the lock.

        It is not Ansible's temporary directory: nobody would remove what a killed module leaves there, secrets too.
        """
        shutil.rmtree(self._coming, ignore_errors=True)
        try:
            yield self._coming
        finally:
            shutil.rmtree(self._coming, ignore_errors=True)

    def fence(self) -> int | None:
        """The highest fence that began a deployment here, or None."""
        text = (read_text(self._fence) or "").strip()
        return int(text) if text.isdecimal() else None

    def raise_fence(self, fence: int | None) -> None:
        """Refuse a stale release, else remember its number. A deployment by hand has none and changes nothing."""
        recorded = self.fence()
        if fence is None or fence == recorded:
            return
        if recorded is not None and fence < recorded:
            raise SiteFault(
                "stale",
                f"this release is number {fence} of the deployment branch, and number {recorded} has been here; deploy "
                f"a newer commit. If the branch was rewritten on purpose, remove {self._fence}",
            )
        write_text(self._fence, f"{fence}\n", 0o600)


def sweep(directory: str) -> None:
    """Remove the half-written files that a killed `write_text` left; only for who holds the lock."""
    for stray in glob.glob(os.path.join(glob.escape(directory), HALF_WRITTEN + "*")):
        os.unlink(stray)


def acquire(descriptor: int, wait: float) -> bool:
    """Take the lock, at most `wait` seconds from now."""
    end = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(POLL)


def masker(secrets: Sequence[str]) -> Callable[[str], str]:
    """A function that hides these values in a text."""

    def mask(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "********")
        return text

    return mask


# ---------------------------------------------------------------------------------------------------------------------
# Doing it


class Clock:
    """Adds up the seconds of each phase."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Whatever happens inside counts for this phase."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.timings[name] = round(self.timings.get(name, 0.0) + time.monotonic() - begun, 3)


@dataclass
class Options:
    """The module's parameters that the work needs."""

    app: str
    directory: str
    files: Files
    fence: int | None
    run: str
    commit: str
    force_recreate: bool
    lock_wait: int
    health_timeout: int
    steady: float
    reserve: int
    keep_releases: int
    keep_fences: list[int]
    check_mode: bool = False


@dataclass
class Rollout:
    """Brings the application's containers to what one Compose model asks for."""

    engine: Engine
    compose: Compose
    options: Options
    clock: Clock
    services: Sequence[Service]
    steps: Sequence[Step]
    force: bool = False
    fresh: dict[str, list[str]] = field(default_factory=dict)  # service -> ids of the containers that are to stay

    def apply(self) -> None:
        """Batch by batch: start, wait until healthy, let the gateway know, let the old containers go."""
        for batch in batches(self.steps):
            names = [step.service for step in batch]
            self._start(batch)
            self._wait(names)
            self._announce(names)
            self._retire("retire", [container for step in batch if step.beside for container in step.old])
        self._wait([service.name for service in self.services])
        self._retire("retire", [c for step in self.steps if step.action == "remove" for c in step.old])

    def _start(self, batch: Sequence[Step]) -> None:
        self._retire("start", [container for step in batch for container in step.dead])
        starting = [step.service for step in batch if step.action != "finish"]
        with self.clock.phase("start"):
            if starting:
                self._up(self.compose.up_argv(batch, self.force), starting)
            if batch[0].beside:
                self._start_unannounced(starting)

    def _start_unannounced(self, names: Sequence[str]) -> None:
        """Start what Compose has created beside the old, where nobody finds it before it is healthy."""
        for container in self._watched(names):
            service = self._service(container)
            if service.announce_in:
                self.engine.leave(service.announce_in, container.id)
            self.engine.start(container)

    def _announce(self, names: Sequence[str]) -> None:
        """Let a gateway find the containers that have become healthy."""
        for container in self._watched(names):
            service = self._service(container)
            if not is_announced(container, service):
                aliases = (service.name, *service.networks[service.marks["announce"]])
                self.engine.join(service.announce_in, container.id, aliases)

    def _service(self, container: Container) -> Service:
        return next(service for service in self.services if service.name == container.service)

    def _up(self, argv: Sequence[str], names: Sequence[str]) -> None:
        try:
            self.compose.up(argv, ", ".join(names))
        except ReleaseFault:
            # Compose says "dependency failed to start"; the container itself knows why
            with contextlib.suppress(SiteFault):  # there may be no container to look at
                self._look(names, time.monotonic())
            raise

    def _wait(self, names: Sequence[str]) -> None:
        """Until every container of these services is good. A bad one, or the end of patience, is a release fault."""
        begun = time.monotonic()
        with self.clock.phase("health"):
            while pending := self._look(names, begun):
                if time.monotonic() - begun > self.options.health_timeout:
                    raise self._fault(pending[0], f"is not healthy after {self.options.health_timeout} s")
                time.sleep(POLL)

    def _look(self, names: Sequence[str], begun: float) -> list[Container]:
        """The containers that must be waited for. A bad one raises."""
        watched, pending = time.monotonic() - begun, []
        for container in self._watched(names):
            opinion = verdict(container, watched, self._steady(container))
            if opinion == "wait":
                pending.append(container)
            elif opinion != "good":
                raise self._fault(container, opinion)
        return pending

    def _watched(self, names: Sequence[str]) -> list[Container]:
        """The containers of these services that are to stay, as they are now."""
        missing = [name for name in names if name not in self.fresh]
        if missing:
            leaving = {c.id for step in self.steps if step.beside for c in step.old}
            here = [c for c in self.engine.containers(self.options.app) if c.id not in leaving]
            self.fresh.update({name: [c.id for c in here if c.service == name] for name in missing})
        return [container for name in names for container in self._present(name)]

    def _present(self, name: str) -> Iterator[Container]:
        """A service's containers as they are now. One that has vanished was removed by somebody else."""
        wanted = next((service.replicas for service in self.services if service.name == name), 0)
        found = [self.engine.container(identity) for identity in self.fresh[name]]
        if None in found or (wanted and not found):
            raise SiteFault("vanished", f"a container of {name} was removed while it was waited for", name)
        return (container for container in found if container)

    def _steady(self, container: Container) -> float:
        """A container that was running before this rollout has shown that it is steady."""
        kept = any(c.id == container.id for step in self.steps if step.action == "keep" for c in step.old)
        return 0.0 if kept else self.options.steady

    def _fault(self, container: Container, reason: str) -> ReleaseFault:
        log = self.engine.log(container.id)
        if container.health_output:
            log = f"{log.rstrip()}\nhealth check: {container.health_output.strip()}"
        return ReleaseFault("unhealthy", f"{container.service} {reason}", container.service, log)

    def _retire(self, phase: str, containers: Sequence[Container]) -> None:
        if containers:
            with self.clock.phase(phase), ThreadPoolExecutor(len(containers)) as pool:
                list(pool.map(self.engine.retire, containers))


class Deployment:
    """One deployment, from the lock to the report."""

    def __init__(self, engine: Engine, compose: Compose, record: Record, options: Options) -> None:
        self.engine, self.compose, self.record, self.options = engine, compose, record, options
        self.clock = Clock()
        self.report: dict[str, Any] = {
            "changed": False,
            "services": {},
            "timings": self.clock.timings,
            "fence": record.fence(),
        }

    def run(self, scratch: str) -> dict[str, Any]:
        """Deploy, and report. scratch: a private directory for check mode, which leaves nothing on the machine."""
        if self.options.check_mode:
            return self._look(scratch)
        holder = {"run": self.options.run, "commit": self.options.commit, "fence": self.options.fence, "since": now()}
        with contextlib.ExitStack() as stack:
            with self.clock.phase("lock"):
                descriptor = stack.enter_context(self.record.locked(self.options.lock_wait, holder))
            self.compose.inherited = (descriptor,)
            self.record.raise_fence(self.options.fence)
            self.report["fence"] = self.record.fence()
            for directory in (self.options.directory, self.record.serving):
                sweep(directory)
            return self._deploy(stack.enter_context(self.record.coming()))

    def _look(self, staging: str) -> dict[str, Any]:
        """Check mode: what would be done."""
        rollout = self._prepare(staging)
        self.report["changed"] = self._differs(rollout)
        self.report["outcome"] = "deployed" if self.report["changed"] else "unchanged"
        return self.report

    def _deploy(self, staging: str) -> dict[str, Any]:
        rollout = self._prepare(staging)
        self._pull(staging, rollout)
        if any(not service.pinned for service in rollout.services):
            rollout = self._prepare(staging)  # a movable tag may have brought other content
        changed = self._differs(rollout)
        self.report["changed"] = changed
        self._replace(rollout)
        self._settle(rollout, changed)
        self.report["outcome"] = "deployed" if changed else "unchanged"
        return self.report

    def _prepare(self, staging: str) -> Rollout:
        """Read the new files and the engine, and plan. Whatever cannot be done is refused here."""
        with self.clock.phase("read"):
            self.options.files.write(staging, public=False)
            rollout = self._rollout(staging, self.options.force_recreate)
        refused = refusals(rollout.services)
        if refused:
            raise ReleaseFault("rollout-refused", "; ".join(refused))
        self.report["services"] = changes(rollout.steps, rollout.services)
        return rollout

    def _rollout(self, files: str, force: bool = False) -> Rollout:
        services = self.compose.model(files)
        containers = self.engine.containers(self.options.app)
        movable = {service.image: self.engine.image(service.image) for service in services if not service.pinned}
        images = {reference: image["Id"] for reference, image in movable.items() if image}
        steps = plan(services, containers, images, force)
        return Rollout(self.engine, self.compose, self.options, self.clock, services, steps, force)

    def _differs(self, rollout: Rollout) -> bool:
        files = Files.read(self.options.directory) != self.options.files
        return files or any(step.action != "keep" for step in rollout.steps)

    def _pull(self, staging: str, rollout: Rollout) -> None:
        """Fetch what is missing, while everything still runs. A disk that would not hold it is found here."""
        with self.clock.phase("pull"):
            missing = [s for s in rollout.services if not (s.pinned and self.engine.image(s.image))]
            if missing:
                self._require_space(self._estimate(rollout, missing))
                self.compose.pull(staging, [service.name for service in missing])
                self._require_space(0)
        self._require_healthchecks(rollout.services)

    def _estimate(self, rollout: Rollout, missing: Sequence[Service]) -> int:
        """Bytes that a pull may need: a new image is taken to be as large as the one that it replaces."""
        names = {service.name for service in missing}
        ids = {step.old[0].image_id for step in rollout.steps if step.service in names and step.old}
        return sum((self.engine.image(identity) or {}).get("Size", 0) for identity in ids)

    def _require_space(self, needed: int) -> None:
        root = self.engine.disk()
        if not os.path.isdir(root):  # the engine's disk is not this machine's
            return
        disk = os.statvfs(root)
        free, wanted = disk.f_bavail * disk.f_frsize, needed + self.options.reserve * MIB
        if free < wanted:
            raise SiteFault("disk-full", f"{root} has {free // MIB} MiB free, and {wanted // MIB} MiB are needed")
        if disk.f_files and disk.f_favail < 1000:
            raise SiteFault("disk-full", f"{root} has only {disk.f_favail} inodes free")

    def _require_healthchecks(self, services: Iterable[Service]) -> None:
        """Start-first needs to know when the new container can serve; the image may say how."""
        for service in services:
            if service.start_first and not service.has_healthcheck:
                image = self.engine.image(service.image) or {}
                if not (image.get("Config") or {}).get("Healthcheck"):
                    reason = f"{service.name}: it cannot start first: it has no health check"
                    raise ReleaseFault("rollout-refused", reason, service.name)

    def _replace(self, rollout: Rollout) -> None:
        """Put the new files in their place and let the containers follow; when that fails, go back."""
        before = Files.read(self.options.directory)
        previous = Files.read(self.record.serving) or before
        try:
            if before != self.options.files:
                self.options.files.write(self.options.directory)
            rollout.apply()
        except Fault as fault:
            fault.restored = self._restore(previous)
            raise

    def _restore(self, previous: Files | None) -> str:
        """Bring back what served before: the same way, with the files of then."""
        if previous is None:
            return "nothing to restore"
        try:
            with self.clock.phase("restore"):
                previous.write(self.options.directory)
                self._rollout(self.options.directory).apply()
        except Fault as fault:
            return f"no: {fault.reason}"
        return "yes"

    def _settle(self, rollout: Rollout, changed: bool) -> None:
        """Everything is healthy: remember these files, keep these images, remove what nobody needs."""
        with self.clock.phase("tidy"):
            if Files.read(self.record.serving) != self.options.files:
                self.options.files.write(self.record.serving, public=False)
            here = self.engine.containers(self.options.app)
            for container in here:
                tag = "unfenced" if self.options.fence is None else str(self.options.fence)
                self.engine.tag(container.image_id, keep_repository(self.options.app, container.service), tag)
            if changed:
                self._prune({repository_of(service.image) for service in rollout.services}, here)

    def _prune(self, repositories: set[str], here: Sequence[Container]) -> None:
        tags = [tag for image in self.engine.images() for tag in image.get("RepoTags") or []]
        for tag in superseded(tags, self.options.app, self.options.keep_releases, self.options.keep_fences):
            self.engine.forget(tag)
        for reference in prunable(self.engine.images(), repositories, {container.image_id for container in here}):
            self.engine.forget(reference)


def now() -> str:
    """The time of day, for people."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


# ---------------------------------------------------------------------------------------------------------------------
# Looking


def inspect(engine: Engine, app: str, expected: Mapping[str, str]) -> dict[str, Any]:
    """Every container of the application against the reference that git pins. Changes nothing."""
    services: dict[str, list[dict[str, Any]]] = {name: [] for name in expected}
    for container in engine.containers(app):
        if not container.completed:
            services.setdefault(container.service, []).append(seen(engine, container))
    differences = [
        line for name, found in sorted(services.items()) for line in differences_of(name, found, expected.get(name))
    ]
    outcome = "differs" if differences else "match"
    return {"changed": False, "outcome": outcome, "services": services, "differences": differences}


def seen(engine: Engine, container: Container) -> dict[str, Any]:
    """One container, with every digest that its image is known by."""
    image = engine.image(container.image_id) or {}
    digests = sorted({digest_of(name) for name in image.get("RepoDigests") or []})
    return {
        "container": container.id[:12],
        "image": container.image,
        "digests": digests,
        "status": container.status,
        "health": container.health,
        "restarts": container.restarts,
    }


def differences_of(name: str, found: Sequence[Mapping[str, Any]], reference: str | None) -> list[str]:
    """What is not as it should be with one service, in words."""
    if reference is None:
        return [f"{name} runs, and is not in the release"]
    if not found:
        return [f"{name} does not run"]
    return [
        f"{name} runs {' '.join(item['digests']) or item['image']}, expected {reference}"
        for item in found
        if item["status"] != "running" or digest_of(reference) not in item["digests"]
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Ansible


ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["deployed", "inspected"], "default": "deployed"},
    "app": {"type": "str", "required": True},
    "directory": {"type": "path", "default": "/opt/app"},
    "compose": {"type": "str", "no_log": True},
    "env": {"type": "str", "default": "", "no_log": True},
    "expected": {"type": "dict", "default": {}},
    "fence": {"type": "int"},
    "run": {"type": "str", "default": "by hand"},
    "commit": {"type": "str", "default": ""},
    "force_recreate": {"type": "bool", "default": False},
    "lock_wait": {"type": "int", "default": 60},
    "health_timeout": {"type": "int", "default": 180},
    "steady": {"type": "float", "default": 1.0},
    "program_timeout": {"type": "int", "default": 900},
    "reserve": {"type": "int", "default": 512},
    "health_check_url": {"type": "str", "default": ""},
    "keep_releases": {"type": "int", "default": 3},
    "keep_fences": {"type": "list", "elements": "int", "default": []},
    "record": {"type": "path", "default": "/var/lib/fairlead"},
    "socket": {"type": "path", "default": "/var/run/docker.sock"},
}


def options_of(params: Mapping[str, Any], check_mode: bool) -> Options:
    """The parameters, without those that only say where things are."""
    names = [name for name in Options.__dataclass_fields__ if name not in ("files", "check_mode")]
    files = Files(params["compose"] or "", params["env"] or "")
    return Options(files=files, check_mode=check_mode, **{name: params[name] for name in names})


def deploy(module: AnsibleModule) -> None:
    """state: deployed."""
    params = module.params
    options = options_of(params, module.check_mode)
    compose = Compose(module.run_command, options.app, options.directory, params["program_timeout"])
    deployment = Deployment(Engine(params["socket"]), compose, Record(params["record"], options.app), options)
    try:
        result = deployment.run(os.path.join(module.tmpdir, "release"))  # Ansible removes it at the end
    except Fault as fault:
        report = fault.report(masker(options.files.secrets()))
        module.fail_json(msg=headline(fault, report), outcome=fault.outcome, fault=report, **deployment.report)
    result["answers"] = answers(params["health_check_url"])
    module.exit_json(diff={"prepared": summary(result["services"])}, **result)


def answers(url: str) -> bool:
    """Whether the application says 200 now. Every other answer, and none, is for the playbook to try again."""
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310
            return bool(response.status == 200)
    except (OSError, http.client.HTTPException, ValueError):
        return False


def headline(fault: Fault, report: Mapping[str, Any]) -> str:
    """The fault in one sentence, and what serves now."""
    tails = {"yes": "; the previous release serves", "nothing to restore": ""}
    tail = tails.get(fault.restored, "; THE PREVIOUS RELEASE COULD NOT BE RESTORED")
    return f"{fault.outcome}: {report['reason']}{tail}"


def summary(services: Mapping[str, Mapping[str, str]]) -> str:
    """The changes for `--diff`: no file's content, which may hold secrets."""
    lines = [
        f"{name}: {item['action']}\n-  {item['old']}\n+  {item['new']}"
        for name, item in services.items()
        if item["action"] != "keep"
    ]
    return "\n".join(lines) + "\n" if lines else ""


def look(module: AnsibleModule) -> None:
    """state: inspected."""
    try:
        result = inspect(Engine(module.params["socket"]), module.params["app"], module.params["expected"])
    except Fault as fault:
        module.fail_json(msg=fault.reason, outcome=fault.outcome, fault=fault.report(str))
    if result["differences"]:
        module.fail_json(msg="; ".join(result["differences"]), **result)
    module.exit_json(**result)


def main() -> None:
    """Read the parameters and do what `state` says."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True, required_if=[("state", "deployed", ["compose"])])
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", module.params["app"]):
        module.fail_json(
            msg=f"app: {module.params['app']!r} is not a Compose project's name: small letters, digits, - and _"
        )
    {"deployed": deploy, "inspected": look}[module.params["state"]](module)


if __name__ == "__main__":
    main()
