"""The words of make, what CI calls, and the locked requirements."""

import re
import tomllib
from pathlib import Path

import pytest

from fairlead.process import run
from tools.house import ROOT

WORDS = ("setup", "check", "test", "demo", "demo-full", "faults", "docs", "lock")
LOCKS = [ROOT / "requirements/runtime.txt", ROOT / "requirements/dev.txt"]


@pytest.mark.parametrize("word", WORDS)
def test_make_knows_the_word_and_says_what_it_does(word: str) -> None:
    recipe = run(["make", "--dry-run", "--warn-undefined-variables", "-C", ROOT, word])
    assert recipe.stderr == ""
    assert re.search(rf"^{word}\t\S+", run(["make", "-C", ROOT, "help"]).stdout, re.MULTILINE)


def test_ci_calls_the_readmes_test_command_and_nothing_else() -> None:
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if not line.startswith("#")]
    assert commands == ['cd "$(dirname "$0")/.." && exec make test']
    assert "\n```sh\nmake demo\nmake test\n```\n" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_lock_pins_by_hash_and_names_no_place_to_fetch_from(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"\n(?=\w)", text)
    assert [
        entry for entry in entries if not re.match(r"[\w.-]+(\[[\w,]+\])?==\S+ .*\\\n    --hash=sha256:", entry)
    ] == []
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host", text)


def test_every_declared_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = (
        {*project["project"]["dependencies"]},
        {*project["dependency-groups"]["dev"], *project["project"]["dependencies"]},
    )
    for lock, wanted in zip(LOCKS, declared, strict=True):
        locked = set(re.findall(r"^([\w.-]+)", lock.read_text(), re.MULTILINE))
        assert {canonical(requirement) for requirement in wanted} - locked == set(), lock.name


def canonical(requirement: str) -> str:
    """The name as package indexes compare it (PEP 503), without version and extras."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=~!\[; ]", requirement)[0]).lower()
