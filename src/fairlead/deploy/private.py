"""A directory for one run's secrets: nobody else's, in memory where the system has such a place, wiped at the end."""

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - tmpfs: what is written there never reaches a disk
PREFIX = "fairlead-run-"
_HOLDER = "held"
_WHEREABOUTS = (b"PWD=", b"OLDPWD=")
_TRIES, _PAUSE = 50, 0.02  # how often, and the seconds in between


@contextlib.contextmanager
def private_directory(root: Path | None = None) -> Iterator[Path]:
    """A new directory, mode 0700, that is gone afterwards, also after an error or an interrupt.

    root: where; default: tmpfs, else the system's temporary directory. What a killed process left there is wiped first.
    """
    place = root or _place()
    sweep(place)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    with (path / "new").open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        (path / "new").rename(path / _HOLDER)  # a sweep never sees it unlocked
        try:
            yield path
        finally:
            _wipe(path)  # still locked: a sweep would wipe it at the same time


def sweep(place: Path) -> None:
    """Wipe this user's directories whose process is gone: their lock is free.

    What the killed process left running would work on without its files, and hold the machine's lock: it ends first.
    (OpenTofu must end by itself, and does: it works in a directory that is kept, and knows nothing of this one.)
    """
    for path in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_uid == os.geteuid():
                _sweep(path)


def _sweep(path: Path) -> None:
    with (path / _HOLDER).open() as holder:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        end_processes(path)
        _wipe(path)


def end_processes(private: Path) -> None:
    """End what still works for a run: connections that ssh keeps open, and workers of an Ansible that was stopped.

    Workers have sessions of their own, so a signal to Ansible's process group does not reach them. They may start
    others while they are looked for, and take a moment to end: it looks until there are none.
    """
    for _ in range(_TRIES):
        found = _working_for(private)
        if not found:
            return
        for number in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(_PAUSE)


def _working_for(private: Path) -> list[int]:
    mark = os.fsencode(private)
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if _works_for(process, mark)]


def _works_for(process: Path, mark: bytes) -> bool:
    """Whether a process of this user, but not this one, was started for the directory, by what proc(5) says of it.

    All carry the directory in their environment; ssh writes its control path, which is in there, over it. A person who
    only looked around in it, and what that shell starts since, is no such process.
    """
    try:
        if int(process.name) == os.getpid() or process.stat().st_uid != os.geteuid():
            return False
        variables = (process / "environ").read_bytes().split(b"\0")
        told = [variable for variable in variables if not variable.startswith(_WHEREABOUTS)]
        return any(mark in word for word in (*told, (process / "cmdline").read_bytes()))
    except OSError:  # it ended meanwhile, or must not be looked at
        return False


def _wipe(path: Path) -> None:
    """Remove it, in a few tries: what a run left behind may still write there. In vain, it stays for the next sweep."""
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            _wipe_once(path)
        if not path.exists():
            return
        time.sleep(_PAUSE)
    with contextlib.suppress(OSError):
        (path / _HOLDER).touch()  # it may be gone already


def _wipe_once(path: Path) -> None:
    """The lock file goes last: without it, what a kill left here could not be told from what is being made."""
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child, ignore_errors=True)
        elif child.name != _HOLDER:
            with contextlib.suppress(OSError):
                child.unlink()
    if all(child.name == _HOLDER for child in path.iterdir()):
        shutil.rmtree(path)


def write_private(path: Path, content: str) -> Path:
    """Write a new file that only this user can read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    return path


def _place() -> Path:
    return MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
