"""Runs in flight on PostgreSQL: what is true of the file is true of the server, also when it goes away meanwhile."""

import signal
import time

import psycopg
import pytest

from fairlead.deploy.base import Outcome
from tests.faults.checker import require
from tests.fixtures.postgresql import PostgreSQL
from tests.pipeline.runner import Pipeline

PLACES = ("bump:after-effect", "deploy:after")


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_run_is_gone_on_with_from_the_database(pipeline: Pipeline, postgresql: PostgreSQL, place: str) -> None:
    database = postgresql.database()
    new = pipeline.offer()
    assert pipeline.run(crash_at=place, FAIRLEAD_DATABASE_URL=database)[0] == -signal.SIGKILL
    code, text = pipeline.run(FAIRLEAD_DATABASE_URL=database)
    assert (code, "run resumed" in text) == (0, True), text
    assert pipeline.running()["app_image"] == str(new)
    assert len([one for one in pipeline.deploys() if one[1] is Outcome.DEPLOYED]) == 1
    require(pipeline)
    assert not list(pipeline.state.rglob("runs.sqlite"))
    with psycopg.connect(database) as connection:
        [(runs, ended)] = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE status = 'SUCCESS') FROM dbos.workflow_status WHERE name = 'run'"
        ).fetchall()
    assert (runs, ended) == (1, 1)


def test_a_server_that_is_restarted_during_a_step_is_waited_for(pipeline: Pipeline, own_postgresql: PostgreSQL) -> None:
    pipeline.offer()
    machine = pipeline.machine("staging")
    (machine / "pause").touch()
    run = pipeline.start(FAIRLEAD_DATABASE_URL=own_postgresql.database())
    while not (machine / "paused").exists():
        assert run.child.is_alive(), run.text
        time.sleep(0.02)
    own_postgresql.stop()
    (machine / "pause").unlink()
    while len(pipeline.deploys()) < 1:
        assert run.child.is_alive(), run.text
        time.sleep(0.02)
    own_postgresql.start()
    assert run.wait() == 0, run.text
    assert len(pipeline.deploys()) == 1
    require(pipeline)
