"""A site in memory, for dry runs and tests: makes a machine when it is asked for one, and then keeps it."""

from dataclasses import dataclass, field

from fairlead.errors import FairleadError
from fairlead.provision.base import Machine, ProvisionRequest


@dataclass
class FakeProvisioner:
    """Addresses from TEST-NET-1 (RFC 5737), in order. fails: raised instead, the next time only."""

    machines: dict[str, str] = field(default_factory=dict)
    fails: FairleadError | None = None

    def provision(self, request: ProvisionRequest) -> Machine:
        """The environment's machine; made at the first call, unless only a plan is wanted."""
        failure, self.fails = self.fails, None
        if failure:
            raise failure
        known = self.machines.get(request.environment)
        if known:
            return Machine(known)
        change = (f"a machine for {request.environment} is created",)
        if request.plan_only:
            return Machine("", changed=True, changes=change)
        self.machines[request.environment] = f"192.0.2.{10 + len(self.machines)}"
        return Machine(self.machines[request.environment], changed=True, changes=change)
