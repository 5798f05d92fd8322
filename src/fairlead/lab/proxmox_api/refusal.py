"""How Proxmox says no: a status code, a sentence, and for parameters an error by name."""

from collections.abc import Mapping


class Refusal(Exception):
    """Becomes the answer's status and body. errors: by parameter, as Proxmox words them."""

    def __init__(self, status: int, message: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = dict(errors or {})

    def body(self) -> dict[str, object]:
        """What the client reads: data is null, the sentence ends with a line break."""
        return {"data": None, "message": f"{self.message}\n"} | ({"errors": self.errors} if self.errors else {})


def wrong(errors: Mapping[str, str]) -> Refusal:
    """Parameters that the schema does not allow."""
    return Refusal(400, "Parameter verification failed.", errors)


def missing_machine(node: str, vmid: int) -> Refusal:
    """There is no such VM. The provider takes a VM for destroyed when it reads `does not exist` (measured)."""
    return Refusal(500, f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
