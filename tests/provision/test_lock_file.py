"""A repository whose provider is locked to the published one, and to the one that a lab has built."""

import base64
import hashlib
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.config.directories import cache_directory
from fairlead.errors import ProvisionError
from fairlead.provision.lock_file import built_package, locked_version, package_hash, with_hash
from fairlead.provision.tofu import PROVIDER
from tests.provision.workshop import Workshop

PUBLISHED = f"h1:{base64.b64encode(hashlib.sha256(b'published').digest()).decode()}"
LOCK = f"""\
# This file is maintained automatically by "tofu init".

provider "registry.opentofu.org/another/one" {{
  version = "9.9.9"
  hashes = [
    "h1:another",
  ]
}}

provider "{PROVIDER}" {{
  version     = "0.106.0"
  constraints = "0.106.0"
  hashes = [
    "{PUBLISHED}",
    "zh:0123",
  ]
}}
"""


def test_a_checksum_is_added_beside_the_others_once() -> None:
    added = with_hash(LOCK, "h1:zzz")
    assert added == LOCK.replace('    "zh:0123",', '    "h1:zzz",\n    "zh:0123",')
    assert with_hash(added, "h1:zzz") == added
    assert with_hash("# nothing is locked\n", "h1:zzz") == "# nothing is locked\n"


def test_the_version_is_the_providers_own() -> None:
    assert locked_version(LOCK) == "0.106.0"
    assert locked_version(LOCK.partition(f'provider "{PROVIDER}"')[0]) == ""


def test_a_package_that_is_not_built_is_none(tmp_path: Path) -> None:
    assert built_package(tmp_path, "0.106.0") is None


def test_one_repository_runs_with_the_published_provider_and_with_the_labs(workshop: Workshop) -> None:
    workshop.provision()
    lock = workshop.root / "checkout" / layout.LOCK_FILE
    package = built_package(cache_directory() / "opentofu" / "providers", locked_version(lock.read_text()))
    assert package
    own = package_hash(package)
    assert f'"{own}"' in lock.read_text()
    lock.write_text(lock.read_text().replace(own, PUBLISHED))
    with pytest.raises(ProvisionError, match=r"the provider here is not the one of \.terraform\.lock\.hcl"):
        workshop.provision(refresh=True)
    lock.write_text(with_hash(lock.read_text(), own))
    assert not workshop.provision(refresh=True).changed
    assert PUBLISHED in lock.read_text()
