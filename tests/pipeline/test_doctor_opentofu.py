"""`fairlead doctor` for machines that OpenTofu makes: every line that can fail, provoked once, on real parts."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
import pytest

from fairlead.config import layout
from fairlead.config.variables import Variables, read_variables
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.lab.proxmox_api.faults import Fault, Kind
from fairlead.pipeline.doctor import opentofu, proxmox
from fairlead.pipeline.doctor.examination import examine
from fairlead.pipeline.doctor.fact import Fact
from fairlead.pipeline.scope import Scope
from fairlead.provision.privileges import AGENT, MACHINE
from tests.fixtures.postgresql import PostgreSQL
from tests.fixtures.shop import Shop
from tests.provision.site import Script, token_with

CODE = Path("src/fairlead/scaffold/files/deployment")
KEPT = ("PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass
class Patient:
    """A shop whose machines come from OpenTofu. variables: what its process environment says."""

    shop: Shop
    api: ProxmoxApi
    checkout: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.variables = {**kept, "FAIRLEAD_STATE_DIR": str(self.shop.state), **self.api.environment}
        shutil.copytree(CODE, self.checkout / layout.DEPLOYMENT)

    def change(self, old: str, new: str) -> None:
        """Change a line of staging's .tfvars file."""
        path = self.checkout / layout.tfvars_file("staging")
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def read(self, **more: str) -> Variables:
        return read_variables({**self.variables, **more})

    def scope(self, **more: str) -> Scope:
        return replace(self.shop.scope(), variables=self.read(**more))

    def facts(self, until: str = "", **more: str) -> dict[str, Fact]:
        """Of staging, by name without the environment's. until: the last one that is looked at."""
        found: dict[str, Fact] = {}
        for fact in proxmox.environment(self.scope(**more), self.checkout):
            name = fact.fact.removeprefix("staging: ")
            found[name] = fact
            if name == until:
                break
        return found

    def fact(self, name: str, **more: str) -> Fact:
        """One of them."""
        return self.facts(name, **more)[name]

    def state(self, address: str) -> dict[str, Fact]:
        """Of the state's database."""
        return {fact.fact: fact for fact in opentofu.state(self.scope(PG_CONN_STR=address), self.checkout)}


@pytest.fixture
def patient(shop: Shop, proxmox: ProxmoxApi, tmp_path: Path) -> Patient:
    """Well, and without a machine yet."""
    return Patient(shop, proxmox, tmp_path / "checkout")


def test_all_is_well_before_the_first_machine(patient: Patient) -> None:
    facts = patient.facts()
    assert [name for name, fact in facts.items() if not fact.ok] == []
    assert {name: fact.detail for name, fact in facts.items()} == {
        "Proxmox": f"{patient.api.url} answers, version 9.1, with a certificate that is trusted",
        "token": "has the privileges that it needs",
        "template": "debian-docker (pve1/9000) has guest agent and cloud-init drive",
        "VM number": "101 is free",
        "address": "192.0.2.10 is free",
        "machine": "is not made yet; what it needs was not looked at",
    }
    assert facts["machine"].remedy == "fairlead provision -e staging"


def test_an_own_machine_is_told_from_a_strangers(patient: Patient) -> None:
    script = Script(patient.api)
    script.clone(101, "shop-staging", tags="shop-staging")
    facts = patient.facts()
    assert facts["VM number"].detail == "101 is shop-staging, stopped on pve1"
    assert {"inventory", "SSH port"} <= facts.keys()
    script.machines(101).config.put(name="mail", tags="")
    taken = patient.fact("VM number")
    assert not taken.ok
    assert taken.detail.startswith("mail (pve1/101) has the number 101, and is not the machine shop-staging (101)")
    assert "qm config 101" in taken.remedy


def test_an_address_that_another_has_is_named(patient: Patient) -> None:
    Script(patient.api).clone(300, "mail", address="192.0.2.10")
    taken = patient.fact("address")
    assert (taken.ok, taken.detail) == (
        False,
        "The address 192.0.2.10 is taken: mail (pve1/300) is configured with it",
    )


