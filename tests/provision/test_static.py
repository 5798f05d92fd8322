"""Static machines: which address is used, and which are refused."""

from pathlib import Path

import pytest

from fairlead.errors import InvalidSetting
from fairlead.provision.base import ProvisionRequest
from fairlead.provision.static import StaticProvisioner

REQUEST = ProvisionRequest(environment="staging", app="shop", commit="c" * 40, checkout=Path())


@pytest.mark.parametrize("address", ["10.0.0.5", "fd00::5", "app.staging.example.com", "localhost"])
def test_an_address_is_taken_as_it_is(address: str) -> None:
    assert StaticProvisioner({"staging": address}).provision(REQUEST).vm_ip == address


def test_the_callers_address_beats_the_file() -> None:
    assert StaticProvisioner({"staging": "10.0.0.5"}, vm_ip="10.0.0.9").provision(REQUEST).vm_ip == "10.0.0.9"


def test_a_missing_address_names_the_key_and_the_way_out() -> None:
    with pytest.raises(InvalidSetting) as caught:
        StaticProvisioner({"production": "10.0.0.6"}).provision(REQUEST)
    assert caught.value.what == "fairlead.yaml: provision.addresses.staging is missing"
    assert "--vm-ip" in caught.value.remedy


@pytest.mark.parametrize(
    "address",
    [
        "-oProxyCommand=id",
        "10.0.0.5;id",
        "10.0.0.5\n",
        "{{ x }}",
        "$(id)",
        "`id`",
        "a b",
        "fe80::1%eth0",
        "a" * 64,
        "-a",
        "a.",
        "",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    given = StaticProvisioner({}, vm_ip=address or " ")
    with pytest.raises(InvalidSetting, match="is not the address of a machine"):
        given.provision(REQUEST)
