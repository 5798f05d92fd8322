"""Machines by the real OpenTofu and the real provider, on the lab's Proxmox API."""

from tests.provision.workshop import Workshop


def test_a_machine_is_made_once_and_changed_in_place(workshop: Workshop) -> None:
    made = workshop.provision()
    assert made.vm_ip == workshop.address()
    assert made.changed
    again = workshop.provision(refresh=True)
    third = workshop.provision()
