"""A plain client of the lab's Proxmox API: says what it is told and shows what came back."""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from fairlead.lab.proxmox_api.api import ProxmoxApi

NODE = "/nodes/pve1"
TEMPLATE = f"{NODE}/qemu/9000"
FIRST = f"{NODE}/qemu/101"


@dataclass(frozen=True)
class Answer:
    """status and reason: of the HTTP answer. data, message, errors: of its body."""

    status: int
    reason: str
    data: Any = None
    message: str = ""
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Client:
    """Asks with one token."""

    http: httpx2.Client

    def ask(self, method: str, path: str, /, **parameters: object) -> Answer:
        """One request; `delete_` and the like stand for words that Python has for itself."""
        sent = {name.rstrip("_").replace("__", "-"): value for name, value in parameters.items()}
        where = {"data": sent} if method in ("POST", "PUT") else {"params": sent}
        said = self.http.request(method, path, **where)  # type: ignore[arg-type]
        return Answer(said.status_code, said.reason_phrase, **said.json())

    def get(self, path: str, /, **parameters: object) -> Any:
        """What a GET answers."""
        return self.good("GET", path, **parameters)

    def good(self, method: str, path: str, /, **parameters: object) -> Any:
        """The data of a request that must succeed."""
        answer = self.ask(method, path, **parameters)
        assert answer.status == 200, answer
        return answer.data

    def task(self, method: str, path: str, /, **parameters: object) -> dict[str, Any]:
        """The status of the task that the request began."""
        return dict(self.get(f"{NODE}/tasks/{self.good(method, path, **parameters)}/status"))

    def clone(self, vmid: int = 101, **parameters: object) -> dict[str, Any]:
        """Clone the template; the task's status."""
        return self.task("POST", f"{TEMPLATE}/clone", **{"newid": vmid, "full": 1, **parameters})

    def ended(self, upid: str) -> str:
        """How a task ended; empty while it runs."""
        return str(self.get(f"{NODE}/tasks/{upid}/status").get("exitstatus", ""))


def client(api: ProxmoxApi, token: str = "", timeout: float = 20) -> contextlib.AbstractContextManager[Client]:
    """A client with this token; empty: root's."""
    return connected(api.url, api.ca_file, token or api.root_token, timeout)


@contextlib.contextmanager
def connected(url: str, ca_file: Path, token: str, timeout: float = 60) -> Iterator[Client]:
    """A client of whichever API."""
    context = ssl.create_default_context(cafile=str(ca_file))
    headers = {"Authorization": f"PVEAPIToken={token}"}
    base = f"{url}api2/json"
    with httpx2.Client(verify=context, base_url=base, headers=headers, timeout=timeout, trust_env=False) as http:
        yield Client(http)
