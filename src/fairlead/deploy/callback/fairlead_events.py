"""Ansible's stdout callback for Fairlead: one JSON line per event on stdout, one per result in a private file.

Loaded by ansible-playbook, not imported by Fairlead. stdout is for watching: it passes through the mask of secrets,
which may cut a line. What a deploy's outcome is read from goes, whole, to the file.
"""

import json
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]

DOCUMENTATION = """
name: fairlead_events
type: stdout
short_description: Events and results for Fairlead
description: One JSON line per event on stdout; one per task's result in a file.
options:
  results:
    description: The file that results are added to.
    type: path
    required: true
    env:
      - name: ANSIBLE_FAIRLEAD_RESULTS
"""
_OWN_MODULE = "fairlead_compose"


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Says what happens, and keeps what Fairlead's own module reports."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "fairlead_events"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._started = time.monotonic()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        self._started = time.monotonic()
        self._say(task.get_name(), "started")

    def v2_runner_retry(self, result: Any) -> None:
        self._say(result._task.get_name(), "retrying", _message(result._result))

    def v2_runner_on_ok(self, result: Any) -> None:
        self._keep(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._keep(result, "skipped")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._keep(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._keep(result, "unreachable")

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._say("inventory", "failed", "the inventory has no host for this play")

    def _keep(self, result: Any, state: str) -> None:
        seconds = round(time.monotonic() - self._started, 3)
        task, fields = result._task, result._result
        message = _message(fields) if state in ("failed", "ignored", "unreachable") else ""
        line = {"task": task.get_name(), "action": task.action, "state": state, "seconds": seconds, "message": message}
        line["report"] = fields if _OWN_MODULE in task.action else {}
        with Path(self.get_option("results")).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")
        self._say(task.get_name(), state, message, seconds)

    def _say(self, name: str, state: str, detail: str = "", seconds: float = 0.0) -> None:
        event = {"name": name, "state": state, "seconds": seconds, "detail": detail}
        self._display.display(json.dumps(event, default=str))


def _message(fields: Any) -> str:
    """Why a task failed, in its own words."""
    if "censored" in fields:
        return str(fields["censored"])
    return "\n".join(str(fields[key]) for key in ("msg", "stderr") if fields.get(key))
