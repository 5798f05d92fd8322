"""`fairlead history` and `fairlead schema`: what was released, and how fairlead.yaml is written."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli.context import open_scope, output
from fairlead.cli.detect import changes_document
from fairlead.cli.options import EnvironmentOption, JsonOption, RepositoryOption

if TYPE_CHECKING:
    from fairlead.deployment_repo.history import Release


def history(
    environment: EnvironmentOption,
    *,
    repo: RepositoryOption = ".",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many releases, newest first.")] = 15,
    as_json: JsonOption = False,
) -> None:
    """Releases of an environment, from git: commit, time, author, images, sources, proof."""
    from fairlead.deployment_repo.history import releases  # noqa: PLC0415

    scope = open_scope(repo, environment)
    found = releases(scope.repository, environment, limit)
    out = output(as_json=as_json)
    heading = ("commit", "when", "author", "proven", "release")
    out.table([heading, *(_row(release) for release in found)])
    out.document({"version": 1, "environment": environment, "releases": [_as_json(release) for release in found]})


def _row(release: "Release") -> tuple[str, ...]:
    proven = f"✔ {release.proof.finished:%Y-%m-%d %H:%M}" if release.proof else "-"
    return release.commit[:9], f"{release.time:%Y-%m-%d %H:%M}", release.author, proven, release.subject


def _as_json(release: "Release") -> dict[str, Any]:
    return {
        "commit": release.commit,
        "fence": release.fence,
        "time": release.time,
        "author": release.author,
        "subject": release.subject,
        "kind": release.kind.value if release.kind else None,
        "images": {name: str(pin) for name, pin in release.images.items()},
        "changes": changes_document(release.changes),
        "revisions": release.revisions,
        "proof": release.proof.model_dump(mode="json") if release.proof else None,
    }


def schema(
    *,
    json_of: Annotated[
        str, typer.Option("--json-of", help="Of what a stage command prints with --json; `error`: of any that failed.")
    ] = "",
) -> None:
    """The JSON Schema of fairlead.yaml, with which editors complete and check it; or of a command's JSON document."""
    from fairlead.cli.documents import document_schema  # noqa: PLC0415
    from fairlead.config.schema import configuration_schema  # noqa: PLC0415

    print(json.dumps(document_schema(json_of) if json_of else configuration_schema(), indent=2))  # noqa: T201
