"""What `fairlead provision` begins before typer is imported and has read its command line: 0.1 s (measured)."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairlead.provision.ahead import HeadStart

_ENVIRONMENT = ("-e", "--environment")
_REPOSITORY = "--repo"
_OTHERWISE = ("--plan", "--vm-ip", "--help")  # with these, something else is asked


@contextlib.contextmanager
def begun(arguments: Sequence[str]) -> "Iterator[HeadStart | None]":
    """A head start for these arguments, until the end of the block; None where none can be made."""
    asked = provisioning(arguments)
    if asked is None:
        yield None
        return
    from fairlead.config.variables import read_variables  # noqa: PLC0415 - other commands do not pay for it
    from fairlead.provision.ahead import head_start  # noqa: PLC0415

    repository, environment = asked
    with head_start(read_variables(), repository, environment, plan="--refresh" in arguments) as ahead:
        yield ahead


def provisioning(arguments: Sequence[str]) -> tuple[str, str] | None:
    """Repository and environment. This is no parser: for what it takes wrong, something is begun in vain."""
    if arguments[:1] != ["provision"]:
        return None
    words = [part for word in arguments[1:] for part in (word.split("=", 1) if word.startswith("--") else [word])]
    values = dict(itertools.pairwise(words))
    environment = next((values[name] for name in _ENVIRONMENT if name in values), "")
    if not environment or any(word in _OTHERWISE for word in words):
        return None
    return values.get(_REPOSITORY, "."), environment
