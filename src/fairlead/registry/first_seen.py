"""When an image was first seen here: its age where the image itself does not say when it was made."""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

MOST_REMEMBERED = 10_000


class FirstSeen(Protocol):
    """Remembers first sightings."""

    def since(self, reference: str, now: datetime) -> datetime:
        """When the reference was first asked for; `now`, and remembered, if never before."""
        ...


class FirstSeenFile:
    """First sightings in a JSON file of the state directory: `{reference: time}`.

    Written whole or not at all, and one process after the other. A file that cannot be read counts as empty: the
    loss makes images younger, so that a cooldown waits longer, never shorter.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def since(self, reference: str, now: datetime) -> datetime:
        """See FirstSeen. A clock that was set back does not make an image younger than new."""
        with self._locked():
            known = self._read()
            if reference in known:
                return min(known[reference], now)
            known[reference] = now
            self._write(known)
        return now

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, datetime]:
        try:
            content = json.loads(self._path.read_bytes())
            return {key: datetime.fromisoformat(text).astimezone(UTC) for key, text in content.items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self, known: dict[str, datetime]) -> None:
        newest = sorted(known.items(), key=lambda item: item[1])[-MOST_REMEMBERED:]
        content = json.dumps({key: time.isoformat() for key, time in newest}, indent=0)
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self._path)
