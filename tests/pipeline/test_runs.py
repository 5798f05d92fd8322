"""Durable runs: who holds an environment, what is gone on with, what is kept. Kills: tests/faults."""

import fcntl
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from fairlead.errors import Busy
from fairlead.pipeline import holder, log
from tests.pipeline.runner import Pipeline, Process


def test_nothing_to_do_starts_no_run(pipeline: Pipeline) -> None:
    assert pipeline.run() == (0, "outcome none\n")
    assert not list(pipeline.state.rglob("*.sqlite"))


def test_a_release_is_bumped_deployed_and_proven(pipeline: Pipeline) -> None:
    new = pipeline.offer()
    code, text = pipeline.run()
    assert (code, text.splitlines()[-1]) == (0, "outcome proven")
    assert pipeline.running()["app_image"] == str(new)
    assert pipeline.proofs()[0] == pipeline.site.head
    assert pipeline.run() == (0, "outcome none\n")


def test_a_second_holder_is_refused_and_the_first_named(pipeline: Pipeline) -> None:
    pipeline.offer()
    first = _paused(pipeline)
    code, text = pipeline.run()
    assert code == 4
    assert f"pid {first.child.pid} on " in text
    assert "run staging:" in text
    _go_on(pipeline)
    assert first.wait() == 0


def test_a_stopped_process_keeps_the_environment_until_it_wakes(pipeline: Pipeline) -> None:
    pipeline.offer()
    zombie = _paused(pipeline)
    zombie.signal(signal.SIGSTOP)
    assert pipeline.run()[0] == 4
    _go_on(pipeline)
    zombie.signal(signal.SIGCONT)
    assert zombie.wait() == 0
    assert len(pipeline.deploys()) == 1
    assert pipeline.run() == (0, "outcome none\n")


def test_two_environments_run_at_the_same_time(pipeline: Pipeline) -> None:
    pipeline.offer()
    both = [_paused(pipeline, environment) for environment in ("staging", "production")]
    for environment in ("staging", "production"):
        _go_on(pipeline, environment)
    assert [process.wait() for process in both] == [0, 0]
    for environment in ("staging", "production"):
        assert pipeline.proofs(environment)
        assert len(pipeline.releases(environment)) == 1


def test_one_environments_leftover_run_is_not_taken_up_by_another(pipeline: Pipeline) -> None:
    pipeline.offer()
    pipeline.run("production", crash_at="deploy:before")
    code, text = pipeline.run("staging")
    assert (code, "resumed" in text) == (0, False)
    assert not pipeline.deploys("production")
    assert "run resumed bump was done at" in pipeline.run("production")[1]


def test_interrupted_it_can_be_gone_on_with(pipeline: Pipeline) -> None:
    pipeline.offer()
    process = _paused(pipeline)
    process.signal(signal.SIGINT)
    _go_on(pipeline)
    assert process.wait() == 130
    assert process.text.endswith("interrupted\n")
    code, text = pipeline.run()
    assert (code, "run resumed" in text) == (0, True)
    assert len(pipeline.releases()) == 1


def test_a_run_that_never_ends_needs_a_person(pipeline: Pipeline) -> None:
    pipeline.offer()
    for _ in range(6):
        assert pipeline.run(crash_at="deploy:before")[0] == -signal.SIGKILL
    for _ in range(2):
        code, text = pipeline.run()
        assert code == 1
        assert "FL-RUN-STUCK" in text
        assert "fairlead run -e staging --abandon" in text
    code, text = pipeline.run(abandon=True)
    assert code == 0, text
    assert pipeline.releases() == ["build(staging): backend 1.0.0 → 1.1.0"]
    assert pipeline.proofs()[0] == pipeline.site.head


@pytest.mark.parametrize("point", ["bump:after", "deploy:after", "prove:after"])
def test_a_lost_database_loses_no_release_and_no_proof(pipeline: Pipeline, point: str) -> None:
    pipeline.offer()
    pipeline.run(crash_at=point)
    for file in pipeline.state.rglob("runs.sqlite*"):
        file.unlink()
    code, text = pipeline.run()
    assert code == 0, text
    assert "its database is gone" in text
    assert pipeline.releases() == ["build(staging): backend 1.0.0 → 1.1.0"]
    assert pipeline.proofs()[0] == pipeline.site.head


def test_a_lost_state_directory_loses_no_release_and_no_proof(pipeline: Pipeline) -> None:
    pipeline.offer()
    pipeline.run(crash_at="deploy:after")
    pipeline.state.rename(pipeline.directory / "lost")
    assert pipeline.run()[0] == 0
    assert len(pipeline.releases()) == 1


def test_a_lost_holder_file_does_not_start_two_runs(pipeline: Pipeline) -> None:
    pipeline.offer()
    pipeline.run(crash_at="deploy:before")
    next(pipeline.state.rglob("holder")).unlink()
    code, text = pipeline.run()
    assert (code, "run resumed" in text) == (0, True)
    assert len(pipeline.deploys()) == 1


