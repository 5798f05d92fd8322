"""The benchmarks' common form: medians, ratios, goals, a table and JSON."""

import json

import pytest

from benchmarks.figures import Figure, alternate, at_least, at_most, show, table

DEPLOY = Figure("deploy", "s", [4.1, 3.9, 3.8], floor=[2.8, 2.9, 2.7], goal=at_most(1.5))


def test_figure_as_json_is_the_designs_form() -> None:
    assert DEPLOY.as_json() == {
        "value": 3.9,
        "unit": "s",
        "floor": 2.8,
        "ratio": 1.393,
        "goal": "<= 1.5",
        "met": True,
        "rounds": [4.1, 3.9, 3.8],
    }


@pytest.mark.parametrize(
    ("figure", "goal", "met"),
    [
        (Figure("a", "s", [4], floor=[2], goal=at_most(1.5)), "<= 1.5", False),
        (Figure("a", "1/s", [4], floor=[5], goal=at_least(0.7)), ">= 0.7", True),
        (Figure("a", "ms", [210], floor=[20], goal=at_most(200, of="value")), "<= 200 ms", False),
        (Figure("a", "failed", [0], goal=at_most(0, of="value")), "<= 0 failed", True),
        (Figure("a", "s", [4], goal=at_most(1.5)), "<= 1.5", None),
        (Figure("a", "s", [4], floor=[0], goal=at_most(1.5)), "<= 1.5", None),
        (Figure("a", "s", [4]), None, None),
    ],
)
def test_goal_is_judged_on_what_it_bounds(figure: Figure, goal: str | None, met: bool | None) -> None:
    assert (figure.goal_text, figure.met) == (goal, met)


def test_table_aligns_and_names_a_missed_goal() -> None:
    missed = Figure("start", "ms", [210], goal=at_most(200, of="value"))
    assert table([DEPLOY, missed]).splitlines() == [
        "figure  value  unit  floor  ratio  goal",
        "deploy  3.9    s     2.8    1.39   <= 1.5     met",
        "start   210    ms                  <= 200 ms  MISSED",
    ]


def test_json_is_one_document_keyed_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    show([DEPLOY], as_json=True)
    assert json.loads(capsys.readouterr().out) == {"deploy": DEPLOY.as_json()}


def test_alternate_calls_in_turn() -> None:
    calls: list[str] = []
    took = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b", "a", "b"]
    assert [len(times) for times in took.values()] == [2, 2]
