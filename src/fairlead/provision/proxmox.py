"""What Fairlead itself asks of Proxmox VE: which machines there are, and what their guest agents read inside them.

Machines are made and changed by OpenTofu alone. Source of every path: the API viewer of Proxmox VE 9.1.
"""

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from fairlead.config.secrets import Secret
from fairlead.errors import (
    AgentSilent,
    ConfigurationError,
    MissingSecret,
    ProxmoxDenied,
    ProxmoxError,
    ProxmoxUnreachable,
    ProxmoxUntrusted,
)
from fairlead.host_keys import KEY_KINDS, public_key

ENDPOINT, TOKEN, INSECURE = "proxmox_endpoint", "proxmox_api_token", "proxmox_insecure"
TIMEOUT = 30.0  # seconds for one answer
CLOUD_INIT_LOG = "/var/log/cloud-init-output.log"
CLOUD_INIT_RESULT = "/run/cloud-init/result.json"  # written when the last stage of this boot has ended
LONGEST_LINE = 300
_TOKEN = re.compile(r"(?P<user>[^\s!=]+@[^\s!=]+)!(?P<name>[A-Za-z][\w.-]+)=(?P<value>\S+)", re.ASCII)
_MISSING_PRIVILEGE = re.compile(r"Permission check failed \((?P<path>[^,)]+), (?P<privilege>[^)]+)\)")
_SILENT = ("guest agent", "is not running", "got timeout", "Agent error", "QGA")
_NO_FILE = ("No such file", "failed to open file")


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A machine as Proxmox lists it. kind: qemu, or lxc for a container. lock: clone, backup … while one is held."""

    node: str
    vm_id: int
    name: str
    tags: tuple[str, ...] = ()
    status: str = ""
    template: bool = False
    kind: str = "qemu"
    lock: str = ""

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} ({self.node}/{self.vm_id})"


@dataclass(frozen=True, slots=True)
class CloudInit:
    """How cloud-init ended at this boot. errors: of its modules."""

    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProxmoxSite:
    """The API of a Proxmox VE cluster.

    endpoint: `https://pve.example.com:8006/`. token: `user@realm!name=value`. ca_file: the authorities to trust
    instead of the system's. insecure: the certificate is not looked at.

    Every method raises ProxmoxUnreachable, ProxmoxUntrusted, ProxmoxDenied or ProxmoxError, and ConfigurationError or
    MissingSecret for an endpoint or a token that cannot be one.
    """

    endpoint: str
    token: Secret
    ca_file: Path | None = None
    insecure: bool = False
    timeout: float = field(default=TIMEOUT, compare=False)

    def machines(self, tag: str = "") -> list[VirtualMachine]:
        """Every machine that the token may see, by number; with a tag those that carry it.

        A token without VM.Audit gets an empty list and no error: see `require_sight`.
        """
        rows = self._get("cluster/resources", type="vm")
        if not isinstance(rows, list):
            raise self._nonsense("cluster/resources")
        found = sorted((_machine(row) for row in rows), key=lambda machine: machine.vm_id)
        return [machine for machine in found if not tag or tag in machine.tags]

    def require_sight(self, template_id: int) -> list[VirtualMachine]:
        """Every machine, from a list that can be believed: one in which the template stands.

        Raises ProxmoxDenied where it does not.
        """
        machines = self.machines()
        if any(machine.vm_id == template_id for machine in machines):
            return machines
        raise ProxmoxDenied(
            f"{self._where} does not show the template {template_id}",
            why="There is no such VM, or the token lacks VM.Audit on it: Proxmox leaves out what a token may not see",
            remedy=f"pveum acl modify /vms/{template_id} --tokens '{self._who}' --roles PVEAuditor",
        )

    def host_keys(self, node: str, vm_id: int) -> tuple[str, ...]:
        """The machine's SSH host keys of the best kind that it has, as `ssh-ed25519 AAAA…`, read by its guest agent.

        The way there is Proxmox's TLS and its virtual serial port, not the network of the machine.
        Privilege: VM.GuestAgent.FileRead. Raises AgentSilent; ProxmoxError where the machine has no host key.
        """
        for kind in KEY_KINDS:
            text = self.read_file(node, vm_id, f"/etc/ssh/ssh_host_{kind}_key.pub")
            if text is not None:
                return (public_key(text, f"{node}/{vm_id}"),)
        raise ProxmoxError(
            f"The machine {node}/{vm_id} has no SSH host key",
            why=f"Looked for /etc/ssh/ssh_host_{{{','.join(KEY_KINDS)}}}_key.pub",
            remedy="Install openssh-server in the template; on the machine: ssh-keygen -A",
        )

    def cloud_init(self, node: str, vm_id: int) -> CloudInit | None:
        """How cloud-init ended at this boot; None while it works. Raises AgentSilent."""
        text = self.read_file(node, vm_id, CLOUD_INIT_RESULT)
        try:
            result = json.loads(text)["v1"] if text else None
            return CloudInit(tuple(_line(str(error)) for error in result["errors"])) if result else None
        except (ValueError, KeyError, TypeError):
            return None  # read while it was written

    def cloud_init_log(self, node: str, vm_id: int, lines: int = 20) -> str:
        """The last lines of what cloud-init printed. Raises AgentSilent."""
        text = self.read_file(node, vm_id, CLOUD_INIT_LOG) or ""
        return "\n".join(_line(line) for line in text.splitlines()[-lines:])

    def read_file(self, node: str, vm_id: int, path: str) -> str | None:
        """A file inside the machine, by its guest agent; None where there is none. Raises AgentSilent."""
        try:
            answer = self._get(f"nodes/{node}/qemu/{vm_id}/agent/file-read", file=path)
        except (ProxmoxDenied, ProxmoxUnreachable, ProxmoxUntrusted):
            raise
        except ProxmoxError as error:
            if any(words in error.why for words in _NO_FILE):
                return None
            if any(words in error.why for words in _SILENT):
                raise _silent(node, vm_id, error.why) from error
            raise
        return str(answer.get("content", "")) if isinstance(answer, Mapping) else ""

    def lock_of(self, node: str, vm_id: int) -> str:
        """What holds the machine: `clone`, `backup` …; empty for nothing."""
        return str(self._mapping(f"nodes/{node}/qemu/{vm_id}/status/current").get("lock", ""))

    def configuration(self, node: str, vm_id: int) -> Mapping[str, Any]:
        """The machine's configuration, by Proxmox's own keys. Privilege: VM.Audit."""
        return self._mapping(f"nodes/{node}/qemu/{vm_id}/config")

    def privileges(self, path: str) -> frozenset[str]:
        """What the token may do at a path such as /vms/100, inherited rights included."""
        answer = self._mapping("access/permissions", path=path)
        granted = answer.get(path, {})
        return frozenset(name for name, held in granted.items() if held is not None)

    def version(self) -> tuple[int, int]:
        """Proxmox VE's version: (9, 1)."""
        said = str(self._mapping("version").get("version", ""))
        match = re.match(r"(\d+)\.(\d+)", said)
        if match is None:
            raise self._nonsense("version")
        return int(match[1]), int(match[2])

    @cached_property
    def _address(self) -> SplitResult:
        parts = urlsplit(self.endpoint)
        if parts.scheme != "https" or not parts.hostname or parts.username:
            raise ConfigurationError(
                f"{ENDPOINT}: {self.endpoint!r} is not the address of a Proxmox API",
                why="The API is served by https only",
                remedy=f"export TF_VAR_{ENDPOINT}=https://pve.example.com:8006/",
            )
        return parts

    @property
    def _where(self) -> str:
        return f"Proxmox at {self._address.netloc}"

    @property
    def _who(self) -> str:
        """The token's name, which is no secret."""
        return self.token.reveal().partition("=")[0]

    @cached_property
    def _client(self) -> Any:
        from proxmoxer import ProxmoxAPI  # noqa: PLC0415 - a fifth of a second, for those who need it

        match = _TOKEN.fullmatch(self.token.reveal())
        if match is None:
            raise MissingSecret(
                f"The infrastructure secret {TOKEN} is no API token",
                why="It has to look like user@realm!name=value",
                remedy="pveum user token add fairlead@pve ci --privsep 1",
            )
        return ProxmoxAPI(
            self._address.hostname,
            port=self._address.port or 443,
            path_prefix=self._address.path.strip("/") or None,
            user=match["user"],
            token_name=match["name"],
            token_value=match["value"],
            verify_ssl=self._trusted(),
            timeout=self.timeout,
        )

    def _trusted(self) -> bool | str:
        """As OpenTofu's provider does: SSL_CERT_FILE, else the system's store; not the one that requests brings."""
        if self.insecure:
            return False
        system = ssl.get_default_verify_paths()
        return str(self.ca_file or system.cafile or system.capath or True)

    def _mapping(self, path: str, /, **parameters: str) -> Mapping[str, Any]:
        answer = self._get(path, **parameters)
        if not isinstance(answer, Mapping):
            raise self._nonsense(path)
        return answer

    def _get(self, path: str, /, **parameters: str) -> Any:
        with self._translated(path):
            return self._client(path).get(**parameters)

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """Errors of proxmoxer and requests as ours."""
        import requests  # noqa: PLC0415
        from proxmoxer import ResourceException  # noqa: PLC0415

        try:
            yield
        except requests.exceptions.SSLError as error:
            raise self._untrusted(str(error)) from error
        except requests.exceptions.RequestException as error:
            raise ProxmoxUnreachable(
                f"{self._where} does not answer", why=_reason(error), remedy=f"curl -k {self.endpoint}"
            ) from error
        except ResourceException as error:
            raise self._refusal(path, error.status_code, f"{error.content} {error.errors or ''}".strip()) from error

    def _untrusted(self, why: str) -> ProxmoxUntrusted:
        return ProxmoxUntrusted(
            f"{self._where} shows a certificate that is not trusted",
            why=_line(why.rpartition("certificate verify failed: ")[2].rstrip(")'\"")),
            remedy="export SSL_CERT_FILE=… to the site's CA (on the node: /etc/pve/pve-root-ca.pem); "
            "if it was trusted before, find out who changed it first",
        )

    def _refusal(self, path: str, status: int, said: str) -> ProxmoxError:
        why = _line(f"{status} {said}")
        if match := _MISSING_PRIVILEGE.search(said):
            remedy = f"pveum acl modify {match['path']} --tokens '{self._who}' --roles …, with a role that has it"
            return ProxmoxDenied(f"{self._where}: the token lacks {match['privilege']} on {match['path']}", why=why,
                                 remedy=remedy)  # fmt: skip
        if status in (401, 403):
            remedy = f"export TF_VAR_{TOKEN}=… to a token that is valid"
            return ProxmoxDenied(f"{self._where} refuses the token {self._who}", why=why, remedy=remedy)
        if status in (502, 503, 504, 595, 596):
            return ProxmoxUnreachable(f"{self._where} does not answer", why=why, remedy=f"curl -k {self.endpoint}")
        return ProxmoxError(f"{self._where} refuses {path}", why=why)

    def _nonsense(self, path: str) -> ProxmoxError:
        return ProxmoxError(
            f"{self._where} answers {path} with something else",
            why="It may be another server than Proxmox's API",
            remedy=f"curl -k {self.endpoint}",
        )


