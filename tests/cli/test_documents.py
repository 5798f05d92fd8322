"""The JSON documents of the stage commands are what their schemas say, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from fairlead.cli.documents import DOCUMENTS, document_schema
from fairlead.errors import UsageError
from tests.cli.test_detect_and_bump import document, fairlead
from tests.fixtures.shop import Shop


def require_declared(name: str, said: dict[str, Any]) -> None:
    """Every key has its type, and none is there that the schema does not know."""
    assert TypeAdapter(DOCUMENTS[name]).validate_python(said, strict=True) == said


def test_detect_bump_and_promote_say_what_their_schemas_say(shop: Shop) -> None:
    shop.push("app", "1.1.0")
    require_declared("detect", document(fairlead(shop, "detect", "-e", "staging", "--explain", "--json")))
    require_declared("detect", document(fairlead(shop, "detect", "-e", "production", "--json")))
    require_declared("bump", document(fairlead(shop, "bump", "-e", "staging", "--json")))
    require_declared("bump", document(fairlead(shop, "bump", "-e", "staging", "--json")))
    shop.prove("staging")
    promoted = fairlead(shop, "promote", "-e", "production", "--from", "staging", "--json")
    require_declared("promote", document(promoted))
    shop.prove("production")
    require_declared("run", document(fairlead(shop, "run", "-e", "production", "--json")))


def test_provision_says_what_its_schema_says(shop: Shop) -> None:
    for words in ([], ["--plan"]):
        said = fairlead(shop, "provision", "-e", "staging", "--vm-ip", "192.0.2.10", "--json", *words)
        require_declared("provision", document(said))


@pytest.mark.parametrize("words", [["detect", "-e", "stagin"], ["deploy", "-e", "staging", "--vm-ip", "no address"]])
def test_every_failure_has_one_form(shop: Shop, words: list[str], tmp_path: Path) -> None:
    require_declared("error", document(fairlead(shop, *words, "--json")))


def test_a_version_is_in_every_schema() -> None:
    for name in DOCUMENTS:
        assert document_schema(name)["properties"]["version"]["const"] == 1
        assert "version" in document_schema(name)["required"]


def test_an_unknown_schema_names_those_that_are_kept(shop: Shop) -> None:
    said = fairlead(shop, "schema", "--json-of", "deplot")
    assert (said.returncode, "detect, bump, promote" in said.stderr) == (UsageError.exit_code, True)
