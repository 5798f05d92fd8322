"""`fairlead provision` without typer: with the commands it takes 0.03 s of the 0.2 s of a skip (measured).

Only lines that are plain are read here: every option is spelled out, every value a word of its own or after `=`. All
others, and whatever is wrong, are left to typer; what is read here is what typer reads (tests/cli/test_early.py).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairlead.cli.provisioning import Asked
from fairlead.process import signals_held

if TYPE_CHECKING:
    from fairlead.config.variables import Variables
    from fairlead.provision.ahead import HeadStart

_VALUES = {
    "-e": "environment",
    "--environment": "environment",
    "--repo": "repo",
    "--commit": "commit",
    "--vm-ip": "vm_ip",
    "--allow-replace": "allow_replace",
    "--run": "run",
}
_FLAGS = {"--plan": "plan", "--refresh": "refresh", "-q": "quiet", "--quiet": "quiet", "--json": "as_json"}
_VARIABLES = {"environment": "ENVIRONMENT", "commit": "FAIRLEAD_COMMIT", "run": "FAIRLEAD_RUN", "vm_ip": "VM_IP"}


def plain_provisioning(arguments: Sequence[str], variables: Mapping[str, str]) -> Asked | None:
    """What a plain line asks of `fairlead provision`; None for any other. variables: of the process, for options."""
    options = _options(arguments[1:]) if arguments[:1] == ["provision"] else None
    if options is None:
        return None
    said = {option: variables[name] for option, name in _VARIABLES.items() if variables.get(name)}
    options = {**said, **options}
    return Asked(**options) if "environment" in options else None


def _options(words: Sequence[str]) -> dict[str, Any] | None:
    """What is given, by the names in Python; None where a word is not plain."""
    options: dict[str, Any] = {}
    left = iter(words)
    for word in left:
        name, joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if word in _FLAGS:
            options[_FLAGS[word]] = True
        elif name in _VALUES:
            options[_VALUES[name]] = value if joined else next(left, None)
        else:
            return None
    return None if None in options.values() else options


@contextlib.contextmanager
def begun(asked: Asked, variables: "Variables") -> "Iterator[HeadStart | None]":
    """What can be begun for it before the rest is imported, until the end of the block; None where nothing can."""
    if asked.plan or asked.vm_ip:
        yield None
        return
    with signals_held():
        from fairlead.provision.ahead import head_start  # noqa: PLC0415 - other commands do not pay for it

        if not asked.refresh:  # then a thread imports too, and while it does, nothing else should
            from fairlead.pipeline import machines  # noqa: F401, PLC0415
            from fairlead.provision import opentofu  # noqa: F401, PLC0415
    with head_start(variables, asked.repo, asked.environment, plan=asked.refresh) as ahead:
        yield ahead
