"""`fairlead status`: what runs where, since when, from which commit, proven or not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.context import open_scope, output, variables
from fairlead.cli.options import JsonOption, RepositoryOption
from fairlead.cli.output import Output

if TYPE_CHECKING:
    from fairlead.images import ImageReference
    from fairlead.pipeline.status import InFlight, Status


def status(
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", envvar="ENVIRONMENT", help="One environment only.")
    ] = None,
    *,
    repo: RepositoryOption = ".",
    as_json: JsonOption = False,
) -> None:
    """What runs where, since when, from which commit, proven or not; what differs; which runs are in flight."""
    from fairlead.pipeline.scope import Scope  # noqa: PLC0415 - `--help` does not pay for it
    from fairlead.pipeline.status import differing, status_of  # noqa: PLC0415

    scopes = [open_scope(repo, environment)] if environment else Scope.open_all(repo, variables())
    statuses = [status_of(scope) for scope in scopes]
    different = differing(statuses)
    out = output(as_json=as_json)
    out.table([("environment", "release", "proven since", "checks"), *(_row(status) for status in statuses)])
    _print_images(out, statuses, different)
    for one in statuses:
        _print_notes(out, one)
    out.document({"version": 1, "environments": [one.as_json() for one in statuses], "differing": different})


def _row(status: "Status") -> tuple[str, ...]:
    proof = status.proven
    if proof is None:
        return status.environment, "-", "nothing is proven", "-"
    return status.environment, proof.commit[:9], f"{proof.finished:%Y-%m-%d %H:%M:%S}", f"✔ {len(proof.checks)}"


def _print_images(out: Output, statuses: Sequence["Status"], different: Sequence[str]) -> None:
    names = sorted({name for status in statuses for name in status.running})
    if not names:
        return
    heading = ("", "image", *(status.environment for status in statuses))
    rows = [
        ("≠" if name in different else "", name, *(_shown(status.running.get(name)) for status in statuses))
        for name in names
    ]
    out.table([heading, *rows])


def _shown(image: "ImageReference | None") -> str:
    return f"{image.tag}@{image.digest[7:19]}" if image and image.digest else "-"


def _print_notes(out: Output, status: "Status") -> None:
    if status.unproven:
        out.waiting(f"{status.environment}: {status.head[:9]} is not proven: {status.unproven}")
        out.detail(f"fairlead run -e {status.environment}")
    if status.flight:
        _print_flight(out, status.environment, status.flight)


def _print_flight(out: Output, environment: str, flight: "InFlight") -> None:
    where = f"{environment}: run {flight.run} in {flight.stage} since {flight.since[:19].replace('T', ' ')} UTC"
    if flight.alive:
        out.doing(f"{where} (pid {flight.pid} on {flight.host})")
    else:
        out.waiting(f"{where}, and its process is gone")
        out.detail(f"fairlead run -e {environment} goes on where it was")
