"""Text from outside (labels, server messages, reasons) made safe for a commit, a terminal and a page."""

import re
import unicodedata

LONGEST = 200
_BRACKETS = str.maketrans("[]", "()")
_HIDING = {"Cc", "Cf", "Cs", "Co", "Cn"}  # control, format (bidi, zero width), surrogate, private use, unassigned
_BREAKING = {"Zl", "Zp"}
_ESCAPE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC … BEL or ST
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[ -/]*[0-~]"
)


def one_line(text: str, longest: int = LONGEST) -> str:
    """One line that hides and breaks nothing: no escape sequences, controls, bidi marks or line ends, bounded."""
    visible = "".join(_visible(character) for character in _ESCAPE.sub("", text[: longest * 20]))
    line = " ".join(visible.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def inert(text: str, longest: int = LONGEST) -> str:
    """One line of a stranger's text, in which `[skip ci]` and its kin mean nothing to a git host."""
    return one_line(text, longest).translate(_BRACKETS)


def lines(text: str, most: int = 6) -> str:
    """The last lines of a program's words, each made safe."""
    kept = [line for line in (one_line(part) for part in text.splitlines()) if line]
    return "\n".join(kept[-most:])


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace() or category in _BREAKING:
        return " "
    return "" if category in _HIDING else character
