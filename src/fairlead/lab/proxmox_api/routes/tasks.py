"""Tasks of the node: status, log, list."""

from fairlead.lab.proxmox_api.cluster import NODE
from fairlead.lab.proxmox_api.formats import split_list
from fairlead.lab.proxmox_api.refusal import Refusal
from fairlead.lab.proxmox_api.routing import Call, route
from fairlead.lab.proxmox_api.store import Document
from fairlead.lab.proxmox_api.tasks import described


@route("GET /nodes/{node}/tasks")
def index(call: Call) -> object:
    """Tasks, the newest first; those that are over unless `source` says otherwise."""
    everything = call.may(f"/nodes/{NODE}", "Sys.Audit")
    rows = [task for task in call.cluster.tasks.all() if _wanted(call, task)]
    rows = [described(task) for task in rows if everything or task["user"] == str(call.principal)]
    start = int(call.given.get("start", 0))
    return rows[start : start + int(call.given.get("limit", 50))]


def _wanted(call: Call, task: Document) -> bool:
    """Whether the task passes all filters."""
    given = call.given
    over = task["status"] == "stopped"
    failed = over and task.get("exitstatus") != "OK"
    states = split_list(str(given.get("statusfilter", "")))
    return (
        given.get("source", "archive") in ("all", "archive" if over else "active")
        and (not given.get("errors") or failed)
        and ("vmid" not in given or task["id"] == str(given["vmid"]))
        and str(given.get("typefilter", task["type"])) == task["type"]
        and str(given.get("userfilter", "")) in task["user"]
        and task["starttime"] >= given.get("since", 0)
        and task["starttime"] <= given.get("until", task["starttime"])
        and (not states or ("error" if failed else "ok") in states)
    )


@route("GET /nodes/{node}/tasks/{upid}")
def parts(_call: Call) -> object:
    """What one can ask of a task."""
    return [{"name": "log"}, {"name": "status"}]


@route("GET /nodes/{node}/tasks/{upid}/status")
def status(call: Call) -> object:
    """How a task is, or how it ended."""
    return described(_own(call))


@route("GET /nodes/{node}/tasks/{upid}/log", unserved=("download",))
def log(call: Call) -> object:
    """A task's lines, numbered."""
    start, limit = int(call.given.get("start", 0)), int(call.given.get("limit", 50))
    lines = [{"n": number, "t": line} for number, line in enumerate(_own(call)["log"], 1)]
    return lines[start : start + limit] if limit else lines[start:]


def _own(call: Call) -> Document:
    """The task: one's own, or with the right to see the node. Raises Refusal."""
    task = call.cluster.tasks.get(str(call.given["upid"]))
    if task["user"] != str(call.principal) and not call.may(f"/nodes/{NODE}", "Sys.Audit"):
        raise Refusal(403, f"Permission check failed (/nodes/{NODE}, Sys.Audit)")
    return task
