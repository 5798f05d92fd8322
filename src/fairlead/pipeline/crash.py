"""Death on request, for tests of what comes after it."""

import os
import signal


def crash(crash_at: str, point: str) -> None:
    """Die by SIGKILL at `step:point` (before, after-effect, after), where FAIRLEAD_CRASH_AT asks for it."""
    if crash_at == point:
        os.kill(os.getpid(), signal.SIGKILL)