def test_nothing_in_the_database_is_pickled(pipeline: Pipeline) -> None:
    pipeline.offer()
    pipeline.run()
    content = next(pipeline.state.rglob("runs.sqlite")).read_bytes()
    assert b"fairlead_json" in content
    assert b"py_pickle" not in content


def test_a_run_keeps_its_log(pipeline: Pipeline) -> None:
    pipeline.offer()
    pipeline.run(crash_at="deploy:after-effect")
    pipeline.run()
    (path,) = pipeline.state.rglob("*.jsonl")
    entries = list(log.read(path))
    states = [(entry.stage, entry.state) for entry in entries if entry.stage in ("", "deploy")]
    expected = [("", "started"), ("deploy", "started"), ("", "resumed"), ("deploy", "started"), ("deploy", "done")]
    assert states == [*expected, ("", "ended")]
    assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)


def test_a_torn_line_in_a_log_is_left_out(tmp_path: Path) -> None:
    logger = log.RunLog(tmp_path, "staging:1:1", lambda _entry: None, lambda text: text.replace("hunter2", "***"))
    logger.add("bump", log.State.DONE, "with hunter2")
    with log.path_of(tmp_path, "staging:1:1").open("a") as file:
        file.write('{"time": "2026-')
    assert [entry.text for entry in log.read(log.path_of(tmp_path, "staging:1:1"))] == ["with ***"]


def test_a_log_that_takes_nothing_more_ends_no_run(tmp_path: Path) -> None:
    told: list[log.Entry] = []
    logger = log.RunLog(tmp_path, "staging:1:1", told.append, str)
    log.path_of(tmp_path, "staging:1:1").symlink_to("/dev/full")
    logger.add("bump", log.State.DONE, "a release", 1.5)
    assert [(entry.stage, entry.state, entry.seconds) for entry in told] == [("bump", "done", 1.5)]
    assert told[0].text == "a release (not in the run's log: No space left on device)"


def test_a_listener_that_takes_nothing_more_ends_no_run(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:

        def tell(entry: log.Entry) -> None:
            full.write(entry.text.encode())

        log.RunLog(tmp_path, "staging:1:1", tell, str).add("bump", log.State.DONE, "a release")
    assert [entry.text for entry in log.read(log.path_of(tmp_path, "staging:1:1"))] == ["a release"]


def test_a_holder_file_of_another_form_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "holder"
    path.write_text("not JSON")
    with holder.hold(path, "staging") as mine:
        assert mine.left == ""
        mine.running("staging:1:1")
        assert holder.held(path) == (mine.holding, True)
    with holder.hold(path, "staging") as next_one:
        assert next_one.left == "staging:1:1"
    assert not holder.held(path)[1]


def test_who_only_looks_whether_an_environment_is_held_keeps_nobody_from_holding_it(tmp_path: Path) -> None:
    path = tmp_path / "holder"
    path.touch()
    with path.open() as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)  # as `held` does, for a moment
        with holder.hold(path, "staging", lambda _seconds: looked_at.close()):
            assert holder.held(path)[1]


def test_a_held_environment_is_tried_for_a_second(tmp_path: Path) -> None:
    waited: list[float] = []
    path, refused = tmp_path / "holder", pytest.raises(Busy, match="staging: a run is going on: pid")
    with holder.hold(path, "staging"), refused, holder.hold(path, "staging", waited.append):
        pass
    assert sum(waited) == pytest.approx(1)


def _paused(pipeline: Pipeline, environment: str = "staging") -> Process:
    """A run that waits in the middle of its deploy."""
    machine = pipeline.machine(environment)
    (machine / "pause").touch()
    process = pipeline.start(environment)
    while not (machine / "paused").exists():
        assert process.child.is_alive(), process.text
        time.sleep(0.02)
    return process


def _go_on(pipeline: Pipeline, environment: str = "staging") -> None:
    (pipeline.machine(environment) / "pause").unlink()


def test_old_runs_are_forgotten_and_the_next_one_gets_a_name_of_its_own(pipeline: Pipeline) -> None:
    """Two attempts at one release, of which the first is forgotten: the next is the third, not the second again."""
    pipeline.offer()
    pipeline.run(crash_at="bump:after")
    pipeline.behave(site=True)
    assert [pipeline.run()[0] for _ in range(3)] == [1, 1, 1]
    pipeline.behave()
    code, text = pipeline.run(kept=1)
    assert code == 0, text
    assert sorted(path.stem[-2:] for path in pipeline.state.rglob("*.jsonl")) == ["-2", "-3"]
    with closing(sqlite3.connect(next(pipeline.state.rglob("runs.sqlite")))) as database:
        assert database.execute("SELECT count(*) FROM workflow_status").fetchone() == (2,)
