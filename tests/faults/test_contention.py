"""Many bumps of one repository at once: each lands exactly once, and nobody's is lost."""

from pathlib import Path

from fairlead.config import layout
from tests.faults.contention import astray, contend, environments, prepare

PROCESSES, ROUNDS = 8, 2


def test_every_bump_lands_exactly_once(tmp_path: Path) -> None:
    site = prepare(tmp_path, PROCESSES)
    landed = contend(site, PROCESSES, ROUNDS)
    assert astray(site, PROCESSES, ROUNDS) == []
    assert len({one.commit for one in landed}) == PROCESSES * ROUNDS
    for name in environments(PROCESSES):
        assert f"backend:1.{ROUNDS}.0@" in site.show(layout.images_file(name))
