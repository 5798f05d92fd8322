"""What `fairlead provision` does. Which options it has is said in rollout.py, for typer, and in early.py, without."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.cli.context import open_scope, output

if TYPE_CHECKING:
    from fairlead.provision.ahead import HeadStart
    from fairlead.provision.base import Machine


@dataclass(frozen=True)
class Asked:
    """The command's options, by their names in Python."""

    environment: str
    repo: str = "."
    commit: str | None = None
    vm_ip: str | None = None
    plan: bool = False
    refresh: bool = False
    allow_replace: str = ""
    run: str | None = None
    quiet: bool = False
    as_json: bool = False


def provision(asked: Asked, begun: "HeadStart | None" = None) -> None:
    """Make sure that the environment's machine exists; prints its address. begun: what was begun for it already."""
    from fairlead.pipeline import machines  # noqa: PLC0415 - `--help` does not pay for it
    from fairlead.provision import ahead  # noqa: PLC0415

    out = output(as_json=asked.as_json, quiet=asked.quiet)
    begun = begun or ahead.NONE
    wish = machines.Wish(asked.vm_ip, asked.run or "", asked.plan, asked.refresh, asked.allow_replace, begun)
    scope = open_scope(asked.repo, asked.environment, asked.commit, known=begun.known)
    machine = machines.provision(scope, wish)
    ahead.remember(scope.variables.state, asked.repo, scope.brief, asked.environment)
    out.done(f"{asked.environment}: {_sentence(machine, plan=asked.plan)}")
    for change in machine.changes:
        out.detail(change)
    if machine.changed and not asked.plan:
        out.detail("undo: revert the commit and provision again; what was on a destroyed machine's disk is lost")
    out.value(machine.vm_ip)
    facts = {"vm_ip": machine.vm_ip, "changed": machine.changed, "changes": list(machine.changes)}
    facts |= {"skipped": machine.skipped or None}
    out.document({"version": 1, "environment": asked.environment, "plan": asked.plan, **facts})


def _sentence(machine: "Machine", *, plan: bool) -> str:
    if machine.changed:
        where = f"the machine {machine.vm_ip}" if machine.vm_ip else "there is no machine yet: it"
        return f"{where} would be changed" if plan else f"{where} is ready"
    return f"the machine {machine.vm_ip} is as it should be{f': {machine.skipped}' if machine.skipped else ''}"
