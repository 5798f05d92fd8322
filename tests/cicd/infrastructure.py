"""Staging's machine as one that OpenTofu has made: real OpenTofu, its provider, a Proxmox API, a state in PostgreSQL.

The API's virtual machine is instant; at its address answers the lab's machine, with its own host key.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fairlead.config import layout
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.lab.proxmox_api.instant import Instant
from fairlead.lab.proxmox_api.machine import Machine
from tests.e2e.operator import Operator
from tests.fixtures.git import git

DOOR = ("INPUT", "--protocol", "tcp", "--dport", "22", "--jump", "DROP")
TFVARS = layout.tfvars_file("staging")


@dataclass
class Standing(Instant):
    """Machines that are there already. host_key: what their agents say. appear: from then on they may be seen."""

    host_key: str
    appear: Callable[[], object]

    def make(self, machine: Machine, source: Machine) -> None:  # noqa: ARG002
        machine.host_key = self.host_key
        self.appear()


@dataclass(frozen=True)
class Infrastructure:
    """Where OpenTofu makes machines. variables: its own, with the infrastructure's secrets."""

    api: ProxmoxApi
    variables: Mapping[str, str]

    def machines(self) -> list[str]:
        """The names of the machines that there are, beside the template."""
        return [machine.name for machine in self.api.cluster.machines() if not machine.is_template]


@contextmanager
def made_by_opentofu(shop: Operator, database: str, directory: Path) -> Iterator[Infrastructure]:
    """While the block runs OpenTofu provisions. database: PG_CONN_STR."""
    shop.on_machine("iptables", "--insert", *DOOR)  # an address that answers already is refused
    try:
        appear = functools.partial(shop.on_machine, "iptables", "--delete", *DOOR, check=False)
        with ProxmoxApi.start(directory, Standing(shop.machine().host_key, appear)) as api:
            _hand_over(shop)
            yield Infrastructure(api, {**api.environment, "PG_CONN_STR": database})
    finally:
        shop.on_machine("iptables", "--delete", *DOOR, check=False)


def _hand_over(shop: Operator) -> None:
    """A person lets OpenTofu provision, and writes down which address the machine has."""
    shop.pull()
    configuration, tfvars = shop.checkout / layout.CONFIGURATION, shop.checkout / TFVARS
    text = re.sub(r"(?m)^provision:\n(  .*\n)+", "provision: {with: opentofu}\n", configuration.read_text())
    configuration.write_text(text)
    address = shop.machine().address
    gateway = f"{address.rpartition('.')[0]}.1"
    for name, value in {"address": f"{address}/24", "gateway": gateway}.items():
        tfvars.write_text(re.sub(rf"^{name}( *)=.*$", rf'{name}\1= "{value}"', tfvars.read_text(), flags=re.MULTILINE))
    git(shop.checkout, "commit", "--quiet", "--all", "-m", "Let OpenTofu provision")
    git(shop.checkout, "push", "--quiet", "origin", "HEAD:main")
