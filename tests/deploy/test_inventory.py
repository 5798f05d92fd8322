"""What Ansible is told, and what it is never told."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.config import layout
from fairlead.config.models import AnsibleDeploy
from fairlead.config.secrets import Secret
from fairlead.deploy.base import DeployRequest, RunningRequest
from fairlead.deploy.inventory import extra_vars, inventory, print_extra_vars
from fairlead.errors import InvalidSetting
from fairlead.images import ImageReference

PIN = ImageReference("registry.example.com", "shop/web", "1.0", f"sha256:{'1' * 64}")
REQUEST = DeployRequest(
    environment="staging",
    app="shop",
    commit="c" * 40,
    checkout=Path("export"),
    vm_ip="10.0.0.5",
    pins={"app_image": PIN},
    secrets={"postgres_password": Secret("hunter22")},
    fence=7,
    run="staging-20260101-120000-ab12",
)
HOSTILE = ["{{ lookup('pipe', 'id') }}", "$(id)", "`id`", "two\nlines", "-oProxyCommand=id", "{% raw %}", "", " "]


def changed(**fields: Any) -> DeployRequest:
    return replace(REQUEST, **fields)


def test_every_text_from_outside_is_marked_unsafe() -> None:
    assert extra_vars(REQUEST, AnsibleDeploy()) == {
        "VM_IP": {"__ansible_unsafe": "10.0.0.5"},
        "fairlead_commit": {"__ansible_unsafe": "c" * 40},
        "fairlead_run": {"__ansible_unsafe": "staging-20260101-120000-ab12"},
        "fairlead_fence": 7,
        "postgres_password": {"__ansible_unsafe": "hunter22"},
    }


def test_a_look_carries_neither_fence_nor_run() -> None:
    names = ("environment", "app", "commit", "checkout", "vm_ip", "pins")
    look = RunningRequest(**{name: getattr(REQUEST, name) for name in names})
    assert set(extra_vars(look, AnsibleDeploy())) == {"VM_IP", "fairlead_commit"}


def test_images_are_never_passed_on_they_stand_in_git() -> None:
    assert str(PIN) not in print_extra_vars(extra_vars(REQUEST, AnsibleDeploy()))


def test_only_settings_that_the_file_has_are_passed_on() -> None:
    settings = AnsibleDeploy(directory="/srv/shop", port=2222)
    values = extra_vars(REQUEST, settings)
    assert (values["app_directory"], values["ansible_port"]) == ({"__ansible_unsafe": "/srv/shop"}, 2222)
    assert "ansible_user" not in values


@pytest.mark.parametrize("field", ["vm_ip", "commit", "run"])
@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_refused(field: str, value: str) -> None:
    with pytest.raises(InvalidSetting):
        extra_vars(changed(**{field: value}), AnsibleDeploy())


@pytest.mark.parametrize(
    "name", ["ansible_ssh_common_args", "fairlead_fence", "VM_IP", "app_image", "a-b", "app_directory"]
)
def test_a_secret_cannot_take_another_variables_name(name: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        extra_vars(changed(secrets={name: Secret("hunter22")}), AnsibleDeploy())


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_secret_arrives_as_it_was(value: str) -> None:
    printed = print_extra_vars(extra_vars(changed(secrets={"token": Secret(value)}), AnsibleDeploy()))
    assert json.loads(printed)["token"] == {"__ansible_unsafe": value}
    assert printed.isascii()


def test_a_commit_without_the_environments_inventory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting) as caught:
        inventory(changed(checkout=tmp_path))
    assert layout.inventory_file("staging") in caught.value.what
    assert "fairlead init --update" in caught.value.remedy
