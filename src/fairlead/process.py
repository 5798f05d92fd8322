"""The one place that starts programs.

Programs get an argv list, never a shell. Each runs in a process group of its own, so that a Ctrl-C at the terminal
reaches Fairlead alone, which then stops the program in order: one SIGINT, a grace period, SIGKILL for the whole group.
(OpenTofu, measured: one SIGINT and it finishes its state; SIGKILL and it forgets what it made.)
"""

import base64
import contextlib
import functools
import json
import os
import select
import selectors
import signal
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

from fairlead.errors import ProgramFailed, ProgramInterrupted, ProgramMissing, ProgramTimedOut

MASKED = "***"
SHORTEST_SECRET = 4
LONGEST_LINE = 64 * 1024
LONGEST_OUTPUT = 64 * 1024 * 1024
SECRET_VARIABLES = ("TF_VAR_", "PG_CONN_STR", "TF_ENCRYPTION", "SEMAPHORE_TOKEN", "FAIRLEAD_")
_DRAIN = 0.2  # seconds for the last output of a program whose own children keep its pipes open
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_running: dict[int, str] = {}  # by process id, what `run` waits for, in whichever thread

Stream = Literal["stdout", "stderr"]
OnLine = Callable[[Stream, str], None]


class Mask:
    """Replaces secret values in text, also where they were encoded on the way (URL, base64, JSON, Compose's `$$`).

    Values shorter than four characters are left alone: masking them would destroy ordinary text; config/secrets.py
    refuses such secrets where they are read.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values for form in _forms(value) if len(form) >= SHORTEST_SECRET}
        self._forms = sorted(forms, key=len, reverse=True)

    @property
    def longest(self) -> int:
        """Characters in the longest form: how much of a cut line must be held back."""
        return len(self._forms[0]) if self._forms else 0

    def __call__(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MASKED)
        return text


def _forms(value: str) -> Iterator[str]:
    for text in (value, *value.splitlines()):
        yield text
        yield urllib.parse.quote(text, safe="")
        yield json.dumps(text)[1:-1]
        yield text.replace("$", "$$")
        yield base64.b64encode(text.encode()).decode().rstrip("=")


NO_SECRETS = Mask()


@dataclass(frozen=True, slots=True)
class Completed:
    """A program's end: its argv, exit code and masked output (UTF-8, undecodable bytes replaced)."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str


@dataclass
class _Capture:
    """Collects one stream: cuts it into lines, masks each, keeps them and hands them on."""

    stream: Stream
    mask: Mask
    on_line: OnLine | None
    encoding: str = "utf-8"
    _pending: bytes = b""
    _kept: list[str] = field(default_factory=list)
    _size: int = 0

    def feed(self, chunk: bytes) -> None:
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            self._emit(line.decode(self.encoding, errors="replace"), "\n")
        if len(self._pending) > LONGEST_LINE:
            self._cut()

    def _cut(self) -> None:
        """Emit the head of an endless line; hold back enough that a secret across the cut is still seen whole."""
        held = max(self.mask.longest, 4)  # 4: no UTF-8 character is cut
        masked = self.mask(self._pending.decode(self.encoding, errors="surrogateescape"))
        head, tail = (part.encode(self.encoding, errors="surrogateescape") for part in (masked[:-held], masked[-held:]))
        self._emit(head.decode(self.encoding, errors="replace"), "")
        self._pending = tail

    def close(self) -> str:
        if self._pending:
            self._emit(self._pending.decode(self.encoding, errors="replace"), "")
            self._pending = b""
        return "".join(self._kept)

    def _emit(self, line: str, end: str) -> None:
        line = self.mask(line)
        self._size += len(line) + len(end)
        if self._size <= LONGEST_OUTPUT:
            self._kept.append(line + end)
        if self.on_line:
            self.on_line(self.stream, line.rstrip("\r"))