def test_a_token_that_may_not_look_is_told_what_it_lacks(patient: Patient) -> None:
    facts = patient.facts("template", TF_VAR_proxmox_api_token=token_with(patient.api, "blind", {}))
    assert not facts["token"].ok
    assert "VM.Audit on /vms/9000, VM.Clone on /vms/9000, Datastore.AllocateSpace on /storage/local-lvm" in (
        facts["token"].detail
    )
    assert "SDN.Use on /sdn/zones/localnetwork/vmbr0" in facts["token"].detail
    assert "does not show the template 9000" in facts["template"].detail
    assert facts["template"].remedy == "pveum acl modify /vms/9000 --tokens 'blind@pve!test' --roles PVEAuditor"


def test_one_privilege_too_few_and_one_too_many(patient: Patient) -> None:
    enough = {
        "/vms": MACHINE | AGENT | {"VM.Clone"},
        "/storage": {"Datastore.AllocateSpace", "Datastore.Audit"},
        "/sdn": {"SDN.Use"},
    }
    for number, privilege in enumerate(("VM.GuestAgent.FileRead", "VM.Config.Cloudinit")):
        grants = {**enough, "/vms": enough["/vms"] - {privilege}}
        token = token_with(patient.api, f"few{number}", {path: set(held) for path, held in grants.items()})
        assert patient.fact("token", TF_VAR_proxmox_api_token=token).detail == f"lacks {privilege} on /vms/101"
    grants = {**enough, "/vms": enough["/vms"] | {"VM.GuestAgent.Unrestricted"}}
    token = token_with(patient.api, "many", {path: set(held) for path, held in grants.items()})
    much = patient.fact("token", TF_VAR_proxmox_api_token=token)
    assert much.is_warning
    assert much.detail == "may do more than it has to: VM.GuestAgent.Unrestricted"


def test_a_template_that_lacks_something(patient: Patient) -> None:
    missing = {
        "ide2": ("has no cloud-init drive", "qm set 9000 --ide2 local-lvm:cloudinit"),
        "agent": ("has no guest agent", "qm set 9000 --agent enabled=1"),
    }
    for key, (detail, remedy) in missing.items():
        Script(patient.api, patient.api.root_token).machines(9000).config.put(delete=key)
        fact = patient.fact("template")
        assert (fact.ok, fact.detail) == (False, f"debian-docker (pve1/9000) {detail}")
        assert fact.remedy.startswith(remedy)


def test_a_machine_is_no_template(patient: Patient) -> None:
    Script(patient.api).clone(300, "web")
    patient.change("template_id  = 9000", "template_id  = 300")
    assert patient.fact("template").detail == "web (pve1/300) is no template"
    patient.change("template_id  = 300", "template_id  = 301")
    assert "does not show the template 301" in patient.fact("template").detail


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_changed_certificate_fails_and_one_that_is_not_looked_at_is_a_warning(patient: Patient) -> None:
    patient.api.faults.add(Fault(Kind.CERTIFICATE_CHANGED))
    assert "shows a certificate that is not trusted" in patient.fact("Proxmox").detail
    patient.change("cores ", "proxmox_insecure = true\ncores ")
    assert patient.fact("Proxmox").is_warning
    assert "its certificate is not looked at" in patient.fact("Proxmox").detail
    patient.change("proxmox_insecure = true", "")
    patient.variables = {**patient.variables, "TF_VAR_proxmox_insecure": "true"}
    assert patient.fact("Proxmox").is_warning


def test_a_secret_or_a_value_that_is_missing_is_named(patient: Patient) -> None:
    patient.change("vm_id ", "vm_number ")
    assert patient.fact("Proxmox").detail == (
        "deployment/opentofu/environments/staging.tfvars: vm_id is missing: Or it is no plain value"
    )
    patient.change("vm_number ", "vm_id ")
    without = {name: text for name, text in patient.variables.items() if name != "TF_VAR_proxmox_api_token"}
    patient.variables = without
    assert patient.fact("Proxmox").remedy == "export TF_VAR_proxmox_api_token=…"


def test_opentofu_is_there_and_old_ones_are_refused(patient: Patient, tmp_path: Path) -> None:
    (well,) = opentofu.program(patient.read())
    assert well.ok, well
    old = tmp_path / "bin" / "tofu"
    old.parent.mkdir()
    old.write_text('#!/bin/sh\necho \'{"terraform_version": "1.9.4"}\'\n')
    old.chmod(0o755)
    (fact,) = opentofu.program(patient.read(PATH=f"{old.parent}:/usr/bin:/bin"))
    assert (fact.ok, fact.detail.partition(":")[0]) == (False, f"{old} is OpenTofu 1.9.4")
    (loud,) = opentofu.program(patient.read(TF_LOG="debug"))
    assert (loud.ok, loud.remedy) == (False, "unset TF_LOG; INFO shows no secrets")


