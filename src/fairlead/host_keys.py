"""Host keys of machines: what a public key looks like, and known_hosts as text. Source: sshd(8), known_hosts format."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator

from fairlead.errors import ProxmoxError

KEY_KINDS = ("ed25519", "ecdsa", "rsa")  # as in /etc/ssh/ssh_host_KIND_key.pub, the preferred one first
SECTION_END = "# </hostkeys>"
_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp\d{3}|ssh-rsa) ([A-Za-z0-9+/]{40,}={0,2})([ \t].*)?", re.ASCII)


def public_key(text: str, whose: str) -> str:
    """`ssh-ed25519 AAAA…` without its comment. Raises ProxmoxError for anything else: it comes from the machine."""
    match = _KEY.fullmatch(text.strip())
    if match is None or not _is_of_kind(match[1], match[2]):
        raise ProxmoxError(
            f"{whose} gives something else than an SSH public key",
            why=repr(text[:80]),
            remedy="On the machine: rm /etc/ssh/ssh_host_*; ssh-keygen -A",
        )
    return f"{match[1]} {match[2]}"


def is_key(text: str) -> bool:
    """Whether it has a key's form, so that it may stand in a command line."""
    return bool(_KEY.fullmatch(text))


def _is_of_kind(kind: str, blob: str) -> bool:
    """RFC 4253, section 6.6: the blob begins with its own kind, as a string with its length before it."""
    try:
        content = base64.b64decode(blob, validate=True)
    except binascii.Error:
        return False
    return content.startswith(len(kind).to_bytes(4, "big") + kind.encode())


def known_keys(known_hosts: str, address: str, port: int = 22) -> tuple[str, ...]:
    """The keys that a known_hosts file has for a host, as `ssh-ed25519 AAAA…`; lines with a marker are no keys."""
    host = host_name(address, port)
    fields = (line.split() for line in known_hosts.splitlines() if not line.startswith(("#", "@")))
    return tuple(f"{words[1]} {words[2]}" for words in fields if len(words) >= 3 and host in _own_names(words[0], host))


def with_host_keys(known_hosts: str, address: str, keys: Iterable[str], port: int = 22) -> str:
    """The file with these keys, and no others, for a host."""
    host = host_name(address, port)
    kept = list(_without(known_hosts.splitlines(), host))
    position = kept.index(SECTION_END) if SECTION_END in kept else len(kept)
    kept[position:position] = [f"{host} {key}" for key in keys]
    return "\n".join(kept) + "\n"


def host_name(address: str, port: int = 22) -> str:
    """A host as known_hosts writes it: `[address]:port` for another port than ssh's own."""
    return address if port == 22 else f"[{address}]:{port}"


def _without(lines: Iterable[str], host: str) -> Iterator[str]:
    for line in lines:
        names, separator, rest = line.partition(" ")
        if line.startswith(("#", "@")) or host not in _own_names(names, host):
            yield line
        elif others := [name for name in names.split(",") if name != host and not name.startswith("|")]:
            yield f"{','.join(others)}{separator}{rest}"


def _own_names(names: str, host: str) -> set[str]:
    """A line's plain names; a hashed one that is the host's counts as the host."""
    return {host if name.startswith("|1|") and _is_hash_of(name, host) else name for name in names.split(",")}


def _is_hash_of(hashed: str, host: str) -> bool:
    """`|1|salt|HMAC-SHA1(salt, host)`, both in base64."""
    try:
        salt, digest = (base64.b64decode(part) for part in hashed.split("|")[2:4])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, host.encode(), hashlib.sha1).digest(), digest)
