"""What the caller may do."""

from fairlead.lab.proxmox_api.access import Principal
from fairlead.lab.proxmox_api.refusal import Refusal
from fairlead.lab.proxmox_api.routing import Call, route


@route("GET /version")
def version(_call: Call) -> object:
    """Which Proxmox the lab speaks like."""
    return {"version": "9.1.1", "release": "9.1", "repoid": "fa1r1ead"}


@route("GET /access/permissions")
def permissions(call: Call) -> object:
    """The caller's effective privileges by path; 1 where they propagate."""
    principal = _asked(call)
    paths = [str(call.given["path"])] if "path" in call.given else call.cluster.access.paths()
    held = {path: call.cluster.access.held(principal, path) for path in paths}
    return {path: {name: int(each) for name, each in here.items()} for path, here in held.items() if here}


def _asked(call: Call) -> Principal:
    """The caller; about others only who may see the access control may ask."""
    asked = str(call.given.get("userid", call.principal))
    if asked != str(call.principal) and not call.may("/access", "Sys.Audit"):
        raise Refusal(403, "Permission check failed (/access, Sys.Audit)")
    return Principal(asked.partition("!")[0], asked)


@route("GET /access/roles")
def roles(call: Call) -> object:
    """All roles."""
    return [{"roleid": name, "privs": ",".join(sorted(held))} for name, held in call.cluster.access.roles().items()]


@route("GET /access/roles/{roleid}")
def role(call: Call) -> object:
    """One role's privileges."""
    found = call.cluster.access.roles().get(str(call.given["roleid"]))
    if found is None:
        raise Refusal(500, f"role '{call.given['roleid']}' does not exist")
    return dict.fromkeys(sorted(found), 1)
