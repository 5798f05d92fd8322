"""Machines on the lab's Proxmox API, made by proxmoxer as a person's own script would make them."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

from proxmoxer import ProxmoxAPI
from proxmoxer.tools import Tasks

from fairlead.config.secrets import Secret
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.provision.proxmox import ProxmoxSite

NODE, TEMPLATE = "pve1", 9000


@dataclass
class Script:
    """A script with a token of its own. token: default: the lab's."""

    api: ProxmoxApi
    token: str = ""
    seconds: float = field(default=30.0)

    @cached_property
    def client(self) -> Any:
        """proxmoxer, with the certificate verified."""
        user, _, value = (self.token or self.api.token).partition("!")
        name, _, secret = value.partition("=")
        where = urlsplit(self.api.url)
        return ProxmoxAPI(
            where.hostname,
            port=where.port,
            user=user,
            token_name=name,
            token_value=secret,
            verify_ssl=str(self.api.ca_file),
            timeout=self.seconds,
        )

    @property
    def machines(self) -> Any:
        """The node's VMs."""
        return self.client.nodes(NODE).qemu

    def wait(self, task: str) -> str:
        """A task's end."""
        ended = Tasks.blocking_status(self.client, task, timeout=30, polling_interval=0.05)
        assert ended, f"{task} does not end"
        return str(ended["exitstatus"])

    def clone(self, vm_id: int, name: str, *, tags: str = "", address: str = "") -> None:
        """A clone of the template, with an address."""
        assert self.wait(self.machines(TEMPLATE).clone.post(newid=vm_id, name=name, full=1)) == "OK"
        settings = {"tags": tags, "ipconfig0": f"ip={address}/24,gw=10.77.0.1" if address else ""}
        self.machines(vm_id).config.put(**{key: value for key, value in settings.items() if value})

    def start(self, vm_id: int) -> None:
        """Switch it on."""
        assert self.wait(self.machines(vm_id).status.start.post()) == "OK"


def ssh_keys(*keys: str) -> str:
    """As Proxmox wants them in a request: percent-encoded before they are encoded for the request."""
    return quote("\n".join(keys), safe="")


def site_of(api: ProxmoxApi, token: str = "") -> ProxmoxSite:
    """Fairlead's own client."""
    return ProxmoxSite(api.url, Secret(token or api.token), api.ca_file)


def token_with(api: ProxmoxApi, name: str, grants: dict[str, set[str]]) -> str:
    """A token that may do just this. grants: privileges by path."""
    user = f"{name}@pve"
    token = api.cluster.access.add_token(user, "test", f"secret-of-{name}")
    for number, (path, privileges) in enumerate(grants.items()):
        role = f"{name}{number}"
        api.cluster.access.add_role(role, privileges)
        for principal in (user, f"{user}!test"):
            api.cluster.access.grant(path, principal, role)
    return token
