"""Many bumps of one repository at once: each lands exactly once, and nobody's is lost."""

from pathlib import Path

from fairlead.config import layout
from tests.faults.contention import contend, environments, prepare

PROCESSES, ROUNDS = 8, 2


def test_every_bump_lands_exactly_once(tmp_path: Path) -> None:
    site = prepare(tmp_path, PROCESSES)
    landed = contend(site, PROCESSES, ROUNDS)
    expected = [
        f"build({name}): backend 1.{number - 1}.0 → 1.{number}.0"
        for name in environments(PROCESSES)
        for number in range(1, ROUNDS + 1)
    ]
    assert sorted(site.commits()[:-2]) == sorted(expected)
    assert len({one.commit for one in landed}) == PROCESSES * ROUNDS
    for name in environments(PROCESSES):
        assert f"backend:1.{ROUNDS}.0@" in site.show(layout.images_file(name))
