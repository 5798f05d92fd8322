"""Each house rule sees a planted violation, and leaves alone what only looks like one."""

import shutil
import sys
from pathlib import Path

import pytest

from fairlead.process import Completed, run
from tools.house import ROOT, Source, check, oversized, registry_hosts, sizes, tree

VIOLATIONS = [
    ("src/fairlead/cli/main.py", "import dbos", "imports dbos, which only pipeline/ may"),
    ("src/fairlead/registry/client.py", "from dbos.queue import Queue", "imports dbos.queue"),
    ("src/fairlead/deploy/base.py", "import ansible.cli", "which only deploy/callback/ may"),
    ("src/fairlead/lab/site.py", "def up():\n    import subprocess", "imports subprocess"),
    ("src/fairlead/pipeline/steps.py", "import multiprocessing", "which only nobody may"),
    ("src/fairlead/cli/main.py", "import os\nos.environ.get('HOME')", "reads os.environ"),
    ("src/fairlead/cli/main.py", "import os\nos.getenv('HOME')", "reads os.getenv"),
    ("src/fairlead/cli/main.py", "from os import environ", "imports os.environ"),
    ("tests/test_x.py", "run('ls | wc', shell=True)", "passes shell="),
    ("tools/x.py", "run(['sh', '-c', 'ls'])", "hands a text to a shell"),
    ("src/fairlead/lab/x.py", "run(('docker', 'exec', name, 'bash', '-euc', text))", "hands a text to a shell"),
    ("src/fairlead/lab/x.py", "os.system('ls')", "calls os.system"),
    ("src/fairlead/lab/x.py", "asyncio.create_subprocess_exec('ls')", "calls asyncio.create_subprocess_exec"),
    ("src/fairlead/utils.py", "", "'utils' names nothing"),
    ("src/fairlead/common/load.py", "", "'common' names nothing"),
    ("docs/manager.md", "", "'manager' names nothing"),
    ("demo/Dockerfile", "# " + "TO" + "DO: pin", "left over"),
    ("README.md", "cd /" + "work/main", "a path of one machine"),
    ("tests/test_x.py", "pytest." + "skip('no tool')", "a test that does not test"),
    ("tests/test_x.py", "monkeypatch." + "setattr(x, 'y', z)", "a test that does not test"),
    ("Makefile", "pip install --index-url packages.internal.example", "a package registry"),
]

HARMLESS = [
    ("src/fairlead/pipeline/runtime.py", "import dbos"),
    ("src/fairlead/deploy/callback/fairlead_events.py", "from ansible.plugins.callback import CallbackBase"),
    ("src/fairlead/process.py", "import os, subprocess\nos.environ"),
    ("src/fairlead/config/load.py", "import os\nos.environ"),
    ("src/fairlead/scaffold/files/library/module.py", "import os, subprocess\nos.environ"),
    ("tests/test_x.py", "import subprocess\nrun(['sh', 'script'], shell=False)"),
    ("src/fairlead/manage.py", "from fairlead.process import run"),
    ("docs/x.md", "/srv/work/x and a workflow"),
]


@pytest.mark.parametrize(("name", "text", "finding"), VIOLATIONS)
def test_violation_is_found(name: str, text: str, finding: str) -> None:
    found = check([Source(name, text)], hosts=["packages.internal.example"])
    assert [line for line in found if line.startswith(name) and finding in line], found


@pytest.mark.parametrize(("name", "text"), HARMLESS)
def test_harmless_is_left_alone(name: str, text: str) -> None:
    assert check([Source(name, text)]) == []


def function(lines: int) -> str:
    return "def f():\n" + "    pass\n" * (lines - 1)


def test_sizes_count_whole_functions_longest_first() -> None:
    source = Source("src/fairlead/x.py", function(3) + "async " + function(12))
    assert sizes([source, Source("tests/x.py", function(99))]) == [
        (12, "src/fairlead/x.py:4: f"),
        (3, "src/fairlead/x.py:1: f"),
    ]


def test_each_bound_on_sizes_is_held() -> None:
    assert oversized([(50, "f"), *[(8, "g")] * 60]) == []
    assert oversized([(51, "f"), *[(8, "g")] * 60]) == ["f has 51 lines; at most 50"]
    assert oversized([(9, "g")] * 60) == ["the median function has 9 lines; at most 8"]
    assert oversized([(45, "f")] * 6 + [(8, "g")] * 60) == ["the 95th percentile of functions is 45 lines; at most 40"]


def test_tree_holds_tracked_and_new_files_but_nothing_ignored(tmp_path: Path) -> None:
    run(["git", "init", "--quiet", tmp_path])
    for name in ("kept.py", "ignored.py", ".gitignore"):
        (tmp_path / name).write_text("ignored.py\n")
    (tmp_path / "picture.bin").write_bytes(b"\xff\xfe")
    assert [source.name for source in tree(tmp_path)] == [".gitignore", "kept.py"]


def test_this_machines_registries_are_known() -> None:
    assert all("." in host for host in registry_hosts())


def lint_imports(directory: Path) -> Completed:
    """Import-linter, with this project's contracts, on the package in that directory."""
    program = Path(sys.executable).with_name("lint-imports")
    argv: list[str | Path] = [program, "--no-cache", "--no-logo", "--config", ROOT / "pyproject.toml"]
    return run(argv, cwd=directory, environment={"PYTHONPATH": str(directory)}, expect=(0, 1))


@pytest.mark.parametrize(
    ("place", "line", "told"),
    [
        ("errors.py", "import fairlead.config", "fairlead.errors -> fairlead.config"),
        ("images.py", "from fairlead import versions", "fairlead.images -> fairlead.versions"),
        ("config/load.py", "import fairlead.cli", "fairlead.config.load -> fairlead.cli"),
        ("pipeline/late.py", "def look() -> None:\n    import fairlead.lab", "fairlead.pipeline.late -> fairlead.lab"),
        ("newcomer.py", "", "newcomer"),
    ],
)
def test_broken_layer_is_found(tmp_path: Path, place: str, line: str, told: str) -> None:
    package = tmp_path / "fairlead"
    shutil.copytree(ROOT / "src/fairlead", package, ignore=shutil.ignore_patterns("files", "__pycache__"))
    planted = package / place
    planted.parent.mkdir(exist_ok=True)
    (planted.parent / "__init__.py").touch()
    planted.write_text(f"{planted.read_text() if planted.exists() else ''}\n{line}\n")
    linted = lint_imports(tmp_path)
    assert linted.exit_code == 1
    assert told in linted.stdout
