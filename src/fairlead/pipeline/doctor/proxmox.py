"""What provisioning needs of Proxmox: its API, the token's privileges, the template, a free number and address."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fairlead.config import layout
from fairlead.config.secrets import SecretClass
from fairlead.config.variables import Variables
from fairlead.errors import FairleadError, InvalidSetting, MachineTaken
from fairlead.pipeline.doctor.fact import Fact, fails
from fairlead.pipeline.doctor.machine import machine
from fairlead.pipeline.scope import Scope
from fairlead.provision.orphans import Wanted, orphan
from fairlead.provision.privileges import DANGEROUS, needs
from fairlead.provision.proxmox import ENDPOINT, TOKEN, ProxmoxSite, VirtualMachine, trusts_anybody
from fairlead.provision.tfvars import plain_values
from fairlead.provision.vacancy import refuse_taken_address

_NAMES = ("node_name", "template_id", "vm_id", "vm_name", "address")


@dataclass(frozen=True, slots=True)
class Plan:
    """What an environment's .tfvars file says of its machine. vm_ip: its address without the prefix length.

    values: all that it says plainly.
    """

    template_id: int
    vm_id: int
    vm_name: str
    vm_ip: str
    datastore: str
    bridge: str
    values: Mapping[str, Any]


def environment(scope: Scope, checkout: Path) -> Iterator[Fact]:
    """Everything of one environment: Proxmox first, and its machine where there is one."""
    say = partial(_named, scope)
    plan, step = None, "Proxmox"
    try:
        plan = read_plan(checkout, layout.tfvars_file(scope.environment, scope.variables.tfvars_file))
        known = scope.variables.secrets.infrastructure()
        site = site_of(scope.variables, insecure=trusts_anybody(scope.environment, plan.values, known))
        version = site.version()
        yield say(_certificate(site, version))
        step = "token"
        yield from map(say, token(site, plan, version))
        step = "template"
        machines = site.require_sight(plan.template_id)
    except FairleadError as error:
        yield say(fails(step, error))
        if plan:
            yield from machine(scope, checkout, plan.vm_ip)  # what is wrong with Proxmox says nothing about it
        return
    yield say(template(site, _numbered(machines, plan.template_id)))
    yield from _place(scope, checkout, site, machines, plan)


def read_plan(checkout: Path, path: str) -> Plan:
    """What a .tfvars file says. Raises InvalidSetting where a value is missing, or only OpenTofu can tell it."""
    file = checkout / path
    values: Mapping[str, Any] = plain_values(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for name in _NAMES:
        if not values.get(name):
            raise InvalidSetting(
                f"{path}: {name} is missing", why="Or it is no plain value", remedy=f"Write {name} = … into {path}"
            )
    return Plan(
        template_id=int(values["template_id"]),
        vm_id=int(values["vm_id"]),
        vm_name=str(values["vm_name"]),
        vm_ip=str(values["address"]).partition("/")[0],
        datastore=str(values.get("datastore", "local-lvm")),
        bridge=str(values.get("bridge", "vmbr0")),
        values=values,
    )


def site_of(variables: Variables, *, insecure: bool) -> ProxmoxSite:
    """Proxmox as OpenTofu's provider reaches it. Raises MissingSecret."""
    secrets, ca_file = variables.secrets, variables.opentofu.get("SSL_CERT_FILE")
    endpoint = secrets.get(SecretClass.INFRASTRUCTURE, ENDPOINT).reveal()
    token = secrets.get(SecretClass.INFRASTRUCTURE, TOKEN)
    return ProxmoxSite(endpoint, token, Path(ca_file) if ca_file else None, insecure)


def _certificate(site: ProxmoxSite, version: tuple[int, int]) -> Fact:
    detail = f"{site.endpoint} answers, version {version[0]}.{version[1]}"
    if site.insecure:
        remedy = "Take proxmox_insecure out of the .tfvars file and TF_VAR_…, export SSL_CERT_FILE=… to the site's CA"
        return Fact("Proxmox", True, f"{detail}; its certificate is not looked at", remedy)
    return Fact("Proxmox", True, f"{detail}, with a certificate that is trusted")


