"""`fairlead doctor`: does everything that this repository needs work, and how to mend what does not."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.context import output, variables
from fairlead.cli.options import JsonOption
from fairlead.cli.output import Output

if TYPE_CHECKING:
    from fairlead.pipeline.doctor.fact import Fact


def doctor(
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", envvar="ENVIRONMENT", help="One environment only.")
    ] = None,
    *,
    repo: Annotated[Path, typer.Option("--repo", help="The deployment repository's checkout.")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Check every tool, credential and endpoint that this repository needs, and say how to mend each.

    Changes nothing. Exit codes: 0 all is well, 1 something is not, 2 the configuration cannot be used.
    """
    from fairlead.pipeline.doctor.examination import examine  # noqa: PLC0415 - `--help` does not pay for it
    from fairlead.pipeline.doctor.fact import exit_code  # noqa: PLC0415

    out = output(as_json=as_json)
    facts: list[Fact] = []
    for fact in examine(repo, environment, variables()):
        facts.append(fact)
        _print(out, fact)
    broken = sum(not fact.ok for fact in facts)
    out.detail(f"{broken} of {len(facts)} facts do not hold" if broken else f"all {len(facts)} facts hold")
    out.document({"version": 1, "facts": [fact.as_json() for fact in facts]})
    if code := exit_code(facts):
        raise typer.Exit(code)


def _print(out: Output, fact: "Fact") -> None:
    """One line per fact; what does not hold, or not well, has its remedy on the next."""
    show = out.failed if not fact.ok else out.waiting if fact.is_warning else out.done
    show(": ".join(filter(None, (fact.fact, fact.detail))))
    if fact.remedy:
        out.detail(f"→ {fact.remedy}")