def test_the_provider_is_looked_for_without_the_network(patient: Patient, tmp_path: Path) -> None:
    (here,) = opentofu.provider(patient.read(), patient.checkout)
    assert (here.ok, here.detail, here.remedy) == (True, "is on this computer", "")
    nothing = tmp_path / "tofu.rc"
    nothing.write_text("provider_installation {\n  direct {}\n}\n")
    (gone,) = opentofu.provider(patient.read(TF_CLI_CONFIG_FILE=str(nothing)), patient.checkout)
    assert gone.is_warning, gone
    assert gone.detail == "is not on this computer: the first provisioning downloads it"
    (patient.checkout / layout.LOCK_FILE).write_text(
        f'provider "registry.opentofu.org/bpg/proxmox" {{\n  version = "0.106.0"\n  hashes  = ["h1:{"A" * 43}="]\n}}\n'
    )
    (fact,) = opentofu.provider(patient.read(), patient.checkout)
    assert not fact.ok
    assert "the provider here is not the one of .terraform.lock.hcl" in fact.detail


def test_the_database_and_its_schemas(patient: Patient, postgresql: PostgreSQL) -> None:
    facts = patient.state(postgresql.database())
    assert facts["state database"].detail.startswith("test_")
    assert facts["state database: schema"].detail == "fairlead, shop can be made"
    address = postgresql.database()
    run(address, "CREATE SCHEMA shop; CREATE SCHEMA fairlead")
    assert patient.state(address)["state database: schema"].detail == "is there"


def run(address: str, query: str) -> None:
    """One statement, as whoever the address is for."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(query.encode())


@pytest.fixture
def guest(postgresql: PostgreSQL) -> Iterator[tuple[str, str]]:
    """A database, and its address for a role that may do nothing in it."""
    owner = postgresql.database()
    role = f"guest_{psycopg.conninfo.conninfo_to_dict(owner)['dbname']}"
    run(postgresql.url(), f"CREATE ROLE {role} LOGIN PASSWORD 'guest-of-the-house'")
    yield owner, owner.replace("//postgres:", f"//{role}:").replace("canary-pg-p4ssword", "guest-of-the-house")
    run(owner, f"DROP OWNED BY {role}")
    run(owner, f"DROP ROLE {role}")


def test_a_role_that_may_make_no_schema(patient: Patient, postgresql: PostgreSQL, guest: tuple[str, str]) -> None:
    owner, address = guest
    parts = psycopg.conninfo.conninfo_to_dict(address)
    who, database = parts["user"], parts["dbname"]
    fact = patient.state(address)["state database: schema"]
    assert (fact.ok, fact.detail) == (False, f"{who} may not make the schema fairlead, shop")
    assert fact.remedy == f'GRANT CREATE ON DATABASE "{database}" TO "{who}"'
    run(owner, fact.remedy)
    fact = patient.state(address)["state database: schema"]
    assert (fact.ok, fact.detail) == (False, f"{who} may not make OpenTofu's sequence in the schema public")
    run(owner, fact.remedy)
    assert patient.state(address)["state database: schema"].ok


def test_a_database_that_does_not_answer(patient: Patient, postgresql: PostgreSQL) -> None:
    fact = patient.state(postgresql.url("nowhere"))["state database"]
    assert not fact.ok
    assert "nowhere" in fact.detail
    assert "canary" not in str(fact)


def test_doctor_as_a_whole_names_all_of_it(patient: Patient, postgresql: PostgreSQL) -> None:
    paths = [path for path in (patient.checkout / layout.OPENTOFU).rglob("*") if path.is_file()]
    patient.shop.site.write({str(path.relative_to(patient.checkout)): path.read_text() for path in paths}, "Add")
    variables = patient.read(PG_CONN_STR=postgresql.database())
    facts = {fact.fact: fact for fact in examine(patient.shop.site.person, "staging", variables)}
    wanted = {"OpenTofu", "OpenTofu's provider", "state database", "state database: schema"}
    wanted |= {f"staging: {name}" for name in ("Proxmox", "token", "template", "VM number", "address", "machine")}
    assert wanted <= facts.keys()
    assert [name for name in wanted if not facts[name].ok] == []
