"""An Ansible callback: every task's result as one line of JSON."""

import json
from typing import Any

from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Prints what a test needs, and nothing else."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "one_line"

    def v2_runner_on_ok(self, result: Any) -> None:
        self._say(result, "ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._say(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._say(result, "unreachable")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002
        self._say(result, "failed")

    def _say(self, result: Any, state: str) -> None:
        shown = json.loads(self._dump_results(result._result))
        shown["diff"] = result._result.get("diff")  # the dump leaves it out
        self._display.display(json.dumps({**shown, "task": result._task.get_name(), "state": state}))
