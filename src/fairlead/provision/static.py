"""Machines that exist: their addresses stand in fairlead.yaml, or are given with the call."""

from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.config import layout
from fairlead.config.addresses import machine_address
from fairlead.errors import InvalidSetting
from fairlead.provision.base import Machine, ProvisionRequest


@dataclass(frozen=True)
class StaticProvisioner:
    """Looks the address up.

    addresses: by environment, as in fairlead.yaml. vm_ip: given by the caller (`--vm-ip`, `VM_IP`); it beats them.
    """

    addresses: Mapping[str, str]
    vm_ip: str | None = None

    def provision(self, request: ProvisionRequest) -> Machine:
        """The environment's address. Raises InvalidSetting where there is none, or it is no address."""
        if self.vm_ip:
            return Machine(machine_address(self.vm_ip, "--vm-ip"))
        place = f"provision.addresses.{request.environment}"
        address = self.addresses.get(request.environment)
        if address is None:
            raise InvalidSetting(
                f"{layout.CONFIGURATION}: {place} is missing",
                why="The environment's machine has no address",
                remedy=f"Add it, or pass --vm-ip: fairlead provision -e {request.environment} --vm-ip 10.0.0.5",
            )
        return Machine(machine_address(address, place))
