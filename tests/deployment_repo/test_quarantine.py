"""Images that failed are one line each; a person lifts one by deleting it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.deployment_repo import quarantine
from fairlead.deployment_repo.quarantine import Quarantined
from fairlead.errors import InvalidQuarantine
from fairlead.images import ImageReference
from tests.fixtures.git import image

BAD = image("backend", "1.2.0", "d")
ENTRY = Quarantined("staging", BAD, "never healthy", "run-7", "2026-11-23")
LINE = f'- {{environment: "staging", image: "{BAD}", reason: "never healthy", run: "run-7", date: "2026-11-23"}}'


@pytest.mark.parametrize("before", ["", "# Images that failed.\n", "# no final newline", "# windows\r\n"])
def test_a_line_is_added_and_everything_else_stays(before: str) -> None:
    after = quarantine.add(before.encode(), [ENTRY])
    newline = "\r\n" if "\r\n" in before else "\n"
    middle = "" if before.endswith("\n") or not before else newline
    assert after.decode() == before + middle + LINE + newline
    assert quarantine.read(after) == (ENTRY,)


def test_an_empty_list_is_no_obstacle() -> None:
    assert quarantine.read(quarantine.add(b"# none yet\n[]\n", [ENTRY])) == (ENTRY,)


def test_the_same_image_is_not_added_twice() -> None:
    once = quarantine.add(None, [ENTRY])
    assert quarantine.add(once, [ENTRY]) == once


def test_lines_of_people_are_read_and_kept() -> None:
    text = f"# by hand\n- environment: staging\n  image: {BAD}\n  date: 2026-11-23\n"
    assert quarantine.read(text.encode()) == (Quarantined("staging", BAD, date="2026-11-23"),)
    other = Quarantined("production", BAD, "slow")
    assert quarantine.add(text.encode(), [other]).decode().startswith(text)


def test_lifting_removes_that_line_only() -> None:
    other = Quarantined("production", BAD, "slow", "run-8", "2026-11-24")
    text = quarantine.add(b"# top\n", [ENTRY, other]) + b"# end\n"
    assert quarantine.lift(text, "staging", BAD).decode() == f"# top\n{other.line()}\n# end\n"
    by_hand = f"# top\n- environment: staging\n  image: {BAD}\n{other.line()}\n"
    assert quarantine.lift(by_hand.encode(), "staging", BAD).decode() == f"# top\n{other.line()}\n"


def test_what_is_held_is_the_content_whatever_its_tag() -> None:
    entries = (ENTRY,)
    assert quarantine.is_quarantined(entries, "staging", BAD) == ENTRY
    assert quarantine.is_quarantined(entries, "staging", image("backend", "1.2.1", "d")) == ENTRY
    assert quarantine.is_quarantined(entries, "staging", image("backend", "1.2.0", "e")) is None
    assert quarantine.is_quarantined(entries, "production", BAD) is None
    assert quarantine.is_quarantined(entries, "staging", image("frontend", "1.2.0", "d")) is None
    untagged = Quarantined("staging", ImageReference(BAD.registry, BAD.repository, "1.2.0"))
    assert untagged.holds("staging", BAD)


WRONG = [
    ("a: b\n", "is not a list"),
    ("- x\n", "quarantine.yml:1: 'x' is not a mapping"),
    ("- {environment: staging}\n", "quarantine.yml:1: environment or image is missing"),
    ("# c\n- {environment: staging, image: 'X:1'}\n", "quarantine.yml:2: 'X:1' is not an image reference"),
    ("- {environment: staging, image: 'x:1', why: no}\n", "quarantine.yml:1: 'why' is not known here"),
    ("- [\n", "quarantine.yml:2: "),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_file_that_says_something_else_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidQuarantine) as caught:
        quarantine.read(text.encode(), "quarantine.yml")
    assert message in caught.value.what


@given(st.text(max_size=80))
def test_no_reason_breaks_the_file(reason: str) -> None:
    entry = Quarantined("staging", BAD, reason, "run-1", "2026-11-23")
    (read,) = quarantine.read(quarantine.add(b"# top\n", [entry]))
    assert (read.environment, read.image, read.run) == ("staging", BAD, "run-1")
    assert "\n" not in entry.line()
