"""Tasks: what takes time happens after the answer, under a UPID that the client asks about.

With the instant back end and no fault a task is over before its UPID is answered, so that no client waits for its next
look (the provider looks once a second).
"""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fairlead.lab.proxmox_api.faults import Faults, Kind
from fairlead.lab.proxmox_api.refusal import Refusal, wrong
from fairlead.lab.proxmox_api.store import Document, Store

Work = Callable[["Log"], None]
_INTERRUPTED = "unexpected status"


@dataclass
class Log:
    """A task's own lines."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        self.lines.append(line)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, and for whom. undo: after a failure. at_once: it takes no time, so no thread either.

    about: the VM that faults are meant for, where it is another one: a clone's task is the source's.
    """

    kind: str
    vmid: int
    user: str
    work: Work
    undo: Callable[[], None] = lambda: None
    at_once: bool = True
    about: int = 0

    @property
    def subject(self) -> dict[str, Any]:
        """What faults look at."""
        return {"task": self.kind, "vmid": self.about or self.vmid}


class Tasks:
    """The node's tasks. stopping: set when the server ends; a slow task then fails."""

    def __init__(self, store: Store, faults: Faults, node: str, clock: Callable[[], float]) -> None:
        self._store, self._faults, self._node, self._clock = store, faults, node, clock
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def recover(self) -> None:
        """Tasks of a process that died are over, as on a node that was restarted."""
        for upid, task in self._store.all("task").items():
            if task["status"] == "running":
                self._store.put("task", upid, {**task, "status": "stopped", "exitstatus": _INTERRUPTED})

    def start(self, order: Order) -> str:
        """Begin; the UPID."""
        upid = self._upid(order)
        task = {
            "upid": upid, "node": self._node, "pid": int(upid.split(":")[2], 16), "pstart": 1, "type": order.kind,
            "starttime": int(self._clock()), "id": str(order.vmid), "user": order.user, "status": "running", "log": [],
        }  # fmt: skip
        self._store.put("task", upid, task)
        slow = self._faults.met(Kind.TASK_SLOW, **order.subject)
        if order.at_once and slow is None:
            self._perform(order, task, 0)
        else:
            self._in_thread(order, task, slow.seconds if slow else 0)
        return upid

    def _in_thread(self, order: Order, task: Document, delay: float) -> None:
        thread = threading.Thread(target=self._perform, args=(order, task, delay), name=task["upid"], daemon=True)
        with self._lock:
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]
        thread.start()

    def _perform(self, order: Order, task: Document, delay: float) -> None:
        log = Log()
        try:
            if self._stopping.wait(delay):
                raise Refusal(500, _INTERRUPTED)
            if fault := self._faults.met(Kind.TASK_FAILS, **order.subject):
                raise Refusal(500, fault.message or "command failed: exit code 1")
            order.work(log)
            task["exitstatus"] = "OK"
        except Exception as error:
            task["exitstatus"] = str(error) or type(error).__name__
            log(f"TASK ERROR: {task['exitstatus']}")
            order.undo()
        ended = {"status": "stopped", "endtime": int(self._clock())}
        self._store.put("task", task["upid"], {**task, **ended, "log": log.lines or ["TASK OK"]})

    def _upid(self, order: Order) -> str:
        """`UPID:node:pid:pstart:starttime:type:id:user:`, numbers in hexadecimal."""
        pid, start = 1000 + secrets.randbelow(60000), secrets.randbelow(1 << 27)
        return (
            f"UPID:{self._node}:{pid:08X}:{start:08X}:{int(self._clock()):08X}:{order.kind}:{order.vmid}:{order.user}:"
        )

    def get(self, upid: str) -> Document:
        """A task with its log. Raises Refusal where there is no such task."""
        task = self._store.get("task", upid)
        if task is None:
            raise wrong({"upid": "unable to parse worker upid" if not upid.startswith("UPID:") else "no such task"})
        return task

    def all(self) -> list[dict[str, Any]]:
        """All tasks, the newest first, without their logs."""
        found = [described(task) for task in self._store.all("task").values()]
        return found[::-1]

    def end(self) -> None:
        """The server ends: tasks that wait fail, the others are waited for."""
        self._stopping.set()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()


def described(task: Document) -> dict[str, Any]:
    """A task as a list shows it."""
    return {name: value for name, value in task.items() if name != "log"}
