"""images.yml is read strictly and edited byte by byte."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.deployment_repo.pins import edit_pins, read_pins
from fairlead.errors import InvalidPins
from fairlead.images import ImageReference
from tests.fixtures.git import image

OLD, NEW = image("backend", "1.0.0", "a"), image("backend", "1.1.0", "b")

EDITS = {
    "plain": ("a: {}\n", "a: {}\n"),
    "single quotes": ("a: '{}'\n", "a: '{}'\n"),
    "double quotes": ('a: "{}"\n', 'a: "{}"\n'),
    "comments and spaces": ("# top\n\na:   {}   # why\n# end\n", "# top\n\na:   {}   # why\n# end\n"),
    "windows line ends": ("# top\r\na: {}\r\n", "# top\r\na: {}\r\n"),
    "no final newline": ("a: {}", "a: {}"),
    "byte order mark": ("\ufeffa: {}\n", "\ufeffa: {}\n"),
    "letters of other scripts before it": ("# приве́т 🚢\na: {}\n", "# приве́т 🚢\na: {}\n"),
    "document start": ("---\na: {}\n...\n", "---\na: {}\n...\n"),
    "in braces": ("{{a: {}}}\n", "{{a: {}}}\n"),
    "value on the next line": ("a:\n  {}\n", "a:\n  {}\n"),
    "quoted key": ("'a' : {}\n", "'a' : {}\n"),
    "indented": ("  a: {}\n", "  a: {}\n"),
}


@pytest.mark.parametrize("label", EDITS)
def test_only_the_value_changes(label: str) -> None:
    before, after = EDITS[label]
    assert edit_pins(before.format(OLD).encode(), {"a": NEW}) == after.format(NEW).encode()


ADDITIONS = {
    "nothing yet": (b"", f"b: {NEW}\n"),
    "only comments": (b"# pins\n", f"# pins\nb: {NEW}\n"),
    "only comments, no final newline": (b"# pins", f"# pins\nb: {NEW}\n"),
    "behind the last": (f"a: {OLD}  # a\n# end\n".encode(), f"a: {OLD}  # a\nb: {NEW}\n# end\n"),
    "no final newline": (f"a: {OLD}".encode(), f"a: {OLD}\nb: {NEW}"),
    "windows": (f"a: {OLD}\r\n".encode(), f"a: {OLD}\r\nb: {NEW}\r\n"),
    "indented": (f"  a: {OLD}\n".encode(), f"  a: {OLD}\n  b: {NEW}\n"),
    "before the document's end": (f"---\na: {OLD}\n...\n".encode(), f"---\na: {OLD}\nb: {NEW}\n...\n"),
    "a key without a value": (b"b:\n", f"b: {NEW}\n"),
    "a key without a value but with a comment": (b"b:   # soon\n", f"b: {NEW}   # soon\n"),
}


@pytest.mark.parametrize("label", ADDITIONS)
def test_an_image_that_was_not_pinned_gets_a_line(label: str) -> None:
    before, after = ADDITIONS[label]
    assert edit_pins(before, {"b": NEW}) == after.encode()


BAD = [
    (f"a: {OLD}\na: {NEW}\n", "images.yml:2: a is pinned twice"),
    (f"a: {OLD}\n---\nb: {NEW}\n", "images.yml:2: a second YAML document"),
    (f"a: &x {OLD}\nb: *x\n", "images.yml:1: an anchor or a tag"),
    (f"a: !!str {OLD}\n", "images.yml:1: an anchor or a tag"),
    (f"a: !unsafe {OLD}\n", "images.yml:1: an anchor or a tag"),
    ("a:\n  b: c\n", "images.yml:2: a nested value"),
    ("a: [b]\n", "images.yml:1: a nested value"),
    ("- a\n", "images.yml:1: not a mapping of variables to images"),
    ("hello\n", "images.yml:1: not a mapping of variables to images"),
    ("a: |\n  b\n", "images.yml:1: a value of several lines"),
    (f"a b: {OLD}\n", "images.yml:1: 'a b', which is no variable's name"),
    ("ok: x:1\na: Nope:1\n", "images.yml:2: a: 'Nope:1' is not an image reference"),
    ('a: \'{{ lookup("pipe", "id") }}\'\n', "images.yml:1: a: "),
    ("a: nginx\n", "images.yml:1: a: 'nginx' has neither a tag nor a digest"),
    ("? a\n", "images.yml:1: a key without a colon"),
    ("a: [\n", "images.yml:2: "),
    ("a: '\x1b'\n", "images.yml is not YAML"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_anything_but_a_list_of_pins_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidPins) as caught:
        read_pins(text.encode())
    assert caught.value.what.startswith(message)
    assert caught.value.remedy or caught.value.why


def test_bytes_that_are_not_utf_8_are_refused_with_their_line() -> None:
    with pytest.raises(InvalidPins, match=r"images\.yml:2: is not UTF-8 text"):
        read_pins(b"a: x:1\nb: \xff\n")


def test_a_huge_file_is_refused() -> None:
    with pytest.raises(InvalidPins, match="larger than 1 MiB"):
        read_pins(b"#" * (1024 * 1024 + 1))


def test_an_edit_that_would_land_elsewhere_is_refused() -> None:
    with pytest.raises(InvalidPins, match="cannot be edited in place"):
        edit_pins(b"? a # c:d\n", {"a": NEW})


def test_a_new_image_in_braces_is_refused() -> None:
    with pytest.raises(InvalidPins, match="written in braces"):
        edit_pins(f"{{a: {OLD}}}\n".encode(), {"b": NEW})


names = st.from_regex(re.compile(r"[a-z_][a-z0-9_]{0,12}", re.ASCII), fullmatch=True)
tags = st.from_regex(re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", re.ASCII), fullmatch=True)
digests = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)
references = st.builds(
    ImageReference, st.sampled_from(["r.example.com", "localhost:5000"]), st.sampled_from(["a", "a/b-c"]), tags, digests
)
comments = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=10)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, dict[str, ImageReference]]:
    """A file with pins in every style that people write, and what it says."""
    pins = draw(st.dictionaries(names, references, min_size=1, max_size=6))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    lines = []
    for name, reference in pins.items():
        lines += [f"# {draw(comments)}"] * draw(st.integers(0, 2))
        quote = draw(st.sampled_from(["", "'", '"']))
        gap, tail = draw(st.sampled_from([" ", "   "])), draw(st.sampled_from(["", " ", f"  # {draw(comments)}"]))
        lines.append(f"{name}:{gap}{quote}{reference}{quote}{tail}")
    start, end = draw(st.sampled_from(["", "\ufeff", "---" + newline])), draw(st.sampled_from(["", newline]))
    return start + newline.join(lines) + end, pins


@given(files(), st.data())
def test_every_edit_changes_only_the_bytes_of_its_values(
    file: tuple[str, dict[str, ImageReference]], data: st.DataObject
) -> None:
    text, pins = file
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(pins)), references))
    edited = edit_pins(text.encode(), changes).decode()
    assert read_pins(edited.encode()) == {**pins, **changes}
    undone = edit_pins(edited.encode(), {name: pins[name] for name in changes}).decode()
    assert undone == text
    assert len(edited.splitlines()) == len(text.splitlines())
    for before, after in zip(text.splitlines(), edited.splitlines(), strict=True):
        name = before.lstrip("\ufeff").split(":")[0]
        expected = before.replace(str(pins[name]), str(changes[name])) if name in changes else before
        assert after == expected


@given(st.binary(max_size=200))
def test_no_file_makes_reading_fail_in_another_way(content: bytes) -> None:
    try:
        pins = read_pins(content)
    except InvalidPins:
        return
    assert edit_pins(content, pins) == content
