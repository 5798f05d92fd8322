"""The machine's newest host key, for a task that checks out a release which is older than the key.

The first release of a machine is: its bump comes before the machine, whose key is a later commit.
"""

import re

_LINE = re.compile(r"(\S+) ((?:ssh-ed25519|ecdsa-sha2-nistp\d{3}|ssh-rsa) [A-Za-z0-9+/]{40,}={0,2})(?:\s.*)?", re.ASCII)
_VARIABLES = ("ansible_ssh_extra_args", "ansible_sftp_extra_args", "ansible_scp_extra_args")


def ssh_variables(known_hosts: str, address: str, port: int) -> dict[str, str]:
    """Ansible's variables by which ssh knows the key too, beside the file in the release; none where no key is known.

    known_hosts: the branch's newest. By ssh_config(5) KnownHostsCommand prints lines of known_hosts; an ssh before 8.5
    has none, and then the release's file alone counts.
    """
    host = address if port == 22 else f"[{address}]:{port}"
    keys = [
        match[2] for match in map(_LINE.fullmatch, known_hosts.splitlines()) if match and host in match[1].split(",")
    ]
    if not keys:
        return {}
    key = min(keys, key=lambda found: not found.startswith("ssh-ed25519"))
    options = f"-o IgnoreUnknown=KnownHostsCommand -o 'KnownHostsCommand=/bin/echo {host} {key}'"
    return dict.fromkeys(_VARIABLES, options)
