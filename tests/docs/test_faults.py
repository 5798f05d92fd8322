"""The fault list names tests that exist; cases of one number stand once."""

import ast
from collections import Counter

import pytest

from tools.faults import CASES, ROOT

TESTS = sorted({test for cases in CASES.values() for case in cases for test in case.tests})


@pytest.mark.parametrize("test", TESTS)
def test_a_test_that_is_named_exists(test: str) -> None:
    file, _, name = test.partition("::")
    nodes = ast.walk(ast.parse((ROOT / "tests" / file).read_text()))
    assert name in {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def test_every_case_has_a_test_and_a_number_of_its_own() -> None:
    cases = [case for listed in CASES.values() for case in listed]
    assert [case.fault for case in cases if not case.tests] == []
    assert {number: count for number, count in Counter(case.number for case in cases).items() if count > 1} == {}