def token(site: ProxmoxSite, plan: Plan, version: tuple[int, int]) -> Iterator[Fact]:
    """What the token may do against what it has to."""
    name = "token"
    lacks = []
    held: set[str] = set()
    for need in needs(version, plan.vm_id, plan.template_id, plan.datastore, plan.bridge):
        granted = site.privileges(need.path)
        held |= granted
        lacks += [f"{privilege} on {need.path}" for privilege in sorted(need.privileges - granted)]
    if lacks:
        remedy = "docs/how-to/proxmox-token.md makes one; pveum acl modify PATH --tokens … --roles … adds to it"
        yield Fact(name, False, f"lacks {', '.join(lacks)}", remedy)
    elif dangerous := sorted(held & DANGEROUS):
        remedy = "Give it a role of its own, and --privsep 1: docs/how-to/proxmox-token.md"
        yield Fact(name, True, f"may do more than it has to: {', '.join(dangerous)}", remedy)
    else:
        yield Fact(name, True, "has the privileges that it needs")


def template(site: ProxmoxSite, found: VirtualMachine) -> Fact:
    """A template, with an agent and a cloud-init drive."""
    name, remedy = "template", "docs/how-to/vm-template.md, step by step"
    if not found.template:
        return Fact(name, False, f"{found} is no template", f"qm template {found.vm_id}; {remedy}")
    try:
        configuration = site.configuration(found.node, found.vm_id)
    except FairleadError as error:
        return fails(name, error)
    if not has_agent(configuration):
        return Fact(name, False, f"{found} has no guest agent", f"qm set {found.vm_id} --agent enabled=1; {remedy}")
    if not has_cloud_init(configuration):
        remedy = f"qm set {found.vm_id} --ide2 local-lvm:cloudinit; {remedy}"
        return Fact(name, False, f"{found} has no cloud-init drive", remedy)
    return Fact(name, True, f"{found} has guest agent and cloud-init drive")


def has_agent(configuration: Mapping[str, Any]) -> bool:
    """`agent: 1` or `agent: enabled=1,type=virtio`."""
    return str(configuration.get("agent", "0")).split(",")[0] in ("1", "enabled=1")


def has_cloud_init(configuration: Mapping[str, Any]) -> bool:
    """A drive such as `ide2: local-lvm:vm-9000-cloudinit,media=cdrom`."""
    return any("cloudinit" in str(value) and "media=cdrom" in str(value) for value in configuration.values())


def _place(
    scope: Scope, checkout: Path, site: ProxmoxSite, machines: list[VirtualMachine], plan: Plan
) -> Iterator[Fact]:
    """Its number and its address: its own, or free."""
    say = partial(_named, scope)
    wanted = Wanted(plan.vm_id, plan.vm_name, f"{scope.configuration.app}-{scope.environment}", plan.template_id)
    try:
        found = orphan(machines, wanted, in_state=())
    except MachineTaken as error:
        yield say(fails("VM number", error))
        return
    if found:
        yield say(Fact("VM number", True, f"{plan.vm_id} is {found.name}, {found.status} on {found.node}"))
        yield from machine(scope, checkout, plan.vm_ip)
        return
    yield say(Fact("VM number", True, f"{plan.vm_id} is free"))
    try:
        refuse_taken_address(site, machines, plan.vm_id, plan.vm_ip)
    except FairleadError as error:
        yield say(fails("address", error))
        return
    yield say(Fact("address", True, f"{plan.vm_ip} is free"))
    remedy = f"fairlead provision -e {scope.environment}"
    yield say(Fact("machine", True, "is not made yet; what it needs was not looked at", remedy))


def _numbered(machines: list[VirtualMachine], vm_id: int) -> VirtualMachine:
    return next(machine for machine in machines if machine.vm_id == vm_id)


def _named(scope: Scope, fact: Fact) -> Fact:
    return Fact(f"{scope.environment}: {fact.fact}", fact.ok, fact.detail, fact.remedy, fact.configuration)
