import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import LabSubnetInUse, LabUsage
from fairlead.lab import addresses
from fairlead.lab.addresses import Network

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
br-1\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def test_the_routing_table_names_networks_and_not_the_default_route() -> None:
    assert addresses.routed(ROUTES) == [Network("10.77.0.0/24"), Network("172.17.0.0/16")]


def test_this_machines_own_routes_are_taken() -> None:
    assert Network("10.1.0.0/16") in addresses.taken(["10.1.0.0/16", "fd00::/64"])


def test_the_first_free_subnet_overlaps_nothing() -> None:
    assert addresses.first_free([Network("10.77.0.0/16"), Network("10.78.0.0/24")]) == Network("10.78.1.0/24")


def test_no_subnet_is_left() -> None:
    with pytest.raises(LabSubnetInUse):
        addresses.first_free([Network("10.0.0.0/8")])


def test_a_subnet_in_use_is_an_error_that_names_a_free_one() -> None:
    with pytest.raises(LabSubnetInUse) as raised:
        addresses.require_free(Network("10.77.3.0/24"), [Network("10.77.0.0/22")], " --name x")
    assert raised.value.what == "The subnet 10.77.3.0/24 is in use"
    assert raised.value.why.startswith("10.77.0.0/22 is a network")
    assert raised.value.remedy == "fairlead lab up --name x --subnet 10.77.4.0/24"


@pytest.mark.parametrize(
    "text", ["10.0.0.0/16", "10.0.0.1/24", "8.8.8.0/24", "fd00::/24", "x", "172.30.4.0/24", "172.31.0.0/24"]
)
def test_an_unusable_subnet_is_refused(text: str) -> None:
    with pytest.raises(LabUsage, match="cannot be used"):
        addresses.parse_subnet(text)


@given(st.sets(st.integers(0, addresses.LARGEST_SITE - 1), min_size=1))
def test_every_part_has_an_address_of_its_own(positions: set[int]) -> None:
    subnet = Network("10.77.0.0/24")
    given_out = [addresses.machine(subnet, position) for position in positions]
    given_out += [addresses.gateway(subnet), addresses.registry(subnet)]
    assert len(set(given_out)) == len(given_out)


def test_a_lab_has_an_end() -> None:
    with pytest.raises(LabUsage):
        addresses.machine(Network("10.77.0.0/24"), addresses.LARGEST_SITE)
