"""What people and programs read: sentences on stderr, one JSON document on stdout.

Four glyphs, as Flux prints them: ► doing, ✔ done, ◎ waiting, ✗ failed. Text from outside loses its control characters.
"""

import contextlib
import json
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TextIO

from fairlead.errors import FairleadError

_COLOURS = {"►": "36", "✔": "32", "◎": "33", "✗": "31"}


def printable(text: str) -> str:
    """The text without control, format and surrogate characters: no escape sequence reaches the terminal."""
    return "".join(letter if letter in "\n\t" or unicodedata.category(letter)[0] != "C" else "�" for letter in text)


class Output:
    """Prints for people on stderr, and with `as_json` one document on stdout.

    runner: the CI system whose log this goes to, by its own variable: GITLAB_CI, GITHUB_ACTIONS, or "".
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        colour: bool = False,
        runner: str = "",
        now: Callable[[], float] = time.time,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._colour = colour
        self._runner = runner
        self._now = now
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr

    def doing(self, text: str) -> None:
        """Something starts."""
        self._line("►", text)

    def done(self, text: str) -> None:
        """Something is done."""
        self._line("✔", text)

    def waiting(self, text: str) -> None:
        """Something has to happen first."""
        self._line("◎", text)

    def failed(self, text: str) -> None:
        """Something failed; always printed."""
        self._line("✗", text, always=True)

    def detail(self, text: str) -> None:
        """A line that belongs to the one before."""
        self._print(f"  {printable(text)}")

    @contextlib.contextmanager
    def section(self, name: str, title: str) -> Iterator[None]:
        """What is printed in the block folds under a title in a CI system's log. name: of letters, digits, `_`, `-`."""
        self.begin_section(name, title)
        try:
            yield
        finally:
            self.end_section(name)

    def begin_section(self, name: str, title: str) -> None:
        """Begin a section that ends where `end_section` is called."""
        match self._runner:
            case "GITLAB_CI":
                self._print(f"section_start:{self._now():.0f}:{name}\r\x1b[0K{printable(title)}")
            case "GITHUB_ACTIONS":
                self._print(f"::group::{_escaped(title)}")

    def end_section(self, name: str) -> None:
        """End the section."""
        match self._runner:
            case "GITLAB_CI":
                self._print(f"section_end:{self._now():.0f}:{name}\r\x1b[0K")
            case "GITHUB_ACTIONS":
                self._print("::endgroup::")

    def table(self, rows: list[tuple[str, ...]]) -> None:
        """Rows with aligned columns; the first row is the heading."""
        cells = [[printable(cell) for cell in row] for row in rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        for row in cells:
            self._print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def value(self, text: str) -> None:
        """The one result that a shell takes with `$(…)`: on stdout, unless a document will be."""
        if not self.as_json:
            print(text, file=self._stdout)

    def document(self, content: Mapping[str, Any]) -> None:
        """The one JSON document of a command, where it was asked for."""
        if self.as_json:
            print(json.dumps(content, ensure_ascii=False, default=_written), file=self._stdout, flush=True)

    def error(self, error: FairleadError) -> None:
        """The four parts; the same as a document with --json, and as an annotation in a CI system's log."""
        self.failed(error.what)
        for line in error.why.splitlines():
            self._print(f"  {printable(line)}", always=True)
        if error.remedy:
            self._print(f"  → {printable(error.remedy)}", always=True)
        self._print(f"  {error.code}: docs/reference/errors.md#{error.code.lower()}", always=True)
        if self._runner == "GITHUB_ACTIONS":
            self._print(f"::error title={error.code}::{_escaped(str(error))}", always=True)
        self.document(error_document(error))

    def _line(self, glyph: str, text: str, *, always: bool = False) -> None:
        shown = f"\x1b[{_COLOURS[glyph]}m{glyph}\x1b[0m" if self._colour else glyph
        self._print(f"{shown} {printable(text)}", always=always)

    def _print(self, text: str, *, always: bool = False) -> None:
        if always or not self.quiet:
            with contextlib.suppress(BrokenPipeError):  # nobody reads any more: that must not end a release
                print(text, file=self._stderr, flush=True)


def error_document(error: FairleadError) -> dict[str, Any]:
    """The JSON document of a command that failed: an RFC 9457 problem, and the exit code."""
    return {"version": 1, "error": error.as_problem(), "exit_code": error.exit_code}


def _written(value: object) -> str:
    """Times as ISO 8601, anything else as its text."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _escaped(text: str) -> str:
    """As the value of one of GitHub's workflow commands (docs.github.com, "Workflow commands")."""
    return printable(text).replace("%", "%25").replace("\n", "%0A")
