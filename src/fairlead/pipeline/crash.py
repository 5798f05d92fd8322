"""Death on request, for tests of what comes after it."""

import os
import signal


def crash(crash_at: str, point: str) -> None:
    """Die at `step:point` (before, after-effect, after), where FAIRLEAD_CRASH_AT asks for it.

    By SIGKILL; with `@group` after the point, together with the process group; with `@stop`, not to die but to be
    stopped (SIGSTOP) until somebody sends SIGCONT.
    """
    asked, _, way = crash_at.partition("@")
    if asked != point:
        return
    if way == "group":
        os.killpg(0, signal.SIGKILL)
    # To this thread, not to the process: the kernel may give that one to another thread, and this one would go on.
    signal.raise_signal(signal.SIGSTOP if way == "stop" else signal.SIGKILL)