def run(  # noqa: PLR0913 - one keyword for each property of a child process
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    inherit: bool = True,
    stdin: str | bytes = b"",
    mask: Mask = NO_SECRETS,
    on_line: OnLine | None = None,
    timeout: float | None = None,
    grace: float = 10.0,
    expect: Collection[int] = (0,),
    encoding: str = "utf-8",
    until: int | None = None,
) -> Completed:
    """Run a program to its end and return what it printed.

    argv: the program and its arguments, passed as they are. environment: added to what is inherited (see
    `inherited`); with `inherit=False` it is all that the program gets. stdin: what it reads. on_line: called with
    each masked line as it comes. timeout, grace: seconds. expect: the exit codes that are no error.
    encoding: how standard output becomes text; with latin-1, `stdout.encode("latin-1")` is the very bytes.
    until: a descriptor that becomes readable when this one program is to be stopped, as by Ctrl-C.

    Raises ProgramMissing, ProgramFailed, ProgramTimedOut, ProgramInterrupted.
    """
    words = tuple(os.fspath(word) for word in argv)
    variables = {**(inherited() if inherit else {}), **(environment or {})}
    with _in_memory(stdin) as source, signals_held() as held, _start(words, cwd, variables, source) as child:
        captures = (_Capture("stdout", mask, on_line, encoding), _Capture("stderr", mask, on_line))
        stops = {_interruption(os.getpid()), *([] if until is None else [until])}
        _watch(child, captures, words, _Limits(timeout, grace, stops), held)
        stdout, stderr = (capture.close() for capture in captures)
    if child.returncode not in expect:
        raise _failure(words, child.returncode, stderr or stdout, mask)
    return Completed(words, child.returncode, stdout, stderr)


@dataclass(frozen=True, slots=True)
class Beside:
    """A program that runs beside a block; None for one that could not start."""

    _child: "subprocess.Popen[bytes] | None"

    def exit_code(self) -> int | None:
        """Wait for its end, as long as it takes. None for one that did not start."""
        return self._child.wait() if self._child else None

    def kill(self) -> None:
        """End it, and what it has started."""
        if self._child:
            _kill_group(self._child)


