"""What Docker has of a lab, asked every time: nothing about a lab's shape is remembered elsewhere."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.errors import LabUsage
from fairlead.lab import addresses
from fairlead.lab.containers import names_of
from fairlead.lab.engine import DIRECTORY_LABEL, ENVIRONMENT_LABEL, Docker, labelled, marks

DEFAULT_NAME = "lab"


def option(lab: str) -> str:
    """What a command line needs to mean this lab."""
    return "" if lab == DEFAULT_NAME else f" --name {lab}"


@dataclass(frozen=True, slots=True)
class Existing:
    """A lab's objects in an engine. directory: the lab's own, which its labels name."""

    docker: Docker
    lab: str
    directory: Path

    def network(self) -> addresses.Network | None:
        """The lab's subnet, None if it has no network yet. Raises LabUsage if the name is another lab's."""
        found: Any = self.docker.inspect("network", names_of(self.lab))
        if found is None:
            return None
        owner = found["Labels"].get(DIRECTORY_LABEL)
        if owner != str(self.directory):
            raise LabUsage(
                f"Another lab on this engine is called {self.lab!r}",
                why=f"Its network {names_of(self.lab)} belongs to {owner or 'something else'}",
                remedy="Choose another --name, or set FAIRLEAD_STATE_DIR to that lab's state directory",
            )
        return addresses.Network(found["IPAM"]["Config"][0]["Subnet"])

    def containers(self) -> list[str]:
        """The names of the lab's containers, running or not."""
        return self.of_kind("container")

    def of_kind(self, kind: str) -> list[str]:
        """The names of the lab's containers, volumes or networks."""
        return self.docker.run(*labelled(kind, *marks(self.lab, self.directory))).stdout.split()

    def inspect(self, container: str) -> Mapping[str, Any]:
        """All that Docker knows about a container."""
        return self.docker.inspect("container", container) or {}

    def environment(self, container: Mapping[str, Any]) -> str:
        """The environment whose machine it is; empty for the registry."""
        return str(container["Config"]["Labels"].get(ENVIRONMENT_LABEL, ""))

    def address(self, container: Mapping[str, Any]) -> str:
        """The container's fixed address, which it has whether it runs or not."""
        return str(container["NetworkSettings"]["Networks"][names_of(self.lab)]["IPAMConfig"]["IPv4Address"])

    def machine_addresses(self) -> dict[str, str]:
        """Environment and address of each machine."""
        found = [self.inspect(name) for name in self.containers()]
        machines = {self.environment(each): self.address(each) for each in found if self.environment(each)}
        return dict(sorted(machines.items(), key=lambda item: ipaddress.IPv4Address(item[1])))

    def positions(self, network: addresses.Network) -> dict[str, int]:
        """Environment and position (0 is the first) of each machine."""
        first = int(network[addresses.FIRST_MACHINE])
        return {name: int(ipaddress.IPv4Address(text)) - first for name, text in self.machine_addresses().items()}
