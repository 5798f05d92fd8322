"""Commit messages say what happened to people and to programs, whatever the labels say."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.deployment_repo.message import ImageChange, Kind, ReleaseMessage, compare_link, source_url
from fairlead.errors import UsageError
from tests.fixtures.git import image

OLD, NEW = image("backend", "1.0.0", "a"), image("backend", "1.1.0", "b")
CHANGE = ImageChange("app_image", OLD, NEW, "semver >=1.0 <3", "https://github.com/acme/shop", "4be1a07", "c0ffee1")


def message(*changes: ImageChange, **more: Any) -> ReleaseMessage:
    return ReleaseMessage("staging", "run-88", changes or (CHANGE,), **more)


def trailers(text: str) -> list[str]:
    """What git itself reads."""
    words = ["git", "interpret-trailers", "--parse"]
    return subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_bump_reads_well_and_git_reads_its_trailers() -> None:
    text = message().text()
    assert text == (
        "build(staging): backend 1.0.0 → 1.1.0\n"
        "\n"
        "registry.example.com/shop/backend 1.0.0 → 1.1.0\n"
        f"  sha256:{'b' * 64}, built from https://github.com/acme/shop at 4be1a07\n"
        "  https://github.com/acme/shop/compare/c0ffee1...4be1a07\n"
        "\n"
        "Fairlead-Run: run-88\n"
        "Fairlead-Environment: staging\n"
        "Fairlead-Pin: app_image\n"
        f"Fairlead-Image: {NEW}\n"
        f"Fairlead-Previous: {OLD}\n"
        "Fairlead-Policy: semver >=1.0 <3\n"
        "Fairlead-Source: https://github.com/acme/shop\n"
        "Fairlead-Revision: 4be1a07\n"
        "Fairlead-Compare: https://github.com/acme/shop/compare/c0ffee1...4be1a07\n"
    )
    assert trailers(text) == text.rpartition("\n\n")[2].splitlines()


def test_a_rollback_tells_which_release_failed_and_why() -> None:
    text = message(ImageChange("app_image", NEW, OLD), rollback_of="f" * 40, reason="never healthy").text()
    assert text.startswith("revert(staging): backend 1.1.0 → 1.0.0\n\n")
    assert "Reason: never healthy\n" in text
    assert f"Fairlead-Rollback-Of: {'f' * 40}" in trailers(text)
    assert "Fairlead-Reason: never healthy" in trailers(text)


def test_a_promotion_tells_where_it_was_proven() -> None:
    text = message(promoted_from="staging", proven="e" * 40).text()
    assert "Promoted from staging, where it was proven by eeeeeeeeeeee.\n" in text
    assert f"Fairlead-Promoted-From: staging {'e' * 40}" in trailers(text)


def test_the_reference_page_shows_what_is_written() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/commit-format.md").read_text()
    examples = re.findall(r"^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    template = "deployment/ansible/templates/docker-compose.yml.j2"
    back = message(
        ImageChange("app_image", NEW, OLD), rollback_of="f" * 40, reason="never healthy", restored=(template,)
    )
    assert examples == [message().text(), back.text()]
    written = set(
        re.findall(r"^(Fairlead-[A-Za-z-]+):", message(promoted_from="staging").text() + back.text(), re.MULTILINE)
    )
    assert written == set(re.findall(r"^\| `(Fairlead-[A-Za-z-]+)` \|", page, re.MULTILINE))


def many(count: int, step: str = "1.{}.0") -> list[ImageChange]:
    return [
        ImageChange(f"i{n}", image(f"service{n}", step.format(n), "a"), image(f"service{n}", step.format(n + 1), "b"))
        for n in range(count)
    ]


SUBJECTS = [
    ([CHANGE], "build(staging): backend 1.0.0 → 1.1.0"),
    (many(2), "build(staging): service0 1.0.0 → 1.1.0, service1 1.1.0 → 1.2.0"),
    (many(3), "build(staging): 3 images"),
    (
        [ImageChange(f"i{n}", image(n, "1.0", "a"), image(n, "1.1", "b")) for n in ("backend", "frontend", "gateway")],
        "build(staging): backend, frontend, gateway 1.0 → 1.1",
    ),
    ([ImageChange("a", image("db", "17", "a"), image("db", "17", "b"))], "build(staging): db 17@bbbbbbb"),
    ([ImageChange("a", None, NEW)], "build(staging): backend 1.1.0@bbbbbbb"),
    ([ImageChange("a", OLD, image("backend", "x" * 128))], "build(staging): 1 image"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "subject"), SUBJECTS)
def test_the_subject_says_as_much_as_fits(changes: list[ImageChange], subject: str) -> None:
    assert message(*changes).subject == subject
    assert len(subject) <= 72


LINKS = [
    ("https://github.com/acme/shop.git", "https://github.com/acme/shop/compare/a1...b2"),
    ("git@github.com:acme/shop.git", "https://github.com/acme/shop/compare/a1...b2"),
    ("https://gitlab.example.com/team/sub/shop", "https://gitlab.example.com/team/sub/shop/-/compare/a1...b2"),
    ("https://codeberg.org/acme/shop", "https://codeberg.org/acme/shop/compare/a1...b2"),
    ("https://gitea.example.com:3000/acme/shop", "https://gitea.example.com:3000/acme/shop/compare/a1...b2"),
    ("https://bitbucket.org/acme/shop", "https://bitbucket.org/acme/shop/branches/compare/b2..a1"),
    ("https://ada:s3cret@github.com/acme/shop", "https://github.com/acme/shop/compare/a1...b2"),
    ("https://git.example.com/acme/shop", None),
    ("https://evilgithub.com/acme/shop", None),
    ("javascript://github.com/%0aalert(1)", None),
    ("https://github.com/acme/shop?x=1 y", None),
    ("", None),
]


@pytest.mark.parametrize(("source", "link"), LINKS)
def test_a_link_is_made_only_for_known_hosts_and_sound_addresses(source: str, link: str | None) -> None:
    assert compare_link(source, "a1", "b2") == link


@pytest.mark.parametrize("revision", ["", "a1", "a..b", "-x", "a b", "a\nb", "v1'"])
def test_no_link_without_two_sound_revisions(revision: str) -> None:
    assert compare_link("https://github.com/acme/shop", "a1", revision) is None


def test_credentials_in_a_label_do_not_reach_the_commit() -> None:
    for source in ("https://ada:s3cret@git.example.com/shop", "ftp://ada:s3cret@git.example.com/?"):
        assert "s3cret" not in message(ImageChange("a", OLD, NEW, source=source)).text()
    assert source_url("https://ada:s3cret@git.example.com/shop.git") == "https://git.example.com/shop"


HOSTILE = (
    "1\n\nSigned-off-by: Eve <eve@example.com>\r\u2028Fairlead-Run: 1\x1b[2J\x1b]0;x\x07\u202e\u200b[skip ci]\x00 --- "
)


def test_a_label_cannot_forge_a_trailer_or_hide_anything() -> None:
    change = ImageChange("app_image", OLD, NEW, source=HOSTILE, revision=HOSTILE)
    text = message(change, rollback_of="f" * 40, reason=HOSTILE).text()
    keys = [line.partition(":")[0] for line in trailers(text)]
    assert "Signed-off-by" not in keys
    assert keys.count("Fairlead-Run") == 1
    assert "[skip ci]" not in text
    assert not set("\x1b\r\u2028\u202e\u200b\x00\x07") & set(text)


@pytest.mark.parametrize("run", ["", "a b", "-a", "a\nb", "a\x1b", " a", "x" * 201, "\u202ea"])
def test_a_run_is_named_by_one_word(run: str) -> None:
    with pytest.raises(UsageError, match="cannot name a run"):
        ReleaseMessage("staging", run, (CHANGE,)).text()


def test_commits_of_people_are_not_taken_for_releases() -> None:
    assert ReleaseMessage.parse("Fix the template\n\nFairlead-Run: no\n\nReally.\n") is None
    assert ReleaseMessage.parse("") is None


def test_what_is_added_to_a_commit_later_does_not_hide_its_trailers() -> None:
    parsed = ReleaseMessage.parse(
        message().text() + "Signed-off-by: Ada <ada@example.com>\n(cherry picked from commit 1)\n"
    )
    assert parsed is not None
    assert (parsed.run, parsed.kind, parsed.changes[0].new) == ("run-88", Kind.BUMP, NEW)


texts = st.text(max_size=60) | st.just(HOSTILE)
changes_ = st.builds(
    ImageChange,
    st.sampled_from(["app_image", "db_image"]),
    st.sampled_from([OLD, None]),
    st.just(NEW),
    texts,
    st.none() | texts,
    st.none() | texts,
    st.none() | texts,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(changes_, min_size=1, max_size=4), texts, st.sampled_from([None, "f" * 40]))
def test_git_reads_the_trailers_that_were_meant_and_no_others(
    changes: list[ImageChange], reason: str, rollback_of: str | None
) -> None:
    meant = ReleaseMessage("staging", "run-1", tuple(changes), rollback_of=rollback_of, reason=reason)
    text = meant.text()
    assert trailers(text) == text.rpartition("\n\n")[2].splitlines()
    read = ReleaseMessage.parse(text)
    assert read is not None
    assert (read.run, read.environment, read.kind, read.rollback_of) == ("run-1", "staging", meant.kind, rollback_of)
    assert [(each.name, each.old, each.new) for each in read.changes] == [(c.name, c.old, c.new) for c in changes]
    again = ReleaseMessage.parse(read.text())
    assert again == read


@given(st.text(max_size=400))
def test_no_message_makes_reading_fail(text: str) -> None:
    ReleaseMessage.parse(text)
    ReleaseMessage.parse(
        f"x\n\nFairlead-Run: 1\nFairlead-Environment: s\nFairlead-Pin: {text}\nFairlead-Image: {text}\n"
    )
