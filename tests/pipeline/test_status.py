"""What runs where, from git; runs in flight, from the state directory."""

from fairlead.config.variables import read_variables
from fairlead.pipeline.scope import Scope
from fairlead.pipeline.status import Status, differing, status_of
from tests.fixtures.git import image
from tests.pipeline.runner import Pipeline


def statuses(pipeline: Pipeline) -> dict[str, Status]:
    variables = read_variables({"FAIRLEAD_STATE_DIR": str(pipeline.state)})
    return {scope.environment: status_of(scope) for scope in Scope.open_all(pipeline.site.person, variables)}


def test_what_is_proven_is_what_runs(pipeline: Pipeline) -> None:
    new = pipeline.offer()
    pipeline.run("staging")
    found = statuses(pipeline)
    assert found["staging"].running["app_image"] == new
    assert found["staging"].unproven == ""
    assert found["production"].running["app_image"] == image("backend", "1.0.0", "a")
    assert differing(list(found.values())) == ["app_image"]
    assert found["staging"].as_json()["run"] is None


def test_a_head_that_is_not_proven_says_why(pipeline: Pipeline) -> None:
    pipeline.site.write({"deployment/ansible/deploy.yml": "[]\n"})
    found = statuses(pipeline)["staging"]
    assert found.proven
    assert found.unproven.startswith("deployment/ansible/deploy.yml changed since")


def test_a_run_that_was_killed_is_in_flight_and_its_process_gone(pipeline: Pipeline) -> None:
    pipeline.offer()
    pipeline.run(crash_at="deploy:before")
    flight = statuses(pipeline)["staging"].flight
    assert flight
    assert (flight.alive, flight.stage) == (False, "provision")
    pipeline.run()
    assert statuses(pipeline)["staging"].flight is None
