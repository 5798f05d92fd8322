"""The order of a run's steps, and nothing else. A change of this order raises VERSION.

Runs in flight of another version are not recovered; DBOS's own version would change with every comment in here.
"""

from dbos import DBOS, DBOSConfiguredInstance

from fairlead.pipeline.stages import Request, Said
from fairlead.pipeline.steps import Steps

VERSION = "1"
MOST_RECOVERIES = 5


@DBOS.dbos_class()
class Pipeline(DBOSConfiguredInstance):
    """The runs of one environment. name: application and environment; DBOS finds this object by it."""

    def __init__(self, name: str, steps: Steps) -> None:
        self._steps = steps
        super().__init__(config_name=name)

    @DBOS.workflow(name="run", max_recovery_attempts=MOST_RECOVERIES)
    def run(self, request: Request) -> Said:
        """`end`: proven, failed, stopped, superseded, rolled_back or lost (the return failed too)."""
        bumped = self._steps.bump(request)
        if "end" in bumped:
            return bumped
        run, commit = request["run"], bumped["commit"]
        machine = self._steps.provision(run, commit)
        if "end" in machine:
            return {**machine, "commit": commit}
        tried = self._roll_out(run, "", commit, machine["vm_ip"])
        if tried["end"] == "failed" and request["on_failure"] == "rollback":
            return self._return(run, tried, machine["vm_ip"])
        return tried

    def _roll_out(self, run: str, prefix: str, commit: str, vm_ip: str) -> Said:
        deployed = self._steps.deploy(run, prefix, commit, vm_ip)
        if "end" in deployed:
            return {**deployed, "commit": commit}
        verified = self._steps.verify(run, prefix, commit, vm_ip)
        if "end" in verified:
            return {**verified, "commit": commit}
        return {"end": "proven", **self._steps.prove(run, prefix, commit, verified), "commit": commit}

    def _return(self, run: str, failed: Said, vm_ip: str) -> Said:
        back = self._steps.roll_back(run, failed["commit"], failed["error"]["what"])
        if "end" in back:
            return {**back, "commit": failed["commit"], "failed": failed}
        tried = self._roll_out(run, "rollback-", back["commit"], vm_ip)
        ends = {"proven": "rolled_back", "failed": "lost"}
        return {**tried, "end": ends.get(tried["end"], tried["end"]), "to": back["to"], "failed": failed}
