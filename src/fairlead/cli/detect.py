"""`fairlead detect` and `fairlead bump`: is there work, and the commit that makes it a release."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli.context import open_scope, output
from fairlead.cli.options import CommitOption, EnvironmentOption, JsonOption, QuietOption, RepositoryOption, RunOption
from fairlead.cli.output import Output
from fairlead.errors import Waiting

if TYPE_CHECKING:
    from fairlead.deployment_repo.bump import Bump
    from fairlead.deployment_repo.message import ImageChange
    from fairlead.pipeline.detect import Detection
    from fairlead.registry.watcher import Sighting

DowngradeOption = Annotated[bool, typer.Option("--allow-downgrade", help="Also elect tags below the pinned one.")]
SettleOption = Annotated[
    bool, typer.Option("--settle/--no-settle", help="Look again after release.settle until two looks agree.")
]


def detect(
    environment: EnvironmentOption,
    *,
    repo: RepositoryOption = ".",
    commit: CommitOption = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say of every tag why it was not elected, and which were pushed again."),
    ] = False,
    allow_downgrade: DowngradeOption = False,
    settle: SettleOption = True,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Is there work? Candidates, an unproven release, or none. Changes nothing."""
    from fairlead.pipeline.detect import detect as look  # noqa: PLC0415 - `--help` does not pay for it

    out = output(as_json=as_json, quiet=quiet)
    scope = open_scope(repo, environment, commit)
    detection = look(scope, allow_downgrade=allow_downgrade, settle=settle, recheck=explain)
    _print(out, detection, explain=explain)
    if quiet:  # for a shell; people have read it
        out.value(detection.answer.value)
    out.document(as_document(detection, explain=explain))
    if _waits(detection):
        raise typer.Exit(Waiting.exit_code)


def bump(
    environment: EnvironmentOption,
    *,
    repo: RepositoryOption = ".",
    run: RunOption = None,
    allow_downgrade: DowngradeOption = False,
    settle: SettleOption = True,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Commit and push what detect finds as one release; prints the commit to deploy, which may be one made before.

    Repeating it makes no second commit. Without an image to bump, the head is the commit to deploy where it is not
    proven; else nothing is printed.
    """
    from fairlead.pipeline import release  # noqa: PLC0415
    from fairlead.pipeline.detect import detect as look  # noqa: PLC0415

    out = output(as_json=as_json, quiet=quiet)
    scope = open_scope(repo, environment)
    if run and (earlier := release.made_by(scope, run)):
        return print_bump(out, environment, earlier)
    detection = look(scope, allow_downgrade=allow_downgrade, settle=settle)
    if not detection.changes:
        return _nothing_to_bump(out, detection)
    name = run or release.new_run(environment)
    return print_bump(out, environment, release.bump(scope, detection.changes, name))


def print_bump(out: Output, environment: str, bump: "Bump") -> None:
    """The commit that was made, and how to take it back."""
    made = "made earlier" if bump.already else f"pushed as {bump.commit[:9]}"
    titles = ", ".join(change.title for change in bump.changes) or "every pin is already there"
    out.done(f"{environment}: {titles} ({made})")
    for change in bump.changes:
        out.detail(f"{change.name}: {change.new}")
    if bump.advice:
        out.detail(bump.advice)
    if not bump.already:
        out.detail(f"undo: git revert {bump.commit[:9]}, then git push; nothing is deployed yet")
    out.value(bump.commit)
    out.document(
        {
            "version": 1,
            "environment": environment,
            "commit": bump.commit,
            "already": bump.already,
            "changes": changes_document(bump.changes),
        }
    )


def _nothing_to_bump(out: Output, detection: "Detection") -> None:
    """No image is new; the head may still have to be released."""
    from fairlead.pipeline.detect import Answer  # noqa: PLC0415

    say = out.waiting if detection.waits else out.done
    say(f"{detection.environment}: nothing to bump: {detection.reason}")
    commit = detection.commit if detection.answer is Answer.UNPROVEN else None
    if commit:
        out.value(commit)
    out.document({"version": 1, "environment": detection.environment, "commit": commit, "already": True, "changes": []})
    if _waits(detection):
        raise typer.Exit(Waiting.exit_code)


def _waits(detection: "Detection") -> bool:
    """Whether there is nothing else to do meanwhile, as `fairlead run` sees it."""
    from fairlead.pipeline.detect import Answer  # noqa: PLC0415

    return bool(detection.waits) and detection.answer is Answer.NONE


def _print(out: Output, detection: "Detection", *, explain: bool) -> None:
    if _waits(detection):
        out.waiting(f"{detection.environment}: {detection.answer}: {detection.reason}")
    else:
        out.done(f"{detection.environment}: {detection.answer}: {detection.reason}")
    for change in detection.changes:
        out.detail(f"{change.name}: {change.old or 'not pinned'} → {change.new}")
    for wait in detection.waits:
        out.waiting(str(wait))
    for sighting in detection.sightings:
        _print_sighting(out, sighting, explain=explain)


def sighting_notes(sighting: "Sighting") -> "Iterator[str]":
    """What a person should know of an image beside its election."""
    if sighting.error:
        yield f"could not be looked at: {sighting.error.what} ({sighting.error.code})"
    if sighting.repushed and sighting.pin:
        yield f"the tag {sighting.pin.tag} was pushed again as {sighting.repushed}; the pin stands"
    if sighting.lost:
        yield "the registry has lost the pinned image: no way back to it but by the copy on the machine"
    if sighting.same_content:
        yield f"{sighting.elected} is the same content as the pin"


def _print_sighting(out: Output, sighting: "Sighting", *, explain: bool) -> None:
    for note in sighting_notes(sighting):
        out.detail(f"{sighting.name}: {note}")
    if explain:
        elected = f"elected {sighting.elected.short}" if sighting.elected else f"elected nothing: {sighting.why}"
        out.detail(f"{sighting.name}: pinned {sighting.pin.short if sighting.pin else 'nothing'}, {elected}")
        for rejection in sighting.rejected:
            out.detail(f"  {rejection.tag}: {rejection.reason}")


def as_document(detection: "Detection", *, explain: bool) -> dict[str, Any]:
    """The JSON document of `detect`: docs/reference/json.md."""
    return {
        "version": 1,
        "environment": detection.environment,
        "commit": detection.commit,
        "answer": detection.answer.value,
        "reason": detection.reason,
        "candidates": changes_document(detection.changes),
        "waits": [{"key": wait.key, "what": wait.what, "since": wait.since} for wait in detection.waits],
        "images": [_sighting_document(sighting, explain=explain) for sighting in detection.sightings],
    }


def changes_document(changes: "Sequence[ImageChange]") -> list[dict[str, Any]]:
    """Changes of pins as JSON."""
    return [
        {
            "image": change.name,
            "old": str(change.old) if change.old else None,
            "new": str(change.new),
            "policy": change.policy,
            "source": change.source,
            "revision": change.revision,
        }
        for change in changes
    ]


def _sighting_document(sighting: "Sighting", *, explain: bool) -> dict[str, Any]:
    rejected = {"rejected": [{"tag": one.tag, "reason": one.reason} for one in sighting.rejected]} if explain else {}
    return {
        "image": sighting.name,
        "pinned": str(sighting.pin) if sighting.pin else None,
        "elected": str(sighting.elected) if sighting.elected else None,
        "notes": list(sighting_notes(sighting)),
        **rejected,
    }
