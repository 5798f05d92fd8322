"""What a person installs: every file of the product is in the wheel, and the command starts without heavy imports."""

import sys
import zipfile
from pathlib import Path

import pytest

from fairlead.process import run
from tools.house import ROOT

HEAVY = {
    "ansible",
    "asyncio",
    "cryptography",
    "dbos",
    "httpx2",
    "pydantic",
    "re2",
    "rich",
    "ruamel",
    "yaml",
}


def test_help_imports_nothing_heavy() -> None:
    loaded = run([sys.executable, "-c", "import sys, fairlead.cli.main; print(*sys.modules)"]).stdout.split()
    assert HEAVY & set(loaded) == set()


@pytest.fixture
def wheel(tmp_path: Path) -> set[str]:
    """The names of the files in a freshly built wheel."""
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path], cwd=ROOT)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        return set(archive.namelist())


def test_wheel_holds_every_file_of_the_product_and_nothing_else(wheel: set[str]) -> None:
    tracked = run(["git", "ls-files", "-z", "src/fairlead"], cwd=ROOT).stdout.split("\0")
    product = {name.removeprefix("src/") for name in tracked if name and (ROOT / name).exists()}
    packaged = {name for name in wheel if ".dist-info/" not in name}
    assert product - packaged == set()
    assert {name.split("/")[0] for name in packaged} == {"fairlead"}
    assert "fairlead/py.typed" in packaged


def test_wheel_holds_the_licence(wheel: set[str]) -> None:
    assert [name for name in wheel if name.endswith("/licenses/LICENSE")]
