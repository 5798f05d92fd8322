"""Types the demo's commands as a person would: what stands after `$` is what runs. Remembers which are done."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

Say = Callable[[str], object]
BUSY = 4  # Fairlead's exit code for: another holder is at work
LOOKS, PAUSE = 24, 5.0  # at who is at work; seconds between them
NOT_OURS = ("FAIRLEAD_", "GIT_", "HEALTH_CHECK_", "ENVIRONMENT", "VM_IP")  # with these it would be another story
KEPT = ("FAIRLEAD_STATE_DIR",)


def variables_of(person: Mapping[str, str], *, colour: bool) -> dict[str, str]:
    """What commands see: the person's variables without settings of Fairlead and git, and this checkout's fairlead."""
    kept = {name: value for name, value in person.items() if name in KEPT or not name.startswith(NOT_OURS)}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{person['PATH']}"
    return {**kept, **quiet, "PATH": path, "LC_ALL": "C.UTF-8", "FORCE_COLOR" if colour else "NO_COLOR": "1"}


class Terminal:
    """Where commands run and are shown. directory: the demo's own; its file `done` names the commands that are done."""

    def __init__(self, directory: Path, say: Say, variables: Mapping[str, str]) -> None:
        self._here = directory
        self._say = say
        self._variables = dict(variables)
        self._journal = directory / "done"
        self._done = self._journal.read_text().splitlines() if self._journal.exists() else []
        self._chapter = ""
        self._heading = ""
        if self._done:
            say(f"demo: {len(self._done)} commands were done before; going on after them")

    def chapter(self, title: str) -> None:
        """What follows belongs together. The title is shown with the first line of it that is shown."""
        self._chapter = title
        self._heading = f"\n── {title} ──"

    def run(
        self,
        command: str,
        *,
        expect: Sequence[int] = (0,),
        during: AbstractContextManager[object] | None = None,
        again: bool = False,
    ) -> None:
        """Show a command, run it without a shell, show what it prints; nothing, where it was done before.

        expect: exit codes that are right; another one ends the demo. during: entered for as long as the command runs.
        again: run it also where it was done before.
        """
        if not again and not self.pending(command):
            return
        self.say(f"$ {command}")
        with during or nullcontext():
            code = self._patiently(shlex.split(command))
        if code not in expect:
            raise SystemExit(f"demo: {command} ended with exit code {code}. Mend that; make demo goes on after it")
        if not again:
            self._remember(command)

    def pending(self, command: str) -> bool:
        """Whether this chapter's command was not yet run to its end."""
        return self._entry(command) not in self._done

    def change_directory(self, directory: Path) -> None:
        """Show and do `cd`."""
        self.say(f"$ cd {shlex.quote(str(directory))}")
        self._here = directory

    def export(self, name: str, value: str) -> None:
        """Show and do `export`."""
        self.say(f"$ export {name}={shlex.quote(value)}")
        self._variables[name] = value

    def say(self, line: str) -> None:
        """Show a line, after the chapter's title where that is still due."""
        if self._heading:
            self._say(self._heading)
            self._heading = ""
        self._say(line)

    def _patiently(self, words: Sequence[str]) -> int:
        """Run it; while a command of a demo that was killed still works, wait for that one and run it again."""
        for _ in range(LOOKS):
            code = self._follow(words)
            if code != BUSY:
                break
            time.sleep(PAUSE)
        return code

    def _follow(self, words: Sequence[str]) -> int:
        """Run a command and show each line as it comes; stderr and stdout as on a terminal."""
        with subprocess.Popen(
            words,
            cwd=self._here,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            try:
                self._pass_on(child)
            except KeyboardInterrupt:
                self._pass_on(child)  # the child got Ctrl-C too: it stops in order, and says so
                raise
        return child.returncode

    def _pass_on(self, child: "subprocess.Popen[str]") -> None:
        for line in child.stdout or ():
            self.say(line.rstrip())

    def _entry(self, command: str) -> str:
        return f"{self._chapter}: {command}"

    def _remember(self, command: str) -> None:
        self._done.append(self._entry(command))
        with self._journal.open("a") as file:
            file.write(f"{self._done[-1]}\n")
