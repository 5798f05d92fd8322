"""Lines of `fairlead provision` that are read without typer."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from fairlead.cli.early import plain_provisioning
from fairlead.cli.main import app
from fairlead.config.variables import read_variables

PROVISION = get_command(app).commands["provision"]  # type: ignore[attr-defined]  # typer says Command, it is a group
OPTIONS = {name: parameter for parameter in PROVISION.params for name in parameter.opts}
VARIABLES = [parameter.envvar for parameter in PROVISION.params if parameter.envvar]
ODD = st.sampled_from(["--help", "--quit", "--no-plan", "-qe", "-estaging", "-e=staging", "--", "staging", "a=b", ""])
VALUES = st.sampled_from(["staging", "a=b", "a b", "", "-q", "--repo"])
GIVEN = st.sampled_from([name for name, option in OPTIONS.items() if not option.is_flag])
PARTS = st.one_of(
    st.tuples(GIVEN, VALUES),
    st.tuples(GIVEN, st.just("="), VALUES).map(lambda part: ("".join(part),)),
    st.sampled_from([(name,) for name, option in OPTIONS.items() if option.is_flag]),
    st.tuples(ODD),
)
LINES = st.lists(PARTS, max_size=7).map(lambda parts: [word for part in parts for word in part])
SAID = st.dictionaries(st.sampled_from(VARIABLES), st.sampled_from(["", "production", " x "]))


@given(LINES, SAID)
def test_what_is_read_without_typer_is_what_typer_reads(words: list[str], said: dict[str, str]) -> None:
    asked = plain_provisioning(["provision", *words], read_variables(said).options)
    if asked is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in VARIABLES:
            patch.setenv(name, said.get(name, ""))
        assert asdict(asked) == PROVISION.make_context("provision", words).params


@pytest.mark.parametrize(
    "line",
    [
        "provision -e staging",
        "provision --environment=staging --repo ../shop --refresh",
        "provision --repo=https://git.example.com/shop.git#main --environment staging -q",
        "provision -e staging --run run-1 --commit 1a2b3c --json",
        "provision -e staging --plan --vm-ip 192.0.2.10 --allow-replace 1a2b3c",
    ],
)
def test_a_plain_line_needs_no_typer(line: str) -> None:
    assert plain_provisioning(line.split(), {})


@pytest.mark.parametrize(
    "line",
    ["", "deploy -e staging", "provision", "provision -e", "provision -e staging --help", "provision -qe staging"],
)
def test_any_other_line_is_left_to_typer(line: str) -> None:
    assert plain_provisioning(line.split(), {}) is None


ENDED = """
import atexit, sys
from fairlead.__main__ import main
atexit.register(lambda: print(*sorted({"typer", "rich"} & set(sys.modules))))
main()
"""


def test_typer_is_not_imported_for_a_plain_line(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", ENDED, "provision", "-e", "staging", "--repo", str(tmp_path)]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "\n"), ended.stderr
    assert "✗ " in ended.stderr