@contextlib.contextmanager
def beside(argv: Sequence[str | Path], environment: Mapping[str, str], *, cwd: Path | None = None) -> Iterator[Beside]:
    """Run a program while the block runs, and kill it at the end: for a head start that nothing depends on.

    What it prints does not matter. environment: all that it gets.
    """
    with signals_held() as held:
        child: subprocess.Popen[bytes] | None = None
        with contextlib.suppress(OSError):
            child = subprocess.Popen(
                argv,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            held.let_go()
            yield Beside(child)
        finally:
            if child:
                _kill_group(child)


def running() -> list[str]:
    """The names of the programs that `run` waits for just now, in whichever thread."""
    return sorted({Path(program).name for program in _running.copy().values()})


def interrupt() -> None:
    """Stop every program that runs or will be run, as Ctrl-C does: `run` raises ProgramInterrupted in its thread.

    For the main thread, which alone is told of signals, when programs are run by other threads. It cannot be undone.
    """
    os.eventfd_write(_interruption(os.getpid()), 1)


def pause(seconds: float) -> None:
    """Wait for somebody else's program. Told to stop, it raises ProgramInterrupted, as `run` does."""
    try:
        stopped, _, _ = select.select([_interruption(os.getpid())], [], [], seconds)
    except KeyboardInterrupt:
        stopped = [0]
    if stopped:
        raise ProgramInterrupted("Fairlead was interrupted while it waited")


@functools.cache
def _interruption(_process: int) -> int:
    """A descriptor that becomes readable when this process, not one that it was forked from, is told to stop."""
    return os.eventfd(0)


def inherited() -> dict[str, str]:
    """This process's environment without the variables that carry secrets: a stage adds the ones its program needs."""
    return {name: value for name, value in os.environ.items() if not name.startswith(SECRET_VARIABLES)}


@contextlib.contextmanager
def _in_memory(content: str | bytes) -> Iterator[int]:
    """An anonymous file: no pipe to fill up, nothing on disk."""
    descriptor = os.memfd_create("fairlead")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass
class _Held:
    """Signals whose handlers wait. Each comes to its own handler when they are let go."""

    _handlers: dict[int, Callable[[int, FrameType | None], object]] = field(default_factory=dict)
    _told: list[Callable[[], object]] = field(default_factory=list)
    _over: bool = False

    def hold(self) -> None:
        """From now on, in the main thread: no other is told of signals."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _STOPPING:
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, functools.partial(self._hear, handler))

    def _hear(self, handler: Callable[[int, FrameType | None], object], number: int, frame: FrameType | None) -> None:
        if self._over:
            handler(number, frame)
        else:
            self._told.append(functools.partial(handler, number, frame))

    def let_go(self) -> None:
        """Give the handlers back, and call those whose signal came. To do it again is harmless."""
        self._over = True
        while self._handlers:
            signal.signal(*self._handlers.popitem())
        while self._told:
            self._told.pop()()


@contextlib.contextmanager
def signals_held() -> Iterator[_Held]:
    """To start a program in: Popen, interrupted while it waits for the start, forgets whom it has started.

    And to import in: an import that is interrupted may end in another error, or leave the lock of all imports taken.
    In Python and not by a mask: the program would inherit that, and be deaf to what is to stop it.
    """
    held = _Held()
    try:
        held.hold()
        yield held
    finally:
        held.let_go()


def _start(
    argv: tuple[str, ...], cwd: Path | None, variables: Mapping[str, str], source: int
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=variables,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise ProgramFailed(f"{argv[0]} cannot start in {cwd}", why="There is no such directory") from error
        raise ProgramMissing(f"{argv[0]} is not installed, or not on PATH", remedy=f"Install {argv[0]}") from error
    except PermissionError as error:
        raise ProgramMissing(f"{argv[0]} may not be executed", why=str(error), remedy=f"chmod +x {argv[0]}") from error
    except OSError as error:  # no memory, too many processes, arguments too long, a file that is no program
        raise ProgramFailed(f"{argv[0]} cannot start: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class _Limits:
    """What ends a program before its own end. stops: descriptors that become readable when it is to be stopped."""

    timeout: float | None
    grace: float
    stops: Collection[int]


def _watch(
    child: "subprocess.Popen[bytes]",
    captures: tuple[_Capture, _Capture],
    argv: tuple[str, ...],
    limits: _Limits,
    held: _Held,
) -> None:
    timeout, grace = limits.timeout, limits.grace
    deadline = None if timeout is None else time.monotonic() + timeout
    _running[child.pid] = argv[0]
    try:
        held.let_go()
        if _pump(child, captures, deadline, limits.stops):
            return
        _stop(child, captures, grace)
    except KeyboardInterrupt:
        _stop(child, captures, grace)
        raise ProgramInterrupted(f"{_shown(argv, captures[0].mask)} was stopped: Fairlead was interrupted") from None
    except BaseException:
        _kill_group(child)
        raise
    finally:
        del _running[child.pid]
    raise ProgramTimedOut(
        f"{_shown(argv, captures[0].mask)} did not end within {timeout:g} s and was stopped",
        why=_tail(captures[1].close() or captures[0].close()),
    )


def _pump(
    child: "subprocess.Popen[bytes]",
    captures: Iterable[_Capture],
    deadline: float | None,
    stops: Collection[int] = (),
) -> bool:
    """Read both streams until the program has ended. False: the deadline came first.

    stops: descriptors that become readable when the program is to be stopped: it raises KeyboardInterrupt.
    """
    with selectors.DefaultSelector() as selector, _end_of(child) as ended:
        for descriptor in (ended, *stops):
            selector.register(descriptor, selectors.EVENT_READ, None)
        for pipe, capture in zip((child.stdout, child.stderr), captures, strict=True):
            selector.register(pipe, selectors.EVENT_READ, capture)  # type: ignore[arg-type]
        while selector.get_map().keys() - set(stops):
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return child.poll() is not None
            for key, _ in selector.select(remaining):
                if key.data is None:
                    _refuse(key.fd, stops)
                    deadline = time.monotonic() + _DRAIN
                if key.data is None or not _read(key.fd, key.data):
                    selector.unregister(key.fileobj)
    child.wait()
    return True


def _refuse(descriptor: int, stops: Collection[int]) -> None:
    if descriptor in stops:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _end_of(child: "subprocess.Popen[bytes]") -> Iterator[int]:
    """A descriptor that becomes readable when the program ends (pidfd_open(2))."""
    descriptor = os.pidfd_open(child.pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(pipe: int, capture: _Capture) -> bool:
    """One chunk from the pipe to its capture. False at its end."""
    chunk = os.read(pipe, 65536)
    if chunk:
        capture.feed(chunk)
    return bool(chunk)


def _stop(child: "subprocess.Popen[bytes]", captures: tuple[_Capture, _Capture], grace: float) -> None:
    """One SIGINT for the program itself; what is left of its group after the grace period is killed."""
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGINT)
    with contextlib.suppress(KeyboardInterrupt, ProcessLookupError):  # it may have ended before it was told to
        _pump(child, captures, time.monotonic() + grace)
    _kill_group(child)


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _failure(argv: tuple[str, ...], exit_code: int, output: str, mask: Mask) -> ProgramFailed:
    ended = f"was killed by {_signal_name(-exit_code)}" if exit_code < 0 else f"ended with exit code {exit_code}"
    return ProgramFailed(f"{_shown(argv, mask)} {ended}", why=_tail(output))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _shown(argv: tuple[str, ...], mask: Mask) -> str:
    words = mask(" ".join(argv))
    return words if len(words) <= 200 else words[:199] + "…"


def _tail(output: str, lines: int = 6) -> str:
    """The last lines of an output: the place where programs say what went wrong."""
    return "\n".join(output.strip().splitlines()[-lines:])
