"""Who may do what: users, API tokens, roles and access control lists by path, as Proxmox resolves them.

Source: Proxmox VE 9 administration guide, chapter User Management: a role on a deeper path replaces those inherited;
a token with privilege separation has what its user *and* the token have; a VM in a pool has the pool's roles too.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.lab.proxmox_api.refusal import Refusal
from fairlead.lab.proxmox_api.store import Store

Privileges = frozenset[str]
_TOKEN = re.compile(r"PVEAPIToken=(?P<user>[^\s:/!@]+@[\w.-]+)!(?P<id>[A-Za-z][\w.-]+)=(?P<secret>\S+)", re.ASCII)
_MACHINE = re.compile(r"/vms/(\d+)", re.ASCII)
ROOT_USER = "root@pam"
USER = "fairlead@pve"
ROLE = "Fairlead"
# What OpenTofu's provider and Fairlead need, and no more: the role of the token that the lab hands out.
NEEDED = frozenset(
    [
        "Datastore.AllocateSpace",
        "Datastore.Audit",
        "SDN.Use",
        "VM.Allocate",
        "VM.Audit",
        "VM.Clone",
        "VM.Config.CDROM",
        "VM.Config.CPU",
        "VM.Config.Cloudinit",
        "VM.Config.Disk",
        "VM.Config.HWType",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Options",
        "VM.GuestAgent.Audit",
        "VM.GuestAgent.FileRead",
        "VM.PowerMgmt",
    ]
)
ALL = NEEDED | frozenset(
    [
        "Datastore.Allocate",
        "Datastore.AllocateTemplate",
        "Group.Allocate",
        "Mapping.Audit",
        "Mapping.Modify",
        "Mapping.Use",
        "Permissions.Modify",
        "Pool.Allocate",
        "Pool.Audit",
        "Realm.Allocate",
        "Realm.AllocateUser",
        "SDN.Allocate",
        "SDN.Audit",
        "Sys.AccessNetwork",
        "Sys.Audit",
        "Sys.Console",
        "Sys.Incoming",
        "Sys.Modify",
        "Sys.PowerMgmt",
        "Sys.Syslog",
        "User.Modify",
        "VM.Backup",
        "VM.Console",
        "VM.GuestAgent.FileSystemMgmt",
        "VM.GuestAgent.FileWrite",
        "VM.GuestAgent.Unrestricted",
        "VM.Migrate",
        "VM.Replicate",
        "VM.Snapshot",
        "VM.Snapshot.Rollback",
    ]
)
_AUDIT = frozenset(("Datastore.Audit", "Mapping.Audit", "Pool.Audit", "SDN.Audit", "Sys.Audit", "VM.Audit"))
_BUILT_IN: Mapping[str, Privileges] = {
    "Administrator": ALL,
    "NoAccess": frozenset(),
    "PVEAuditor": _AUDIT | {"VM.GuestAgent.Audit"},
}
# Paths that /access/permissions always answers for. Source: pve-access-control, PVE/AccessControl (memory).
PATHS = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. token: the token's id (`user@realm!name`)."""

    user: str
    token: str

    def __str__(self) -> str:
        return self.token


