"""The machine's newest host key, for a task that checks out a release which is older than the key.

The first release of a machine is: its bump comes before the machine, whose key is a later commit.
"""

from fairlead.host_keys import host_name, is_key, known_keys

_VARIABLES = ("ansible_ssh_extra_args", "ansible_sftp_extra_args", "ansible_scp_extra_args")


def ssh_variables(known_hosts: str, address: str, port: int) -> dict[str, str]:
    """Ansible's variables by which ssh knows the key too, beside the file in the release; none where no key is known.

    known_hosts: the branch's newest. By ssh_config(5) KnownHostsCommand prints lines of known_hosts; an ssh before 8.5
    has none, and then the release's file alone counts.
    """
    keys = [key for key in known_keys(known_hosts, address, port) if is_key(key)]
    if not keys:
        return {}
    key = min(keys, key=lambda found: not found.startswith("ssh-ed25519"))
    options = f"-o IgnoreUnknown=KnownHostsCommand -o 'KnownHostsCommand=/bin/echo {host_name(address, port)} {key}'"
    return dict.fromkeys(_VARIABLES, options)
