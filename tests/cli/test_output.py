"""What people and programs read."""

import contextlib
import io
import json
import os
from datetime import UTC, datetime

import pytest

from fairlead.cli.output import Output, printable
from fairlead.config.variables import read_variables
from fairlead.errors import ReleaseFailed


def _output(**options: bool | str) -> tuple[Output, io.StringIO, io.StringIO]:
    stdout, stderr = io.StringIO(), io.StringIO()
    return Output(stdout=stdout, stderr=stderr, **options), stdout, stderr  # type: ignore[arg-type]


def test_text_from_outside_cannot_drive_the_terminal() -> None:
    assert printable("a\x1b[2Jb\u202ec\x07") == "a�[2Jb�c�"


def test_an_error_has_four_parts_and_the_same_as_a_document() -> None:
    out, stdout, stderr = _output(as_json=True)
    out.error(ReleaseFailed("staging failed", why="unhealthy\nlast line", remedy="fairlead rollback"))
    for part in ("staging failed", "unhealthy", "last line", "fairlead rollback", "FL-RELEASE-FAILED"):
        assert part in stderr.getvalue()
    document = json.loads(stdout.getvalue())
    assert document["exit_code"] == 3
    assert document["error"]["title"] == "staging failed"


def test_quiet_keeps_errors() -> None:
    out, _, stderr = _output(quiet=True)
    out.done("done")
    out.failed("failed")
    assert stderr.getvalue() == "✗ failed\n"


def test_times_in_documents_are_iso_8601() -> None:
    out, stdout, _ = _output(as_json=True)
    out.document({"time": datetime(2026, 11, 23, 12, 0, tzinfo=UTC)})
    assert json.loads(stdout.getvalue()) == {"time": "2026-11-23T12:00:00+00:00"}


def test_github_shows_an_error_where_it_happened() -> None:
    out, _, stderr = _output(runner="GITHUB_ACTIONS")
    out.error(ReleaseFailed("100% broken", why="a\nb"))
    assert "::error title=FL-RELEASE-FAILED::100%25 broken. a%0Ab" in stderr.getvalue()


def test_a_reader_that_went_away_does_not_end_a_release() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as stderr:
        out = Output(stdout=io.StringIO(), stderr=stderr)
        try:
            out.done("deployed")
        finally:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stderr.fileno())


@pytest.mark.parametrize(
    ("runner", "shown"),
    [
        ("GITLAB_CI", "section_start:7:deploy\r\x1b[0Kto staging\n✔ done\nsection_end:7:deploy\r\x1b[0K\n"),
        ("GITHUB_ACTIONS", "::group::to staging\n✔ done\n::endgroup::\n"),
        ("", "✔ done\n"),
    ],
)
def test_a_ci_system_folds_a_section_also_one_that_fails(runner: str, shown: str) -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    out = Output(stdout=stdout, stderr=stderr, runner=runner, now=lambda: 7.0)
    with contextlib.suppress(ReleaseFailed), out.section("deploy", "to staging"):
        out.done("done")
        raise ReleaseFailed("staging failed")
    assert stderr.getvalue() == shown
    out.error(ReleaseFailed("staging failed"))
    assert ("::error title=FL-RELEASE-FAILED::staging failed" in stderr.getvalue()) is (runner == "GITHUB_ACTIONS")


@pytest.mark.parametrize(
    ("values", "runner", "colour"),
    [
        ({"GITLAB_CI": "true"}, "GITLAB_CI", False),
        ({"GITLAB_CI": "false", "FORCE_COLOR": "1"}, "", True),
        ({"GITHUB_ACTIONS": "true", "FORCE_COLOR": "1", "NO_COLOR": "1"}, "GITHUB_ACTIONS", False),
    ],
)
def test_colour_needs_a_terminal_or_a_wish_and_sections_a_ci_system(
    values: dict[str, str], runner: str, *, colour: bool
) -> None:
    read = read_variables(values)
    assert (read.runner, read.colour) == (runner, colour)
    assert read_variables({}, terminal=True).colour
    assert not read_variables({"NO_COLOR": "1"}, terminal=True).colour
