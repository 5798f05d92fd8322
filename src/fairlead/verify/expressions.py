"""`{vm_ip}`, `{app_image.tag}` and the like in checks: a closed set, filled in without any evaluation.

config/models.py refuses every other expression when fairlead.yaml is read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fairlead.config.addresses import machine_address
from fairlead.errors import InvalidSetting
from fairlead.images import ImageReference

_EXPRESSION = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Values:
    """What expressions stand for. vm_ip: an address; images: what the release pins, by Ansible variable."""

    vm_ip: str
    environment: str
    app: str
    commit: str
    images: Mapping[str, ImageReference] = field(default_factory=dict)

    def __post_init__(self) -> None:
        machine_address(self.vm_ip, "vm_ip")

    def of(self, expression: str) -> str:
        """One expression's value. Raises InvalidSetting for one that has none."""
        if expression in ("vm_ip", "environment", "app", "commit"):
            return str(getattr(self, expression))
        name, _, part = expression.partition(".")
        image = self.images.get(name)
        value = {"tag": image.tag, "digest": image.digest, "repository": image.name}.get(part) if image else None
        if value is None:
            raise InvalidSetting(
                f"verify: {{{expression}}} has no value in {self.environment}",
                why=f"The release pins no {name}" if image is None else f"The pin {image} has no {part}",
                remedy=f"fairlead bump -e {self.environment}",
            )
        return value


def fill(text: str, values: Values) -> str:
    """The text with every expression replaced, once: what a value holds is never read as an expression."""
    return _EXPRESSION.sub(lambda match: values.of(match[1]), text)


def fill_url(text: str, values: Values) -> str:
    """As `fill`; an IPv6 address gets the brackets that a URL needs (RFC 3986, 3.2.2)."""
    bracketed = f"[{values.vm_ip}]" if ":" in values.vm_ip else values.vm_ip
    return _EXPRESSION.sub(lambda match: bracketed if match[1] == "vm_ip" else values.of(match[1]), text)
