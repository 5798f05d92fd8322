"""A directory for one run's secrets: nobody else's, in memory where the system has such a place, wiped at the end."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - tmpfs: what is written there never reaches a disk
PREFIX = "fairlead-run-"
_HOLDER = "held"


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
    """Wipe the directories whose process is gone: their lock is free."""
    for path in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (path / _HOLDER).open() as holder:
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _wipe(path)


def _wipe(path: Path) -> None:
    """The lock file goes last: without it, what a kill left here could not be told from what is being made."""
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        elif child.name != _HOLDER:
            child.unlink()
    shutil.rmtree(path)


def write_private(path: Path, content: str) -> Path:
    """Write a new file that only this user can read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    return path


def _place() -> Path:
    return MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
