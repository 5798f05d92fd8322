"""Records the variables of every program that a stage of an orchestrator starts.

Two ways, because neither sees everything: programs that are found on PATH (git, ssh, tofu) go through a wrapper, which
misses none, however short it lives; those started by their whole path (Ansible's Python, git's own programs, OpenTofu's
providers) are read from /proc while they live, below the process that was told to `watch`.
"""

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fixtures.processes import descendants

WRAPPED = ("git", "ssh", "ssh-agent", "ssh-keyscan", "tofu", "ansible-playbook", "docker", "skopeo")
# The shell itself writes both down before it becomes the program: no process more, nothing lost.
_WRAPPER = """\
#!/bin/sh
record={records}/$$
tr '\\0' '\\n' < /proc/$$/environ > $record.environ
printf '%s\\n' {program} "$@" > $record.words
exec {program} "$@"
"""


@dataclass(frozen=True)
class Started:
    """A program that was started. words: its command line. variables: its whole environment, as text."""

    words: tuple[str, ...]
    variables: str

    @property
    def name(self) -> str:
        """What it is: the file's name; for a Python that runs Ansible, `ansible`."""
        if any("ansible" in word for word in self.words[:5]) and "python" in Path(self.words[0]).name:
            return "ansible"
        return Path(self.words[0]).name


@dataclass
class Recorder:
    """root: a private directory. path: where programs are looked for, behind the wrappers."""

    root: Path
    path: str
    _seen: dict[tuple[int, bytes], Started] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in (self.bin, self._records):
            folder.mkdir(parents=True)
        for name in WRAPPED:
            if program := shutil.which(name, path=self.path):
                wrapper = self.bin / name
                wrapper.write_text(_WRAPPER.format(records=self._records, program=program))
                wrapper.chmod(0o755)

    @property
    def bin(self) -> Path:
        """The wrappers: to be first on PATH."""
        return self.root / "bin"

    @property
    def _records(self) -> Path:
        return self.root / "records"

    @property
    def wrapped_path(self) -> str:
        """PATH for the orchestrator's agent."""
        return f"{self.bin}:{self.path}"

    @contextmanager
    def watch(self, process: int) -> Iterator[None]:
        """Look at everything that a process has started, again and again, until the end of the block."""
        enough = threading.Event()
        watcher = threading.Thread(target=self._look_until, args=(enough, process))
        watcher.start()
        try:
            yield
        finally:
            enough.set()
            watcher.join()

    def _look_until(self, enough: threading.Event, process: int) -> None:
        while not enough.wait(0.02):
            for child in descendants(process):
                self._look(Path("/proc", str(child)))

    def _look(self, place: Path) -> None:
        try:
            words = (place / "cmdline").read_bytes()
            key = (int(place.name), words)
            if words and key not in self._seen:
                variables = (place / "environ").read_bytes().replace(b"\0", b"\n").decode(errors="replace")
                self._seen[key] = Started(tuple(words.decode(errors="replace").rstrip("\0").split("\0")), variables)
        except OSError:  # it ended meanwhile
            return

    @property
    def started(self) -> list[Started]:
        """Every program that was seen, in no order."""
        return [*self._seen.values(), *self._wrapped()]

    def _wrapped(self) -> Iterator[Started]:
        for words in self._records.glob("*.words"):
            yield Started(tuple(words.read_text().splitlines()), words.with_suffix(".environ").read_text())

    def holders(self, value: str) -> set[str]:
        """The names of the programs whose variables hold a value."""
        return {one.name for one in self.started if value in one.variables}

    def holders_by_secret(self, secrets: Mapping[str, str]) -> dict[str, set[str]]:
        """For each secret by name: the programs whose variables held its value."""
        return {name: self.holders(value) for name, value in secrets.items()}
