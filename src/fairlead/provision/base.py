"""The seam: what every provisioner does. tests/conformance/test_provisioner.py holds every implementation to this."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fairlead.config.secrets import Secret


@dataclass(frozen=True, kw_only=True)
class ProvisionRequest:
    """One environment of one commit.

    checkout: a clean export of `commit`. secrets: infrastructure secrets, by the tool's own variable. plan_only: say
    what would change, and change nothing. run, fence: of whoever asks, for others to see; a lower fence than one that
    has provisioned is refused. known_hosts: the branch's own, with the keys of machines that are known. port: ssh's.
    refresh: plan, also where nothing seems to have changed. allow_replace: the one plan that may destroy. tfvars: the
    file that says what the machine is, by its path in the repository; "": the environment's first.
    """

    environment: str
    app: str
    commit: str
    checkout: Path
    plan_only: bool = False
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    run: str = ""
    fence: int = 0
    known_hosts: str = ""
    port: int = 22
    refresh: bool = False
    allow_replace: str = ""
    tfvars: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """An environment's machine. changed: whether provisioning changed (with plan_only: would change) anything.

    changes: what, one line each. vm_ip is "" only where plan_only finds that there is no machine yet. skipped: why
    nothing was looked at, or "". host_keys, files: what git should know from now on: the machine's own host keys as
    `type key`, and files by their path in the repository.
    """

    vm_ip: str
    changed: bool = False
    changes: tuple[str, ...] = ()
    skipped: str = ""
    host_keys: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


class Provisioner(Protocol):
    """Makes sure that the environment's machine exists. Safe to repeat: the second time changes nothing."""

    def provision(self, request: ProvisionRequest) -> Machine:
        """The machine. Raises ConfigurationError where the repository says too little, SiteFault else."""
