"""Which machine outside OpenTofu's state is imported, and which stops the run."""

from dataclasses import replace

import pytest

from fairlead.errors import MachineTaken
from fairlead.provision.orphans import Wanted, orphan
from fairlead.provision.proxmox import VirtualMachine

WANTED = Wanted(vm_id=111, name="shop-staging", tag="fairlead-shop-staging", template_id=9000)
OURS = VirtualMachine("pve1", 111, "shop-staging", ("fairlead-shop-staging", "web"), "running")
TEMPLATE = VirtualMachine("pve1", 9000, "template", ("fairlead-shop-staging",), template=True)
PRODUCTION = VirtualMachine("pve1", 112, "shop-production", ("fairlead-shop-production",))


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        (OURS, "complete"),
        (replace(OURS, tags=()), "cut off before its tags were set"),
        (replace(OURS, lock="clone", status="stopped"), "still being cloned"),
    ],
)
def test_what_has_our_number_and_name_is_imported(machine: VirtualMachine, why: str) -> None:
    assert orphan([machine, PRODUCTION], WANTED, in_state=()) == machine, why


def test_what_the_state_knows_is_left_alone() -> None:
    assert orphan([OURS, PRODUCTION], WANTED, in_state={111}) is None
    assert orphan([PRODUCTION], WANTED, in_state=()) is None


@pytest.mark.parametrize(
    ("machine", "mark"),
    [
        (replace(OURS, name="mail"), "the number 111"),
        (replace(OURS, kind="lxc"), "the number 111"),
        (replace(OURS, template=True), "the number 111"),
        (replace(OURS, vm_id=113), "the tag fairlead-shop-staging"),
    ],
)
def test_what_is_not_ours_stops_the_run_and_is_named(machine: VirtualMachine, mark: str) -> None:
    with pytest.raises(MachineTaken) as caught:
        orphan([machine, PRODUCTION], WANTED, in_state=())
    assert caught.value.what == f"{machine} has {mark}, and is not the machine shop-staging (111)"
    assert f"qm config {machine.vm_id}" in caught.value.remedy


def test_a_second_machine_with_our_tag_stops_the_run_also_beside_ours() -> None:
    with pytest.raises(MachineTaken, match=r"copy \(pve1/113\)"):
        orphan([OURS, replace(OURS, vm_id=113, name="copy")], WANTED, in_state={111})


def test_a_template_that_carries_the_tag_is_no_machine() -> None:
    assert orphan([TEMPLATE], WANTED, in_state=()) is None
