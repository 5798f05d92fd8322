"""What a run's stages take from its caller."""

import pytest

from fairlead.config.variables import read_variables
from fairlead.deploy.base import Event
from fairlead.errors import ReleaseFailed
from fairlead.pipeline.scope import Scope
from fairlead.pipeline.stages import RepositoryStages
from fairlead.provision.base import Machine
from tests.pipeline.runner import VM_IP, FileDeployer, Pipeline


def test_retries_and_delay_of_the_caller_beat_the_files(pipeline: Pipeline) -> None:
    scope = Scope.open(
        pipeline.site.person, "staging", None, read_variables({"FAIRLEAD_STATE_DIR": str(pipeline.state)})
    )
    told: list[Event] = []
    nothing_runs = FileDeployer(pipeline.machine("staging"))
    stages = RepositoryStages(scope, nothing_runs, Machine(VM_IP), told.append, retries=3, delay=0)
    with pytest.raises(ReleaseFailed):
        stages.verify(scope.commit, VM_IP)
    assert [event.detail.split(":")[0] for event in told] == ["attempt 1", "attempt 2", "attempt 3"]
