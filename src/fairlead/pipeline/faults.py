"""Errors as the results of steps, and what the end of a run is for whoever started it."""

from collections.abc import Callable

from fairlead.errors import FairleadError, ReleaseFailed, RolledBack, Superseded
from fairlead.pipeline.stages import Said


def written(error: FairleadError, mask: Callable[[str], str]) -> Said:
    """An error as JSON, without secrets."""
    parts = {"what": error.what, "why": error.why, "remedy": error.remedy}
    return {"code": error.code, **{name: mask(text) for name, text in parts.items()}}


def error_of(said: Said) -> FairleadError:
    """The error that was written: of the same class, so with the same exit code."""
    kind = next(kind for kind in _kinds(FairleadError) if kind.code == said["code"])
    return kind(said["what"], why=said["why"], remedy=said["remedy"])


def end_of(error: FairleadError) -> str:
    """failed: the release's own fault. superseded: look again. stopped: anything else, the pins stand."""
    if isinstance(error, ReleaseFailed):
        return "failed"
    return "superseded" if isinstance(error, Superseded) else "stopped"


def ending(environment: str, said: Said) -> FairleadError | None:
    """The error that a run's result is; None for one that is proven, and for one that a newer release overtook."""
    match said["end"]:
        case "proven" | "superseded":
            return None
        case "rolled_back":
            return _rolled_back(environment, said)
        case "lost":
            return _lost(environment, said)
        case _ if "failed" in said:
            return _not_returned(said)
        case _:
            return error_of(said["error"])


def _rolled_back(environment: str, said: Said) -> RolledBack:
    failed = said["failed"]["error"]
    return RolledBack(
        f"{environment}: {said['failed']['commit'][:9]} failed; the release of {said['to'][:9]} is proven again",
        why="\n".join(filter(None, (failed["what"], failed["why"]))),
        remedy="Push a mended image. What failed is in deployment/quarantine.yml; deleting its line lets it be tried "
        "again. Data that the failed release wrote (databases, volumes) was not taken back",
    )


def _lost(environment: str, said: Said) -> ReleaseFailed:
    failed, back = said["failed"]["error"], said["error"]
    return ReleaseFailed(
        f"{environment}: {said['failed']['commit'][:9]} failed, and so did the return to {said['to'][:9]}",
        why="\n".join(filter(None, (failed["what"], back["what"], back["why"]))),
        remedy=f"Nothing more is tried. Look at the machine, then: fairlead run -e {environment}",
    )


def _not_returned(said: Said) -> FairleadError:
    """There was no way back, or it was not gone to its end: the error of the way back, with why it was begun."""
    error, failed = error_of(said["error"]), said["failed"]["error"]
    why = "\n".join(filter(None, (failed["what"], failed["why"], error.why)))
    return type(error)(error.what, why=why, remedy=error.remedy)


def _kinds(kind: type[FairleadError]) -> list[type[FairleadError]]:
    return [found for child in kind.__subclasses__() for found in (child, *_kinds(child))]
