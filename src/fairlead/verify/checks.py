"""From the settings of fairlead.yaml to checks that can be attempted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.config import models
from fairlead.errors import UnsafePath
from fairlead.process import NO_SECRETS, Mask
from fairlead.verify.base import Check
from fairlead.verify.command import CommandCheck
from fairlead.verify.digests import DigestsCheck, Reading
from fairlead.verify.expressions import Values, fill, fill_url

if TYPE_CHECKING:
    from fairlead.verify.http import HttpCheck, Scalar


@dataclass(frozen=True)
class Surroundings:
    """What checks need beside their settings.

    directory: a clean export of the release's commit. read_running: looks at the machine. mask: for what
    programs and answers say.
    """

    values: Values
    directory: Path
    read_running: Callable[[], Reading]
    mask: Mask = NO_SECRETS


def build_checks(settings: Sequence[models.Check], surroundings: Surroundings) -> list[Check]:
    """The checks in their order. Raises InvalidSetting for an expression without a value, UnsafePath for a CA file that
    is not in the repository.
    """
    return [_build(setting, surroundings) for setting in settings]


def _build(setting: models.Check, surroundings: Surroundings) -> Check:
    match setting:
        case models.HttpCheck(http=request):
            return _http(request, surroundings)
        case models.CommandCheck(command=command):
            return _command(command, surroundings)
        case models.RunningDigestsCheck():
            return DigestsCheck(surroundings.read_running)


def _http(request: models.HttpRequest, surroundings: Surroundings) -> "HttpCheck":
    from fairlead.verify.http import HttpCheck  # noqa: PLC0415 - 0.1 s, which a deploy does not pay for

    values = surroundings.values

    def filled(value: "Scalar") -> "Scalar":
        return fill(value, values) if isinstance(value, str) else value

    return HttpCheck(
        url=fill_url(request.url, values),
        status=request.status,
        fields={name: filled(value) for name, value in (request.json_ or {}).items()},
        contains=fill(request.contains or "", values),
        headers={name: fill(value, values) for name, value in request.headers.items()},
        timeout=request.timeout.total_seconds(),
        ca=_inside(surroundings.directory, request.ca) if request.ca else None,
        mask=surroundings.mask,
    )


def _command(command: models.CommandRun, surroundings: Surroundings) -> CommandCheck:
    values = surroundings.values
    return CommandCheck(
        argv=tuple(fill(word, values) for word in command.run),
        directory=surroundings.directory,
        timeout=command.timeout.total_seconds(),
        environment={"VM_IP": values.vm_ip, "ENVIRONMENT": values.environment},
        mask=surroundings.mask,
    )


def _inside(directory: Path, path: str) -> Path:
    """A file of the export, links followed, that does not leave it."""
    found = (directory / path).resolve()
    if not found.is_relative_to(directory.resolve()):
        raise UnsafePath(
            f"verify: the CA certificate {path} is outside the repository", remedy="Give its path in the repository"
        )
    return found
