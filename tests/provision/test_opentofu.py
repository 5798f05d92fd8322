"""Machines by the real OpenTofu and the real provider, on the lab's Proxmox API."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.errors import (
    Busy,
    ConfigurationError,
    MachineTaken,
    MissingSecret,
    OpentofuUnsuitable,
    PlanRefused,
    ProvisionError,
    StateRefused,
    StateUnreachable,
    Superseded,
    UnreadableFile,
)
from fairlead.lab.proxmox_api.faults import Fault, Kind
from fairlead.process import NO_SECRETS
from fairlead.provision.opentofu import ledger_of
from fairlead.provision.tofu import Tofu
from tests.fixtures.postgresql import PASSWORD, ask
from tests.provision.site import Script
from tests.provision.workshop import Workshop, wait_until

LARGE = "deployment/opentofu/environments/staging.large.tfvars"
ENCRYPTION = """
key_provider "pbkdf2" "key" {{
  passphrase = "{passphrase}"
  iterations = 200000
}}
method "aes_gcm" "new" {{
  keys = key_provider.pbkdf2.key
}}
state {{
  method   = method.aes_gcm.new
  enforced = true
}}
plan {{
  method   = method.aes_gcm.new
  enforced = true
}}
"""


def test_tfvars_file_chooses_what_the_machine_is(workshop: Workshop) -> None:
    made = workshop.provision()
    usual = workshop.root / "checkout" / "deployment/opentofu/environments/staging.tfvars"
    (workshop.root / "checkout" / LARGE).write_text(usual.read_text().replace("= 2048", "= 4096"))
    planned = workshop.provision(tfvars=LARGE, plan_only=True)
    assert (planned.vm_ip, planned.changed) == (made.vm_ip, True)
    assert "4096" in "".join(planned.changes)
    assert workshop.provision().changed is False
    with pytest.raises(UnreadableFile, match=r"staging\.huge\.tfvars is missing"):
        workshop.provision(tfvars=LARGE.replace("large", "huge"))


def test_a_machine_is_made_once_and_then_changed_in_place(workshop: Workshop) -> None:
    planned = workshop.provision(plan_only=True)
    assert (planned.vm_ip, planned.changed) == ("", True)
    assert planned.changes[0] == "the machine shop-staging (101) is created"
    assert workshop.machines() == {}
    made = workshop.provision()
    assert (made.vm_ip, made.changed, made.changes) == (workshop.address(), True, planned.changes)
    machine = workshop.machines()[101]
    assert machine.running
    assert made.host_keys == (machine.host_key,)
    assert machine.config["tags"] == "shop;shop-staging;staging"
    again = workshop.provision(refresh=True)
    assert (again.vm_ip, again.changed, again.changes, again.host_keys) == (made.vm_ip, False, (), ())
    asked = len(workshop.api.requests)
    skipped = workshop.provision()
    assert skipped.vm_ip == made.vm_ip
    assert skipped.skipped.startswith("nothing has changed since the plan of ")
    assert len(workshop.api.requests) == asked
    overdue = workshop.provisioner("state/staging", refresh_after=0.0).provision(workshop.request())
    assert (overdue.skipped, overdue.changed) == ("", False)
    assert len(workshop.api.requests) > asked

    workshop.write(memory=4096, vm_disk_size=12)
    grown = workshop.provision()
    assert grown.changes == (
        "the machine shop-staging (101) is changed",
        "  disk (GiB) 8 → 12",
        "  memory (MiB) 2048 → 4096",
    )
    machine = workshop.machines()[101]
    assert (int(str(machine.config["memory"])), machine.config["scsi0"].split("size=")[1].split(",")[0]) == (
        4096,
        "12G",
    )
    assert grown.host_keys == ()

    workshop.write(address=f"{workshop.network}.99/24")
    moved = workshop.provision()
    assert moved.vm_ip == f"{workshop.network}.99"
    assert moved.host_keys == made.host_keys
    assert not workshop.provision(refresh=True).changed
    assert list(workshop.machines()) == [101]


def test_a_plan_without_changes_needs_no_lease(workshop: Workshop) -> None:
    made = workshop.provision(run="staging:first")
    held = "SELECT run, fence, applied_at FROM fairlead.workspaces WHERE workspace = 'staging'"
    (before,) = ask(workshop.database, held)
    workshop.fence = 2
    again = workshop.provision(refresh=True, run="staging:second")
    (after,) = ask(workshop.database, held)
    assert (again.vm_ip, again.changed, again.skipped) == (made.vm_ip, False, "")
    assert before[:2] == ("staging:first", 1)
    assert after[:2] == ("staging:first", 2)
    assert after[2] > before[2]
    with workshop.api.cluster.changing(101) as machine:
        machine.config["memory"] = 1024
    assert workshop.provision(refresh=True, run="staging:third").changed
    assert ask(workshop.database, held)[0][0] == "staging:third"


@pytest.mark.parametrize(
    "meanwhile",
    [
        "SET token = gen_random_uuid(), beat = now(), holder = 'anna@a', process = 'a', clean = false",
        "SET applied = jsonb_set(applied, '{serial}', '1')",
        "SET fence = 9",
    ],
    ids=["held", "applied by another", "newer"],
)
def test_a_plan_without_a_lease_is_not_believed_when_somebody_was_there(workshop: Workshop, meanwhile: str) -> None:
    workshop.provision()
    ledger = ledger_of(workshop.request())
    with closing(ledger):
        row = ledger.read()
        assert row is not None
        assert row.applied is not None
        then = row.applied
        assert ledger.confirm(then, 1)
        ask(workshop.database, f"UPDATE fairlead.workspaces {meanwhile}")
        assert not ledger.confirm(then, 1)
    if "token" in meanwhile:
        with pytest.raises(Busy, match="anna@a provisions it since"):
            workshop.provision(refresh=True)


def test_what_is_changed_outside_is_seen_and_put_right(workshop: Workshop) -> None:
    workshop.provision()
    with workshop.api.cluster.changing(101) as machine:
        machine.config["memory"] = 1024
    drift = workshop.provision(plan_only=True)
    assert drift.changes == ("the machine shop-staging (101) is changed", "  memory (MiB) 1024 → 2048")
    assert workshop.provision(refresh=True).changed
    assert workshop.provision(plan_only=True).changes == ()
    person = Script(workshop.api, workshop.api.root_token)
    person.wait(person.machines(101).status.stop.post())
    person.wait(person.machines(101).delete())
    drift = workshop.provision(plan_only=True)
    assert drift.changes[0] == "the machine shop-staging (101) is created"
    anew = workshop.provision()
    assert anew.host_keys == (workshop.machines()[101].host_key,)


def test_a_plan_that_destroys_needs_a_person_who_allows_that_very_plan(workshop: Workshop) -> None:
    workshop.provision()
    workshop.write(vm_id=777)
    with pytest.raises(PlanRefused) as caught:
        workshop.provision()
    identifier = caught.value.what.split("the plan ")[1].split()[0]
    assert caught.value.what == (
        f"staging: the plan {identifier} needs a person: the machine shop-staging (101) is DESTROYED and made anew"
    )
    assert "because vm_id cannot be changed in place" in caught.value.why
    assert f"fairlead provision -e staging --allow-replace {identifier}" in caught.value.remedy
    assert f"needs: --allow-replace {identifier}" in workshop.provision(plan_only=True).changes[-1]
    workshop.write(memory=4096)
    with pytest.raises(PlanRefused, match=f"{identifier} was another plan"):
        workshop.provision(allow_replace=identifier)
    assert list(workshop.machines()) == [101]
    workshop.write(memory=2048)
    replaced = workshop.provision(allow_replace=identifier)
    assert list(workshop.machines()) == [777]
    assert replaced.host_keys == (workshop.machines()[777].host_key,)
    for name in ("main.tf", "outputs.tf"):
        (workshop.code / name).write_text("")
    with pytest.raises(PlanRefused, match=r"the machine shop-staging \(777\) is destroyed"):
        workshop.provision()


def test_a_plan_that_concerns_another_machine_is_refused(workshop: Workshop) -> None:
    code = (workshop.code / "main.tf").read_text()
    second = code.replace('"machine"', '"second"').replace("var.vm_id", "555").replace("shop-$", "other-$")
    (workshop.code / "second.tf").write_text(second)
    with pytest.raises(PlanRefused, match=r"the machine shop-staging \(555\) is not the environment's own machine"):
        workshop.provision()
    assert workshop.machines() == {}


def test_two_environments_are_provisioned_at_once(workshop: Workshop) -> None:
    workshop.api.faults.add(Fault(Kind.TASK_SLOW, task="qmclone", seconds=1.0))
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(workshop.provision, ("staging", "production")))
    assert [machine.vm_ip for machine in made] == [workshop.address("staging"), workshop.address("production")]
    assert sorted(workshop.machines()) == [101, 102]


def test_a_template_that_is_locked_is_waited_for(workshop: Workshop) -> None:
    with workshop.api.cluster.changing(9000) as template:
        template.lock = "clone"
    looked = "/nodes/pve1/qemu/9000/status/current"
    with ThreadPoolExecutor() as pool:
        made = pool.submit(workshop.provision)
        wait_until(lambda: looked in [request.path for request in list(workshop.api.requests)], "the template's look")
        assert workshop.machines() == {}
        with workshop.api.cluster.changing(9000) as template:
            template.lock = ""
        assert made.result().changed


def test_of_two_at_once_for_one_environment_the_second_is_told_who_holds_it(workshop: Workshop) -> None:
    workshop.api.faults.add(Fault(Kind.TASK_SLOW, task="qmclone", seconds=8.0))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(workshop.provision, run="staging:abc:1")
        wait_until(workshop.machines, "the clone begins")
        with pytest.raises(Busy) as caught:
            workshop.provision(state="elsewhere")
        assert first.result().changed
    assert caught.value.exit_code == 4
    assert "(pid " in caught.value.what
    assert "run staging:abc:1, fence 1" in caught.value.what
    assert list(workshop.machines()) == [101]


def test_an_older_commit_does_not_take_infrastructure_back(workshop: Workshop) -> None:
    workshop.fence = 7
    workshop.provision()
    with pytest.raises(Superseded, match="commit number 6 of the branch is not provisioned: number 7 has been"):
        workshop.provision(fence=6, refresh=True)


def test_an_older_state_is_refused(workshop: Workshop) -> None:
    workshop.provision()
    kept = ask(workshop.database, "SELECT data FROM shop.states WHERE name = 'staging'")[0][0]
    workshop.write(memory=4096)
    workshop.provision()
    ask(workshop.database, "UPDATE shop.states SET data = %s WHERE name = 'staging'", kept)
    with pytest.raises(StateRefused, match="OpenTofu's state is number"):
        workshop.provision(refresh=True)


def test_an_encrypted_state_needs_its_key(workshop: Workshop) -> None:
    versions = workshop.code / "versions.tf"
    text = versions.read_text()
    block = text[text.index("  # encryption {") : text.index("}\n\n# The site's own CA")]
    versions.write_text(text.replace(block, block.replace("  # ", "  ")))
    with pytest.raises(StateRefused):
        workshop.provision()
    assert workshop.machines() == {}
    workshop.secrets["TF_ENCRYPTION"] = ENCRYPTION.format(passphrase="a passphrase that is long enough")
    made = workshop.provision()
    state = json.loads(ask(workshop.database, "SELECT data FROM shop.states WHERE name = 'staging'")[0][0])
    assert "encrypted_data" in state
    assert workshop.provision().skipped
    workshop.secrets["TF_ENCRYPTION"] = ENCRYPTION.format(passphrase="another passphrase, also long")
    with pytest.raises(StateRefused) as caught:
        workshop.provision()
    assert caught.value.what == "staging: OpenTofu cannot read or write its encrypted state"
    assert made.vm_ip == workshop.address()


def test_another_provider_than_the_lock_files_is_refused(workshop: Workshop) -> None:
    workshop.provision()
    lock = workshop.code / ".terraform.lock.hcl"
    lock.write_text(lock.read_text().replace('"h1:', '"h1:A'))
    with pytest.raises(ProvisionError, match=r"the provider here is not the one of \.terraform\.lock\.hcl"):
        workshop.provision(refresh=True)


def test_a_full_storage_leaves_nothing_behind(workshop: Workshop) -> None:
    workshop.api.faults.add(Fault(Kind.STORAGE_FULL))
    with pytest.raises(ProvisionError, match="staging: tofu apply failed"):
        workshop.provision()
    assert workshop.machines() == {}
    workshop.api.faults.clear()
    assert workshop.provision().changed


def test_a_number_or_an_address_of_somebody_else_is_refused(workshop: Workshop) -> None:
    workshop.provision("production")
    workshop.write(vm_id=102)
    with pytest.raises(MachineTaken, match=r"shop-production \(pve1/102\) has the number 102"):
        workshop.provision()
    workshop.write(vm_id=101, address=f"{workshop.address('production')}/24")
    with pytest.raises(MachineTaken, match=r"The address .* is taken"):
        workshop.provision()
    assert list(workshop.machines()) == [102]


def test_a_certificate_of_another_authority_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    workshop.provision()
    workshop.api.faults.add(Fault(Kind.CERTIFICATE_CHANGED))
    with pytest.raises(ProvisionError) as caught:
        workshop.provision(refresh=True)
    assert "certificate" in caught.value.why


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_certificate_that_opentofu_does_not_look_at_is_not_looked_at(workshop: Workshop) -> None:
    path = workshop.root / "checkout" / layout.tfvars_file("staging")
    path.write_text(path.read_text() + "proxmox_insecure = true\n")
    workshop.api.faults.add(Fault(Kind.CERTIFICATE_CHANGED))
    assert workshop.provision().changed


@pytest.mark.parametrize("name", ["TF_LOG", "TF_LOG_PROVIDER"])
def test_a_log_that_would_show_the_token_is_refused(workshop: Workshop, name: str) -> None:
    workshop.variables[name] = "debug"
    with pytest.raises(OpentofuUnsuitable) as caught:
        workshop.provision()
    assert (caught.value.what, caught.value.exit_code) == (f"{name} is debug", 2)


def test_what_is_missing_is_named(workshop: Workshop) -> None:
    with pytest.raises(MissingSecret, match="The infrastructure secret PG_CONN_STR has no value"):
        workshop.provision(secrets={})
    with pytest.raises(UnreadableFile, match=r"deployment/opentofu/environments/testing\.tfvars is missing"):
        workshop.provision("testing")
    (workshop.code / "main.tf").unlink()
    with pytest.raises(ConfigurationError, match=r"There is no deployment/opentofu/main\.tf in the commit"):
        workshop.provision()


def test_a_database_without_a_free_connection_is_told_and_not_hammered(workshop: Workshop) -> None:
    ask(workshop.database, "CREATE ROLE small LOGIN CONNECTION LIMIT 0 PASSWORD 'canary-pg-p4ssword'")
    workshop.database = workshop.database.replace("//postgres:", "//small:")
    with pytest.raises(StateUnreachable) as caught:
        workshop.provision()
    assert "too many connections" in caught.value.why
    assert PASSWORD not in str(caught.value)
    assert caught.value.retryable


def test_a_database_that_became_a_standby_is_told(workshop: Workshop) -> None:
    workshop.provision()
    ask(workshop.database, "CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'canary-pg-p4ssword'")
    ask(workshop.database, "ALTER ROLE reader SET default_transaction_read_only = on")
    workshop.database = workshop.database.replace("//postgres:", "//reader:")
    with pytest.raises(StateUnreachable) as caught:
        workshop.provision(refresh=True)
    assert "read-only transaction" in caught.value.why


def test_opentofu_gets_its_secrets_and_nothing_else_that_is_secret(workshop: Workshop, tmp_path: Path) -> None:
    secrets = workshop.request().secrets
    tofu = Tofu(tmp_path, "staging", {"PATH": "/bin", "TF_CLI_CONFIG_FILE": "/gone"}, secrets, NO_SECRETS, tmp_path)
    assert set(tofu.environment()) == {
        *("PATH", "PG_CONN_STR", "TF_VAR_proxmox_endpoint", "TF_VAR_proxmox_api_token"),
        *("TF_DATA_DIR", "TF_IN_AUTOMATION", "TF_INPUT", "CHECKPOINT_DISABLE", "GOGC", "PGAPPNAME", "PGOPTIONS"),
    }
    assert "tcp_keepalives_idle=20" in tofu.environment()["PGOPTIONS"]
