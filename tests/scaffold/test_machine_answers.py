"""What `init` writes of the machines that OpenTofu is to make."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.errors import InvalidAnswer
from fairlead.provision.tfvars import plain_values
from fairlead.scaffold.answers import Answers, ImageAnswer, MachineAnswer
from fairlead.scaffold.copy import write

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB fairlead-lab-lab-staging"
STAGING = MachineAnswer(
    107, "10.77.0.211/24", "10.77.0.1", ("10.77.0.1", "10.77.0.2"), (KEY,), node="pve7", template=9001
)


def answers(**machines: MachineAnswer) -> Answers:
    """For an application with two environments."""
    image = ImageAnswer.parse("app_image=registry.example.com/shop/backend:1.0.0")
    return Answers("shop", ("staging", "production"), (image,), machines=machines)


def written(directory: Path, given: Answers, environment: str) -> dict[str, object]:
    """The values of the environment's .tfvars file, as `init` writes it."""
    write(directory, given)
    return plain_values((directory / f"deployment/opentofu/environments/{environment}.tfvars").read_text())


def test_what_is_known_of_a_machine_is_written(tmp_path: Path) -> None:
    """A lab knows all of it; where nobody does, an example is written that clashes with nothing."""
    given = answers(staging=STAGING)
    known, example = written(tmp_path / "a", given, "staging"), written(tmp_path / "b", given, "production")

    assert known == {
        "node_name": "pve7", "template_id": 9001, "vm_id": 107, "vm_name": "shop-staging", "cores": 2, "memory": 2048,
        "vm_disk_size": 20, "address": "10.77.0.211/24", "gateway": "10.77.0.1",
        "dns_servers": ["10.77.0.1", "10.77.0.2"], "ssh_keys": [KEY], "tags": ["shop", "staging"],
    }  # fmt: skip
    assert (example["vm_id"], example["address"], example["vm_name"]) == (102, "192.0.2.11/24", "shop-production")


def test_machines_are_remembered_for_updates() -> None:
    """As plain data; a record of before there were any has none."""
    given = answers(staging=STAGING)
    record = json.loads(json.dumps(given.as_record()))
    assert Answers.from_record(record) == given
    del record["machines"]
    assert Answers.from_record(record) == answers()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "10.77.0.211"),
        ("address", '10.0.0.1/24"'),
        ("gateway", "gw"),
        ("dns_servers", ("a b",)),
        ("ssh_keys", ('ssh-ed25519 AAAA "${x}"',)),
        ("ssh_keys", ("-----BEGIN",)),
        ("node", "pve 1"),
    ],
)
def test_nothing_can_break_out_of_its_place(field: str, value: object) -> None:
    """The file is code."""
    with pytest.raises(InvalidAnswer, match=r"cannot be written into a \.tfvars file"):
        replace(STAGING, **{field: value})  # type: ignore[arg-type]
