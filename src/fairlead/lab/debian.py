"""Debian as the lab's source: packages for this machine, and root file systems for images where no registry answers.

No mirror is written here: it is asked of the machine's own apt at run time.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from fairlead import process
from fairlead.errors import LabError
from fairlead.lab.progress import Progress

SUITE = "trixie"
_FIELDS = "$(ORIGIN) $(CODENAME) $(REPO_URI)"
_WITHOUT_QUESTIONS = {"DEBIAN_FRONTEND": "noninteractive"}


def index_targets_argv() -> list[str]:
    """Ask apt for its configured sources: origin, code name and address, a line each (apt-get(8), indextargets)."""
    return ["apt-get", "indextargets", "--format", _FIELDS, "Created-By: Packages"]


def mirror_among(targets: str) -> str | None:
    """The address of the first main archive of Debian (not its security or backports archive), if there is one."""
    rows = (line.split() for line in targets.splitlines())
    return next((row[2] for row in rows if len(row) == 3 and row[0] == "Debian" and "-" not in row[1]), None)


def mirror() -> str | None:
    """This machine's Debian mirror; None lets mmdebstrap use its own default."""
    if shutil.which("apt-get") is None:
        return None
    return mirror_among(process.run(index_targets_argv(), timeout=60).stdout)


def installation_argv(package: str) -> list[str]:
    """Install one package and nothing that it only recommends."""
    return ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]


def require(program: str, package: str, progress: Progress) -> None:
    """See to it that a program is installed. Raises LabError where that takes another user or another system."""
    if shutil.which(program):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LabError(f"{program} is not installed", remedy=f"sudo apt-get install {package}")
    with progress.phase(f"Installing {package}"):
        process.run(["apt-get", "update", "--quiet"], environment=_WITHOUT_QUESTIONS, timeout=300)
        process.run(installation_argv(package), environment=_WITHOUT_QUESTIONS, timeout=600)
    if not shutil.which(program):
        raise LabError(f"The package {package} does not bring {program}")


def bootstrap_argv(options: Sequence[str], target: Path, source: str | None) -> list[str]:
    """Make a root file system as a tar file with mmdebstrap(1)."""
    return ["mmdebstrap", "--quiet", *options, SUITE, str(target), *([source] if source else [])]


def bootstrap(options: Sequence[str], target: Path, progress: Progress) -> None:
    """Make a root file system of Debian's SUITE at `target` (a .tar). Takes 5 to 50 s of one core."""
    require("mmdebstrap", "mmdebstrap", progress)
    process.run(bootstrap_argv(options, target, mirror()), timeout=1200)
