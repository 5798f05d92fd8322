"""The way to a machine as deploys take it, for one question to it.

Ansible itself is asked which user, port and ssh options the repository gives the machine; ssh then goes that way with
the options and files of a deploy, once.
"""

import json
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead import process
from fairlead.config import layout
from fairlead.config.models import AnsibleDeploy
from fairlead.config.secrets import Secret
from fairlead.deploy.ansible import KEY, SETTINGS, environment, ssh_arguments
from fairlead.deploy.base import Target
from fairlead.deploy.inventory import inventory
from fairlead.deploy.private import private_directory, write_private
from fairlead.errors import InvalidSetting, ProgramTimedOut, SiteFault

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_TEMPLATE = re.compile(r"{[{%]")
_INVENTORY_TIME = 60.0  # seconds
_CONNECT_TIME, _ANSWER_TIME = 10, 60.0


@dataclass(frozen=True, slots=True)
class Way:
    """How Ansible reaches a machine. user: None: ssh's own choice. options: for ssh, from the inventory."""

    address: str
    user: str | None
    port: int
    options: tuple[str, ...] = ()

    @property
    def is_direct(self) -> bool:
        """Whether no other machine lies in between."""
        return not any("proxy" in option.lower() or option == "-J" for option in self.options)

    def __str__(self) -> str:
        return f"{f'{self.user}@' if self.user else ''}{self.address} port {self.port}"


def read_way(target: Target, settings: AnsibleDeploy) -> Way:
    """Ask Ansible for the inventory's own values; what fairlead.yaml says explicitly beats them.

    Raises InvalidSetting where there is no inventory, no host in it, or a value that only a deploy can tell.
    """
    hosts = inventory(target)
    with private_directory() as private:
        write_private(private / SETTINGS, "")
        said = process.run(
            inventory_argv(hosts, target.checkout),
            cwd=target.checkout,
            environment=environment(private, target.checkout, has_key=True),
            inherit=False,
            timeout=_INVENTORY_TIME,
        )
    known: Mapping[str, Any] = json.loads(said.stdout).get("_meta", {}).get("hostvars", {})
    if not known:
        raise InvalidSetting(
            f"{layout.inventory_file(target.environment)} has no host",
            remedy="Write it like the other environments', or run fairlead init --update",
        )
    return way_of(next(iter(known.values())), target, settings)


def inventory_argv(hosts: Path, checkout: Path) -> list[str]:
    """Print the inventory with the variables beside the playbook."""
    program = [sys.executable, "-P", "-m", "ansible.cli.inventory"]
    return [*program, "--inventory", str(hosts), "--playbook-dir", str(checkout / layout.ANSIBLE), "--list"]


def way_of(values: Mapping[str, Any], target: Target, settings: AnsibleDeploy) -> Way:
    """A host's variables as a way. Raises InvalidSetting."""
    explicit = settings.model_fields_set
    user = settings.user if "user" in explicit else values.get("ansible_user")
    port = settings.port if "port" in explicit else values.get("ansible_port", settings.port)
    if (user is not None and not _USER.fullmatch(str(user))) or not re.fullmatch(r"\d{1,5}", str(port)):
        raise InvalidSetting(
            f"The inventory's ansible_user or ansible_port cannot be read: {user}, {port}",
            why="Only a deploy can fill in a template",
            remedy="Say it in fairlead.yaml: deploy: {user: deploy, port: 22}",
        )
    folder = target.checkout / layout.ANSIBLE
    given = " ".join(str(values.get(f"ansible_ssh_{kind}_args", "")) for kind in ("common", "extra"))
    filled = re.sub(r"{{\s*playbook_dir\s*}}", lambda _: str(folder), given)
    options = () if _TEMPLATE.search(filled) else tuple(shlex.split(filled))
    return Way(target.vm_ip, user, int(port), options)


def ssh_argv(way: Way, checkout: Path, key: Path | None) -> list[str]:
    """ssh as Ansible starts it, without a connection that is kept; the machine's sh reads the question from stdin."""
    own = ["-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", f"ConnectTimeout={_CONNECT_TIME}"]
    login = [*(["-i", str(key)] if key else []), *(["-l", way.user] if way.user else []), "-p", str(way.port)]
    options = [*own, *shlex.split(ssh_arguments(checkout, has_key=key is not None)), *way.options]
    return ["ssh", "-T", *options, *login, "--", way.address, "sh -s"]


def ask(way: Way, checkout: Path, ssh_key: Secret | None, question: str) -> process.Completed:
    """Run a fixed script on the machine, by one connection; its exit code is 255 where ssh did not get there.

    Raises SiteFault where the machine lets us in and then says nothing.
    """
    with private_directory() as private:
        key = write_private(private / KEY, ssh_key.reveal().rstrip("\n") + "\n") if ssh_key else None
        try:
            return process.run(
                ssh_argv(way, checkout, key), stdin=question, timeout=_ANSWER_TIME, grace=2.0, expect=range(256)
            )
        except ProgramTimedOut as error:
            raise SiteFault(
                f"{way.address} does not answer within {_ANSWER_TIME:g} s",
                why="Its engine or its disk may hang",
                remedy=f"ssh {way.address} docker version",
            ) from error