def trusts_anybody(environment: str, values: Mapping[str, Any], secrets: Mapping[str, Secret]) -> bool:
    """Whether OpenTofu is told not to look at Proxmox's certificate: then Fairlead does not either.

    values: of the .tfvars file, which beats TF_VAR_proxmox_insecure. What is told elsewhere in the code is not known
    here: the certificate is looked at then. Raises ConfigurationError for production, as the shipped main.tf does.
    """
    variable = secrets.get(f"TF_VAR_{INSECURE}")
    told = values.get(INSECURE, variable.reveal() if variable else False)
    insecure = str(told).lower() in ("true", "1")
    if insecure and environment.startswith("prod"):
        raise ConfigurationError(
            f"{environment}: {INSECURE} is refused for production",
            why="Whoever stands in between would get the API token",
            remedy=f"Take {INSECURE} out of its .tfvars file, unset TF_VAR_{INSECURE}, and export SSL_CERT_FILE=… "
            "to the site's CA (on the node: /etc/pve/pve-root-ca.pem)",
        )
    return insecure


def _machine(row: Mapping[str, Any]) -> VirtualMachine:
    return VirtualMachine(
        node=str(row.get("node", "")),
        vm_id=int(row.get("vmid", 0)),
        name=str(row.get("name", "")),
        tags=tuple(filter(None, re.split(r"[;, ]+", str(row.get("tags", ""))))),
        status=str(row.get("status", "")),
        template=bool(row.get("template")),
        kind=str(row.get("type", "qemu")),
        lock=str(row.get("lock", "")),
    )


def _silent(node: str, vm_id: int, why: str) -> AgentSilent:
    if f"VM {vm_id} is not running" in why:
        return AgentSilent(f"The machine {node}/{vm_id} is not running", why=why, remedy=f"qm start {vm_id}")
    return AgentSilent(
        f"The guest agent of {node}/{vm_id} does not answer",
        why=why,
        remedy="In the template: apt-get install qemu-guest-agent; on the node: qm set "
        f"{vm_id} --agent enabled=1, then stop and start the VM",
    )


def _reason(error: Exception) -> str:
    """The innermost words: requests wraps what happened in three layers."""
    return _line(str(error).rpartition(": ")[2].rstrip(")'\""))


def _line(text: str) -> str:
    """One line of bounded length without control characters: it comes from another machine."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
