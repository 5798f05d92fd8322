"""`.terraform.lock.hcl` as text: a provider's checksums. Of several that it lists, OpenTofu takes any that matches.

Source: OpenTofu, "Dependency Lock File"; the scheme `h1:` is golang.org/x/mod/sumdb/dirhash, Hash1 of the unpacked
package.
"""

import base64
import hashlib
import re
from pathlib import Path

from fairlead.provision.tofu import PROVIDER

_HASHES = re.compile(r"^  hashes = \[\n(?P<lines>(?:    \"[^\"\n]+\",\n)*)  \]\n", re.MULTILINE)
_VERSION = re.compile(r'^  version += "([^"\n]+)"$', re.MULTILINE)


def package_hash(package: Path) -> str:
    """`h1:…` of an unpacked provider: of the digest and the name of each of its files."""
    digests = {
        path.relative_to(package).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in package.rglob("*")
        if path.is_file()
    }
    listed = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return "h1:" + base64.b64encode(hashlib.sha256(listed.encode()).digest()).decode()


def locked_version(text: str) -> str:
    """The provider's version in a lock file; "" where it is not in it."""
    found = _VERSION.search(text, _begin(text)) if _begin(text) >= 0 else None
    return found[1] if found else ""


def with_hash(text: str, checksum: str) -> str:
    """The lock file with one more checksum of the provider beside those that it has, in OpenTofu's order."""
    found = _HASHES.search(text, _begin(text))
    if found is None:
        return text
    lines = sorted({*found["lines"].splitlines(), f'    "{checksum}",'})
    return "".join((text[: found.start("lines")], *(f"{line}\n" for line in lines), text[found.end("lines") :]))


def built_package(mirror: Path, version: str) -> Path | None:
    """Where the provider of this version is unpacked, in a mirror of this computer's own; None where it is not."""
    return next(iter(sorted((mirror / PROVIDER / version).glob("*_*"))), None)


def _begin(text: str) -> int:
    return text.find(f'provider "{PROVIDER}" {{')
