"""Documentation that fails the build when it lies: every command, setting, error and variable has its place."""

import re
from pathlib import Path

import pytest

from fairlead.config.schema import configuration_schema
from tools import docs
from tools.house import ROOT, Source, tree

PAGES = sorted(page.relative_to(ROOT).as_posix() for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
REFERENCE = ROOT / "docs/reference"
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


@pytest.mark.parametrize("name", docs.PAGES)
def test_generated_page_is_up_to_date(name: str) -> None:
    assert (REFERENCE / name).read_text() == docs.PAGES[name](), "run: make docs"


def test_the_readme_shows_a_part_of_the_demos_session() -> None:
    shown = docs.session_of(docs.README)
    assert shown == docs.excerpt(docs.session_of(docs.DEMO)), "run: make docs"
    assert "$ fairlead run -e staging" in shown


def test_the_tutorials_session_is_what_is_printed() -> None:
    assert docs.masked(docs.session_of(docs.FIRST_BUMP)) == docs.masked(docs.recorded().session), "run: make docs"


def test_the_json_page_has_the_keys_that_commands_print() -> None:
    assert docs.shapes(docs.JSON_PAGE.read_text()) == docs.shapes(docs.json_page()), "run: make docs"


def test_every_command_has_a_heading() -> None:
    headings = re.findall(r"^## (fairlead.*)$", (REFERENCE / "commands.md").read_text(), re.MULTILINE)
    assert headings == [" ".join(("fairlead", *words)) for words in docs.command_names()]
    assert "fairlead detect" in headings


def test_every_setting_has_a_sentence() -> None:
    schema = configuration_schema()
    settings = {
        f"{path}.{key}": docs.meaning(schema, setting)
        for path, model in docs.models(schema)
        for key, setting in model["properties"].items()
    }
    assert {"images.*.policy", "environments.*.soak", "verify.checks[].http.url"} <= {
        key.removeprefix(".") for key in settings
    }
    assert [key for key, sentence in settings.items() if not sentence.endswith((".", "filled in."))] == []


def test_every_error_has_a_sentence_and_a_code_of_its_own() -> None:
    kinds = docs.error_kinds()
    assert [kind.__name__ for kind in kinds if not kind.__doc__] == []
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert {kind.exit_code for kind in kinds} <= set(docs.EXIT_CODES)


def test_every_code_is_a_heading_where_the_terminal_says_it_is() -> None:
    codes = anchors(REFERENCE / "errors.md")
    assert {kind.code.lower() for kind in docs.error_kinds()} <= codes


def test_every_variable_is_on_the_page() -> None:
    page = (REFERENCE / "variables.md").read_text()
    named = {name for source in product() for name in re.findall(r"\bFAIRLEAD_[A-Z_]*[A-Z]\b", source.text)}
    asked = {
        name for source in product() for name in re.findall(r"(?:envvar=|values\.get\()\"([A-Z_]+)\"", source.text)
    }
    assert {"FAIRLEAD_SECRETS_DIR", "ENVIRONMENT", "NO_COLOR"} <= named | asked
    assert [name for name in sorted(named | asked) if name not in page] == []


def product() -> list[Source]:
    return [source for source in tree(ROOT) if source.place]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    broken = [target for target in LINK.findall((ROOT / page).read_text()) if not leads_somewhere(ROOT / page, target)]
    assert broken == []


def leads_somewhere(page: Path, target: str) -> bool:
    """Links within the project; nothing is fetched."""
    if re.match(r"https?://|mailto:", target):
        return True
    name, _, anchor = target.partition("#")
    place = page.parent / name if name else page
    return place.exists() and (not anchor or anchor in anchors(place))


def anchors(page: Path) -> set[str]:
    """A page's headings, as GitHub turns them into anchors."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_table_of_contents() -> None:
    contents = ROOT / "docs/README.md"
    reached = {(contents.parent / target.partition("#")[0]).resolve() for target in LINK.findall(contents.read_text())}
    pages = {page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "decisions"}
    assert sorted(str(page.relative_to(ROOT)) for page in pages - reached - {contents}) == []


def test_decisions_are_numbered_in_order_and_say_their_status() -> None:
    records = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for number, record in enumerate(records, 1):
        title, _, status = record.read_text().splitlines()[:3]
        assert title.startswith(f"# {number}. ")
        assert re.fullmatch(r"Status: (proposed|accepted|replaced by \d{4})", status), record.name


def test_changelog_keeps_its_form() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert [
        heading for heading in headings[1:] if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading)
    ] == []
