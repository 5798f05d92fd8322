"""make setup: what it says where it cannot help itself."""

import ast
import shutil
import sys
from pathlib import Path

from fairlead.process import run
from tools.house import ROOT
from tools.setup import PROGRAMS, is_up_to_date

SCRIPT = ROOT / "tools/setup.py"


def test_missing_programs_without_apt_are_named_and_nothing_is_begun(tmp_path: Path) -> None:
    copy = tmp_path / "tools" / "setup.py"
    copy.parent.mkdir()
    shutil.copy(SCRIPT, copy)
    ended = run([sys.executable, copy], inherit=False, environment={"PATH": str(tmp_path)}, expect=[1])
    assert "Missing on this machine (the names are Debian's): git openssh-client docker-registry" in ended.stderr
    assert "Install them, then: make setup" in ended.stderr
    assert not (tmp_path / ".venv").exists()


def test_nothing_to_do_is_silent() -> None:
    assert is_up_to_date(), "run: make setup"
    ended = run([sys.executable, SCRIPT])
    assert (ended.stdout, ended.stderr) == ("", "")


def test_an_older_python_can_still_say_that_it_is_too_old() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 8))


def test_every_program_that_setup_installs_is_here() -> None:
    assert [program for program in PROGRAMS if shutil.which(program) is None] == []