class Access:
    """Users, tokens, roles and ACLs in the store."""

    def __init__(self, store: Store, pool_of: Callable[[int], str]) -> None:
        self._store = store
        self._pool_of = pool_of

    def add_role(self, name: str, privileges: Iterable[str]) -> None:
        """Make or replace a role. Raises Refusal for a privilege that Proxmox does not know."""
        if unknown := sorted(set(privileges) - ALL):
            raise Refusal(400, f"invalid privilege '{unknown[0]}'")
        self._store.put("role", name, {"privileges": sorted(privileges)})

    def add_token(self, user: str, name: str, secret: str, *, separated: bool = True) -> str:
        """Make or replace a token; the whole text that a client sends after `PVEAPIToken=`. Only a hash is kept."""
        digest = hashlib.sha256(secret.encode()).hexdigest()
        self._store.put("token", f"{user}!{name}", {"digest": digest, "separated": separated})
        return f"{user}!{name}={secret}"

    def grant(self, path: str, principal: str, role: str, *, propagate: bool = True) -> None:
        """Give a user or a token a role on a path, and below it if it propagates."""
        self._store.put("acl", f"{path} {principal} {role}", {
            "path": path, "principal": principal, "role": role, "propagate": propagate,
        })  # fmt: skip

    def revoke(self, path: str, principal: str, role: str) -> bool:
        """Take it back. False: it was not there."""
        return self._store.remove("acl", f"{path} {principal} {role}")

    def roles(self) -> dict[str, Privileges]:
        """All roles and their privileges."""
        own = {name: frozenset(each["privileges"]) for name, each in self._store.all("role").items()}
        return {**_BUILT_IN, **own}

    def authenticate(self, header: str) -> Principal:
        """Who the Authorization header names. Raises Refusal 401."""
        match = _TOKEN.fullmatch(header)
        if match is None:
            raise Refusal(401, "No ticket")
        token = f"{match['user']}!{match['id']}"
        known = self._store.get("token", token)
        if known is None:
            raise Refusal(401, f"no such token '{match['id']}' for user '{match['user']}'")
        if not hmac.compare_digest(known["digest"], hashlib.sha256(match["secret"].encode()).hexdigest()):
            raise Refusal(401, "invalid token value!")
        return Principal(match["user"], token)

    def privileges(self, principal: Principal, path: str) -> Privileges:
        """What the principal may do there."""
        return frozenset(self.held(principal, path))

    def held(self, principal: Principal, path: str) -> dict[str, bool]:
        """The privileges there, and whether each one propagates below the path."""
        separated = (self._store.get("token", principal.token) or {}).get("separated", True)
        of_user = self._with_pool(principal.user, path)
        if not separated:
            return of_user
        of_token = self._with_pool(principal.token, path)
        return {name: propagates and of_user[name] for name, propagates in of_token.items() if name in of_user}

    def _with_pool(self, who: str, path: str) -> dict[str, bool]:
        if who == ROOT_USER:
            return dict.fromkeys(ALL, True)
        match = _MACHINE.fullmatch(path)
        pool = self._pool_of(int(match[1])) if match else ""
        return {**(self._granted(who, f"/pool/{pool}") if pool else {}), **self._granted(who, path)}

    def _granted(self, who: str, path: str) -> dict[str, bool]:
        """The roles of the deepest path that names somebody at all."""
        entries = [each for each in self._store.all("acl").values() if each["principal"] == who]
        roles, found = self.roles(), dict[str, bool]()
        for prefix in _prefixes(path):
            here = [each for each in entries if each["path"] == prefix and (each["propagate"] or prefix == path)]
            if here:
                found = {name: each["propagate"] for each in here for name in roles.get(each["role"], ())}
                found = {} if any(each["role"] == "NoAccess" for each in here) else found
        return found

    def paths(self) -> list[str]:
        """The paths that somebody has a role on, and those that always exist."""
        return sorted({*PATHS, *(each["path"] for each in self._store.all("acl").values())})

    def require(self, principal: Principal, path: str, wanted: Iterable[str], *, any_of: bool = False) -> None:
        """Raise Refusal 403 unless the principal has the privileges there."""
        needed = list(dict.fromkeys(wanted))
        held = self.privileges(principal, path)
        if not (any if any_of else all)(name in held for name in needed):
            raise Refusal(403, f"Permission check failed ({path}, {('|' if any_of else ', ').join(needed)})")

    def check(self, principal: Principal, permissions: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        """Raise Refusal 403 unless what the schema asks for is there. given: the checked parameters."""
        if permissions.get("user") not in ("all", "world"):
            # Without any entry in the schema, only root may.
            rule = permissions.get("check") or ["perm", "/", sorted(ALL)]
            self._check(principal, rule, given)

    def _check(self, principal: Principal, rule: list[Any], given: Mapping[str, Any]) -> None:
        match rule:
            case ["perm", str(path), list(wanted), *options]:
                self._check_path(principal, path, wanted, options, given)
            case ["and", *rules]:
                for each in rules:
                    self._check(principal, each, given)
            case ["or", *rules]:
                self._check_any(principal, rules, given)
            case _:
                raise Refusal(501, f"The lab does not check the permission {rule!r}")

    def _check_any(self, principal: Principal, rules: list[list[Any]], given: Mapping[str, Any]) -> None:
        refusals = []
        for each in rules:
            try:
                self._check(principal, each, given)
            except Refusal as refusal:
                refusals.append(refusal)
            else:
                return
        raise refusals[0]

    def _check_path(
        self, principal: Principal, path: str, wanted: list[str], options: list[Any], given: Mapping[str, Any]
    ) -> None:
        extra = dict(zip(options[::2], options[1::2], strict=False))
        needed = extra.get("require_param")
        if needed and needed not in given:
            raise Refusal(403, f"Permission check failed ({path}, {', '.join(wanted)})")
        filled = re.sub(r"\{([\w-]+)\}", lambda match: str(given.get(match[1], "")), path)
        self.require(principal, filled, wanted, any_of=bool(extra.get("any")))


def _prefixes(path: str) -> list[str]:
    """`/vms/100` gives `/`, `/vms`, `/vms/100`."""
    parts = [part for part in path.split("/") if part]
    return ["/", *("/" + "/".join(parts[: count + 1]) for count in range(len(parts)))]
