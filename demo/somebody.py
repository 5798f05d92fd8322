"""Somebody at Proxmox's own controls: `somebody.py destroy VM`. Reads what a lab's commands read too.

FAIRLEAD_SECRETS_DIR: endpoint and token. SSL_CERT_FILE: the CA of the API's certificate.
"""

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from proxmoxer import ProxmoxAPI
from proxmoxer.tools import Tasks

NODE = "pve1"


def main(words: list[str]) -> int:
    match words:
        case ["destroy", vm_id]:
            destroy(client(), int(vm_id))
            return 0
    sys.stderr.write(f"{__doc__}\n")
    return 2


def client() -> Any:
    """Proxmox, with its certificate verified."""
    secrets = Path(os.environ["FAIRLEAD_SECRETS_DIR"], "infrastructure")
    where = urlsplit((secrets / "proxmox_endpoint").read_text().strip())
    user, _, value = (secrets / "proxmox_api_token").read_text().strip().partition("!")
    name, _, secret = value.partition("=")
    return ProxmoxAPI(
        where.hostname,
        port=where.port,
        user=user,
        token_name=name,
        token_value=secret,
        verify_ssl=os.environ["SSL_CERT_FILE"],
        timeout=60,
    )


def destroy(proxmox: Any, vm_id: int) -> None:
    """Pull the plug, and remove the VM with its disks."""
    machine = proxmox.nodes(NODE).qemu(vm_id)
    for task in (machine.status.stop.post, machine.delete):
        ended = Tasks.blocking_status(proxmox, task(), timeout=60)
        if ended is None or ended["exitstatus"] != "OK":
            raise SystemExit(f"VM {vm_id}: {ended}")
    sys.stdout.write(f"VM {vm_id} is destroyed\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
