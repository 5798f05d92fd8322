"""The steps of a run: each is one stage, its result recorded by DBOS, its time in the run's log.

An error of ours is a result too ("how this run ended"), so that nothing but JSON is recorded. Told to stop, a step
records nothing: it is taken up again.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dbos import DBOS

from fairlead import process
from fairlead.errors import FairleadError, ProgramInterrupted, SiteFault
from fairlead.pipeline.crash import crash
from fairlead.pipeline.faults import end_of, written
from fairlead.pipeline.log import RunLog, State
from fairlead.pipeline.stages import Request, Said, Stages


@dataclass(frozen=True)
class Steps:
    """Takes the steps of runs of one environment.

    log_of: a run's log. mask: takes secrets out of what is recorded. crash_at: see `crash`.
    """

    stages: Stages
    log_of: Callable[[str], RunLog]
    mask: Callable[[str], str]
    crash_at: str = ""
    _busy: threading.Lock = field(default_factory=threading.Lock)  # held while a stage works
    _stopping: threading.Event = field(default_factory=threading.Event)

    def bump(self, request: Request) -> Said:
        """The release's commit."""
        return self._take(request["run"], "bump", self.stages.bump, request)

    def provision(self, run: str, commit: str) -> Said:
        """The machine."""
        return self._take(run, "provision", self.stages.provision, commit, run)

    def deploy(self, run: str, prefix: str, commit: str, vm_ip: str) -> Said:
        """The release on the machine. prefix: "" or "rollback-"."""
        return self._take(run, f"{prefix}deploy", self.stages.deploy, commit, vm_ip, run)

    def verify(self, run: str, prefix: str, commit: str, vm_ip: str) -> Said:
        """The checks."""
        return self._take(run, f"{prefix}verify", self.stages.verify, commit, vm_ip)

    def prove(self, run: str, prefix: str, commit: str, verified: Said) -> Said:
        """The proof."""
        return self._take(run, f"{prefix}prove", self.stages.prove, commit, run, verified)

    def roll_back(self, run: str, commit: str, reason: str) -> Said:
        """The commit that pins the last proven release."""
        return self._take(run, "rollback-commit", self.stages.roll_back, commit, run, reason)

    def stop(self, grace: float, waits: Callable[[list[str]], None]) -> None:
        """Begin no further step; stop what the present one runs, and wait for it.

        As long as a program runs, since `process.run` was told how long that one may take to end (OpenTofu saves what
        it has made); then up to `grace` seconds. waits: told the names of the programs, where a stage works.
        """
        self._stopping.set()
        process.interrupt()
        if self._busy.locked():
            waits(process.running())
        while True:
            programs = process.running()  # looked at before the wait: the stage has time to tidy up after its program
            if self._ends(grace) or not programs:
                return

    def _ends(self, within: float) -> bool:
        if not self._busy.acquire(timeout=within):
            return False
        self._busy.release()
        return True

    def _take(self, run: str, name: str, stage: Callable[..., Said], *arguments: Any) -> Said:
        said: Said = DBOS.run_step({"name": name}, self._act, run, name, stage, arguments)
        crash(self.crash_at, f"{name}:after")
        return said

    def _act(self, run: str, name: str, stage: Callable[..., Said], arguments: tuple[Any, ...]) -> Said:
        if self._stopping.is_set():
            raise KeyboardInterrupt
        log, began = self.log_of(run), time.monotonic()
        crash(self.crash_at, f"{name}:before")
        log.add(name, State.STARTED)
        try:
            with self._busy:
                if self._stopping.is_set():
                    raise KeyboardInterrupt
                said = stage(*arguments)
            said["text"] = self.mask(said["text"])
        except ProgramInterrupted:
            raise KeyboardInterrupt from None
        except (FairleadError, OSError) as error:
            said = self._failed(SiteFault.of(error) if isinstance(error, OSError) else error)
        crash(self.crash_at, f"{name}:after-effect")
        log.add(name, State.FAILED if "end" in said else State.DONE, said["text"], time.monotonic() - began)
        return said

    def _failed(self, error: FairleadError) -> Said:
        return {"end": end_of(error), "error": written(error, self.mask), "text": self.mask(error.what)}
