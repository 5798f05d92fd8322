"""Looks for secrets where none may be: in git, in files, in what was printed, in every process while a command runs.

In eight encodings. Only letters and digits are looked for, so that a value that was (1) left as it is, (2) URL-encoded,
(3) JSON-escaped, (4) quoted as Python or a shell quotes, or (5) written with Compose's `$$` is found by them alone.
Beside them are looked for: (6) base64, its characters at each of its three alignments, (7) hexadecimal, (8) backwards.
"""

import base64
import os
import re
import subprocess
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

ENOUGH = 12  # letters and digits in a row of an SSH key's private part
# Where the secret seed of an unencrypted ed25519 key stands in its file: bytes 161 to 193 of the binary form
# (openssh, PROTOCOL.key), all on the fourth line of base64. Around it stands the public key, which is no secret.
SEED_LINE, SEED = 4, slice(5, 47)


@dataclass(frozen=True)
class Canaries:
    """What must not be found."""

    needles: tuple[bytes, ...]

    @classmethod
    def of(cls, core: str, keys: Iterable[Path]) -> Self:
        """core: letters and digits that are in every secret. keys: OpenSSH private keys."""
        texts = [core, *(run for key in keys for run in _private_runs(key))]
        return cls(tuple(form.encode() for text in texts for form in _forms(text)))

    def within(self, content: bytes) -> bool:
        """Whether any of them is in there."""
        return any(needle in content for needle in self.needles)

    def in_files(self, root: Path, *, leave_out: Iterable[Path] = ()) -> list[str]:
        """The files below a directory that hold one. What vanishes meanwhile holds none."""
        kept_out = tuple(map(str, leave_out))
        paths = [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
        return [str(path) for path in paths if not str(path).startswith(kept_out) and self.within(_content(path))]

    def in_git(self, repository: Path) -> bool:
        """Whether one is in any object of a repository: commits, trees, files, notes."""
        words = ["git", "-C", str(repository), "cat-file", "--batch-all-objects", "--batch"]
        return self.within(subprocess.run(words, capture_output=True, check=True).stdout)

    @property
    def lines(self) -> str:
        """For `grep -F -f -`."""
        return "".join(f"{needle.decode()}\n" for needle in self.needles)


def _private_runs(key: Path) -> list[str]:
    """Letters and digits of an ed25519 key's seed."""
    return re.findall(rf"[A-Za-z0-9]{{{ENOUGH},}}", key.read_text().splitlines()[SEED_LINE][SEED])


def _forms(text: str) -> Iterator[str]:
    yield from (text, *_base64_forms(text), text.encode().hex(), text[::-1])


def _base64_forms(text: str) -> Iterator[str]:
    for offset, first in enumerate((0, 2, 3)):
        content = bytes(offset) + text.encode()
        yield base64.b64encode(content).decode()[first : len(content) * 8 // 6]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError:
        return b""


@dataclass
class Watch:
    """Reads the arguments and variables of all processes of this machine and of the lab's machines, again and again.

    Not those of the application's own containers, which have their secrets as variables by design.
    namespaces: of process ids, as /proc/PID/ns/pid names them.
    """

    canaries: Canaries
    namespaces: frozenset[str]
    found: set[str] = field(default_factory=set)
    looks: int = 0

    def __enter__(self) -> Self:
        self._enough = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._enough.wait(0.03):
            self.looks += 1
            for process in Path("/proc").glob("[0-9]*"):
                self._look(process)

    def _look(self, process: Path) -> None:
        for name in ("cmdline", "environ"):
            if self.canaries.within(_content(process / name)) and namespace(process) in self.namespaces:
                self.found.add(f"{name} of {_content(process / 'cmdline').replace(bytes(1), b' ').decode()}")


def namespace(process: Path) -> str:
    """The namespace of process ids that a process is in; "" for one that is gone."""
    try:
        return str((process / "ns" / "pid").readlink())
    except OSError:
        return ""
