"""Which function serves which endpoint. Each is named as in the schema, so a request is checked before it is served."""

import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.lab.proxmox_api.access import Principal
from fairlead.lab.proxmox_api.cluster import NODE, Cluster
from fairlead.lab.proxmox_api.refusal import Refusal
from fairlead.lab.proxmox_api.schema import Endpoint, endpoints

PREFIX = "/api2/json"


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was found good. given: its parameters, those of the path too, with their types."""

    cluster: Cluster
    principal: Principal
    given: Mapping[str, Any]

    @property
    def vmid(self) -> int:
        """The VM of the path."""
        return int(self.given["vmid"])

    def may(self, path: str, *privileges: str, any_of: bool = False) -> bool:
        """Whether the caller has the privileges there: lists leave out what one may not see."""
        held = self.cluster.access.privileges(self.principal, path)
        return (any if any_of else all)(name in held for name in privileges)

    def require(self, path: str, *privileges: str) -> None:
        """Raise Refusal 403 without the privileges there: what the schema leaves to the code."""
        self.cluster.access.require(self.principal, path, privileges)


Serve = Callable[[Call], object]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. unserved: parameters that Proxmox takes and the lab cannot do; they are refused."""

    name: str
    pattern: re.Pattern[str]
    serve: Serve
    unserved: tuple[str, ...]


ROUTES: dict[str, Route] = {}


def route(name: str, *, unserved: tuple[str, ...] = ()) -> Callable[[Serve], Serve]:
    """Serve `METHOD /path/{placeholder}` by the function."""
    method, _, path = name.partition(" ")
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))

    def register(serve: Serve) -> Serve:
        ROUTES[name] = Route(name, re.compile(f"{method} {pattern}"), serve, unserved)
        return serve

    return register


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route of a request, and the placeholders' values. path: without prefix, still percent-encoded.

    Raises Refusal 501, as Proxmox does.
    """
    asked = f"{method} {path.rstrip('/') or '/'}"
    for each in ROUTES.values():
        if match := each.pattern.fullmatch(asked):
            return each, {name: urllib.parse.unquote(value) for name, value in match.groupdict().items()}
    raise Refusal(501, f"Method '{method} {path}' not implemented")


def answer(cluster: Cluster, principal: Principal, method: str, path: str, sent: Mapping[str, list[str]]) -> object:
    """Serve one request: find, check its parameters, check the caller, do it. Raises Refusal."""
    found, placeholders = find(method, path)
    endpoint = endpoints()[found.name]
    given = endpoint.checked({**sent, **{name: [value] for name, value in placeholders.items()}})
    cluster.access.check(principal, endpoint.permissions, given)
    _require_served(found, endpoint, given)
    if given.get("node", NODE) != NODE:
        raise Refusal(
            500, f"hostname lookup '{given['node']}' failed - failed to get address info for: {given['node']}"
        )
    return found.serve(Call(cluster, principal, given))


def _require_served(found: Route, endpoint: Endpoint, given: Mapping[str, Any]) -> None:
    for name in found.unserved:
        if given.get(name):
            raise Refusal(501, f"The lab does not serve the parameter {name!r} of {endpoint.name}")
