"""A clock that is an hour off: what it wrote is shown, and decides nothing."""

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.checker import require
from tests.pipeline.runner import Pipeline

HOUR = 3600


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_what_a_clock_that_is_an_hour_off_wrote_is_gone_on_with(pipeline: Pipeline, off: int) -> None:
    """The database, the log and the files of a killed run are from an hour ahead, or an hour ago."""
    pipeline.offer()
    assert pipeline.run(crash_at="deploy:after")[0] == -signal.SIGKILL
    _shift(next(pipeline.state.rglob("runs.sqlite")), off)
    for path in pipeline.state.rglob("*"):
        os.utime(path, (time.time() + off,) * 2)
    code, text = pipeline.run()
    assert (code, "run resumed" in text) == (0, True), text
    assert len(pipeline.deploys()) == 1
    assert pipeline.run() == (0, "outcome none\n")
    require(pipeline)


def _shift(database: Path, seconds: int) -> None:
    """Every time in it, which DBOS keeps in milliseconds."""
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for column in columns:
                if column.endswith(("_at", "_epoch_ms")):
                    connection.execute(f"UPDATE {table} SET {column} = {column} + ?", (1000 * seconds,))
