"""OpenTofu by hand, with no Fairlead: the scaffold's make targets, and the end of a machine."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fairlead.config.directories import cache_directory
from fairlead.errors import ProgramFailed, ProvisionError
from fairlead.process import Completed, run
from fairlead.provision.tofu import program, settings
from fairlead.scaffold.render import FILES
from tests.provision.workshop import Workshop


def by_hand(workshop: Workshop, *words: str, **variables: str) -> Completed:
    """A program in a person's checkout, with OpenTofu on PATH."""
    tofu = Path(program(os.environ, cache_directory()))
    rc = workshop.root / "tofu.rc"
    rc.write_text(settings(cache_directory() / "opentofu" / "providers"))
    own = {"PATH": f"{tofu.parent}:{os.environ['PATH']}", "TF_CLI_CONFIG_FILE": str(rc), "CHECKPOINT_DISABLE": "1"}
    return run(words, cwd=workshop.root / "checkout", environment={**workshop.given, **own, **variables})


def test_make_plans_applies_and_a_person_destroys(workshop: Workshop) -> None:
    shutil.copy(FILES / "Makefile", workshop.root / "checkout")
    planned = by_hand(workshop, "make", "infra-plan", "ENVIRONMENT=staging")
    assert "1 to add, 0 to change, 0 to destroy" in planned.stdout
    assert workshop.machines() == {}
    applied = by_hand(workshop, "make", "infra-apply", "ENVIRONMENT=staging")
    assert f'vm_ip = "{workshop.address()}"' in applied.stdout
    assert list(workshop.machines()) == [101]
    assert not workshop.provision().changes
    words = ("tofu", "-chdir=deployment/opentofu", "destroy", "-auto-approve", "-var-file=environments/staging.tfvars")
    by_hand(workshop, *words, TF_DATA_DIR=".terraform/staging")
    assert workshop.machines() == {}
    assert workshop.provision().changes[0] == "the machine shop-staging (101) is created"


WRONG: dict[str, Any] = {
    "address": "192.0.2.10",
    "memory": 4,
    "vm_name": "Shop_1",
    "gateway": "nowhere",
}
SAID = (
    "An IPv4 address in CIDR notation",
    "Memory is in MiB, a whole number from 512",
    "A host name of lower-case letters, digits and dashes",
    "An IPv4 address, such as 192.0.2.1.",
)


def test_wrong_values_are_named(workshop: Workshop) -> None:
    workshop.write("staging", **WRONG)
    with pytest.raises(ProvisionError) as caught:
        workshop.provision()
    said = " ".join(caught.value.why.split())
    assert [words for words in SAID if words not in said] == []


def test_an_unverified_certificate_is_refused_for_production(workshop: Workshop) -> None:
    shutil.copy(FILES / "Makefile", workshop.root / "checkout")
    with pytest.raises(ProgramFailed) as caught:
        by_hand(workshop, "make", "infra-plan", "ENVIRONMENT=production", TF_VAR_proxmox_insecure="true")
    assert "proxmox_insecure is refused for production" in caught.value.why
