"""Reads a task's output: Ansible's default callback as Semaphore shows it. Pure.

It serves for the detail only (which service, which image, whose fault): whether a task succeeded says its status.
Results are whole in the output where the template passes `-v` (`fairlead semaphore setup` sees to it).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead.deploy.base import Event, EventState, OnEvent
from fairlead.deploy.report import TaskResult, masked
from fairlead.process import Mask

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_TASK = re.compile(r"TASK \[(.*)\] \**")
_RESULT = re.compile(r"(ok|changed|skipping|fatal|failed): \[[^\]]*\](?:: (FAILED|UNREACHABLE)!)?(?: => (.*))?")
_RETRY = re.compile(r"FAILED - RETRYING: (.*)")
_RECAP = re.compile(r"\S+\s*: ok=\d+\s+changed=(\d+)\s+unreachable=\d+\s+failed=\d+")
_TAIL = 12
_STATES: Mapping[str, EventState] = {
    "ok": "ok",
    "changed": "changed",
    "skipping": "skipped",
    "fatal": "failed",
    "failed": "failed",
}


@dataclass
class Transcript:
    """The lines of one task's output, taken as they come.

    mask: applied to all free text. is_whole: its end, the recap, was seen. missing: why the server gave no output, ""
    where it did.
    """

    mask: Mask
    on_event: OnEvent
    results: list[TaskResult] = field(default_factory=list)
    nothing_changed: bool = False
    is_whole: bool = False
    missing: str = ""
    _lines: list[str] = field(default_factory=list)
    _task: str = ""
    _seen: int = 0

    def take(self, output: Sequence[Mapping[str, Any]]) -> None:
        """The server's whole answer; what was taken before is not taken again."""
        self.missing = ""
        for item in output[self._seen :]:
            for line in _COLOUR.sub("", str(item.get("output", ""))).splitlines():
                self._line(line.strip())
        self._seen = max(self._seen, len(output))

    @property
    def tail(self) -> str:
        """The last lines: what is wrong when nothing else says it."""
        return "\n".join(self._lines[-_TAIL:])

    def _line(self, line: str) -> None:
        if not line:
            return
        self._lines.append(self.mask(line))
        if task := _TASK.fullmatch(line):
            self._task = self.mask(task[1])
            self.on_event(Event(self._task, "started"))
        elif result := _RESULT.fullmatch(line):
            self._result(result[1], result[2] or "", result[3] or "")
        elif retry := _RETRY.match(line):
            self.on_event(Event(self._task, "retrying", 0.0, self.mask(retry[1])))
        elif recap := _RECAP.match(line):
            self.nothing_changed, self.is_whole = recap[1] == "0", True
        else:
            self.on_event(Event(self.mask(line), "note"))

    def _result(self, word: str, failure: str, text: str) -> None:
        state: EventState = "unreachable" if failure == "UNREACHABLE" else _STATES[word]
        fields = masked(_fields(text), self.mask)
        message = self.mask(_message(fields, text)) if state in ("failed", "unreachable") else ""
        report = fields if "outcome" in fields else {}
        action = "uri" if "url" in fields and "status" in fields and not report else ""
        self.results.append(TaskResult(self._task, action, state, 0.0, message, report))
        self.on_event(Event(self._task, state, 0.0, message))


def _fields(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _message(fields: Mapping[str, Any], text: str) -> str:
    said = [str(fields[key]) for key in ("msg", "stderr", "module_stderr") if fields.get(key)]
    return "\n".join(said) or text
