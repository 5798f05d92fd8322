"""The guest agent: ping, network, files, programs, what system it is."""

import base64
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fairlead.lab.proxmox_api.backend import Ended, Guest, GuestError, Interface
from fairlead.lab.proxmox_api.refusal import Refusal
from fairlead.lab.proxmox_api.routing import Call, route

_Answer = TypeVar("_Answer")
_BASE = "/nodes/{node}/qemu/{vmid}/agent"
_MOST = 16 << 20


def _ask(ask: Callable[[], _Answer]) -> _Answer:
    """The agent's answer, or its error in Proxmox's words."""
    try:
        return ask()
    except GuestError as error:
        raise Refusal(500, f"Agent error: {error}") from None


@route(f"POST {_BASE}/ping")
def ping(call: Call) -> object:
    """Whether it answers."""
    call.cluster.guest(call.vmid)
    return {"result": {}}


@route(f"GET {_BASE}/network-get-interfaces")
def interfaces(call: Call) -> object:
    """The guest's network cards."""
    guest = call.cluster.guest(call.vmid)
    return {"result": [_interface(each) for each in _ask(guest.interfaces)]}


def _interface(each: Interface) -> dict[str, Any]:
    addresses = [
        {"ip-address": address, "ip-address-type": "ipv6" if ":" in address else "ipv4", "prefix": int(prefix)}
        for address, _, prefix in (text.partition("/") for text in each.addresses)
    ]
    return {"name": each.name, "hardware-address": each.hardware_address, "ip-addresses": addresses}


@route(f"GET {_BASE}/get-osinfo")
def os_info(call: Call) -> object:
    """The guest's system, from its os-release."""
    guest = call.cluster.guest(call.vmid)
    rows = (line.partition("=") for line in _ask(guest.os_release).splitlines())
    found = {name: value.strip('"') for name, _, value in rows}
    names = {"id": "ID", "name": "NAME", "pretty-name": "PRETTY_NAME", "version": "VERSION", "version-id": "VERSION_ID"}
    return {"result": {name: found.get(key, "") for name, key in names.items()}}


@route(f"GET {_BASE}/get-host-name")
def host_name(call: Call) -> object:
    """The guest's own name."""
    guest = call.cluster.guest(call.vmid)
    return {"result": {"host-name": _ask(guest.host_name)}}


@route(f"GET {_BASE}/file-read")
def file_read(call: Call) -> object:
    """A file of the guest, or a part of it."""
    guest, given = call.cluster.guest(call.vmid), call.given
    content = _ask(lambda: guest.read(str(given["file"])))
    start, count = int(given.get("offset", 0)), int(given.get("count", _MOST))
    part = content[start : start + count]
    text = part.decode("utf-8", "replace") if given.get("decode", True) else base64.b64encode(part).decode()
    return {"content": text} | ({"truncated": 1} if len(content) > start + count else {})


@dataclass
class Programs:
    """The programs that were started in guests, by process id; the serving process forgets them when it ends."""

    _ended: dict[int, Ended | None] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(2000))

    def start(self, guest: Guest, argv: list[str], stdin: bytes) -> int:
        """Run a program beside the request. Raises GuestError if it cannot be started at once."""
        number = next(self._numbers)
        self._ended[number] = None
        threading.Thread(target=self._run, args=(number, guest, argv, stdin), daemon=True).start()
        return number

    def _run(self, number: int, guest: Guest, argv: list[str], stdin: bytes) -> None:
        try:
            self._ended[number] = guest.run(argv, stdin)
        except GuestError as error:
            self._ended[number] = Ended(127, "", f"{error}\n")

    def state(self, number: int) -> Ended | None:
        """How it ended; None while it runs. Raises Refusal for one that nobody started."""
        if number not in self._ended:
            raise Refusal(500, f"Agent error: Guest agent command failed: PID {number} does not exist")
        return self._ended[number]


_programs = Programs()


@route(f"POST {_BASE}/exec")
def execute(call: Call) -> object:
    """Start a program."""
    guest = call.cluster.guest(call.vmid)
    stdin = str(call.given.get("input-data", "")).encode()
    return {"pid": _programs.start(guest, list(call.given["command"]), stdin)}


@route(f"GET {_BASE}/exec-status")
def execution(call: Call) -> object:
    """Whether it ended, how, and what it printed."""
    call.cluster.guest(call.vmid)
    ended = _programs.state(int(call.given["pid"]))
    if ended is None:
        return {"exited": 0}
    told = {"out-data": ended.stdout, "err-data": ended.stderr}
    return {"exited": 1, "exitcode": ended.exit_code} | {name: text for name, text in told.items() if text}
