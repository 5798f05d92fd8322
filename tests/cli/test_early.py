"""Which command lines a head start is made for."""

import pytest

from fairlead.cli.early import provisioning


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("provision -e staging", (".", "staging")),
        ("provision --environment=staging --repo ../shop --refresh", ("../shop", "staging")),
        ("provision --repo=https://git.example.com/shop.git#main --environment staging -q",
         ("https://git.example.com/shop.git#main", "staging")),
        ("provision", None),
        ("provision -e staging --plan", None),
        ("provision -e staging --vm-ip=192.0.2.10", None),
        ("provision -e staging --help", None),
        ("deploy -e staging", None),
        ("", None),
    ],
)  # fmt: skip
def test_only_provisioning_from_a_repository_is_begun_early(line: str, asked: tuple[str, str] | None) -> None:
    assert provisioning(line.split()) == asked
