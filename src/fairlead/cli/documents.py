"""What the stage commands print with `--json`: a contract for orchestrators, each with its version.

A key that goes or changes its meaning raises the version of its document; a new key may come at any time.
"""

from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from fairlead.errors import UsageError


class Change(TypedDict):
    """One image's pin. image: the Ansible variable. old: None where it was not pinned. source, revision: its labels."""

    image: str
    old: str | None
    new: str
    policy: str
    source: str | None
    revision: str | None


class Wait(TypedDict):
    """What has to happen first. key: the setting that asks for it."""

    key: str
    what: str
    since: str | None


class Rejection(TypedDict):
    """A tag that was not elected, and why."""

    tag: str
    reason: str


class _Looked(TypedDict):
    image: str
    pinned: str | None
    elected: str | None
    notes: list[str]


class Look(_Looked, total=False):
    """What was seen of one image. rejected: with --explain."""

    rejected: list[Rejection]


class Detect(TypedDict):
    """`fairlead detect`. commit: the head that was looked at. answer: whether there is work, and which."""

    version: Literal[1]
    environment: str
    commit: str
    answer: Literal["candidates", "unproven", "none"]
    reason: str
    candidates: list[Change]
    waits: list[Wait]
    images: list[Look]


class Bump(TypedDict):
    """`fairlead bump`, `fairlead promote`. commit: None where there is no work. already: not made now."""

    version: Literal[1]
    environment: str
    commit: str | None
    already: bool
    changes: list[Change]


class Provision(TypedDict):
    """`fairlead provision`. vm_ip: "" where a plan finds no machine yet. skipped: why nothing was planned."""

    version: Literal[1]
    environment: str
    plan: bool
    vm_ip: str
    changed: bool
    skipped: str | None
    changes: list[str]


class ServiceChange(TypedDict):
    """What happened to one service. old, new: images."""

    service: str
    action: str
    old: str | None
    new: str | None


class Deploy(TypedDict):
    """`fairlead deploy`. timings: seconds of each phase."""

    version: Literal[1]
    environment: str
    commit: str
    vm_ip: str
    dry_run: bool
    outcome: Literal["deployed", "unchanged"]
    changes: list[ServiceChange]
    timings: dict[str, float]


class Check(TypedDict):
    """One check of a verification. detail: in words. latency_ms: of its last attempt."""

    name: str
    passed: bool
    detail: str
    attempts: int
    latency_ms: float


class Proof(TypedDict):
    """A proof, as it stands in the commit's note."""

    version: Literal[1]
    environment: str
    run: str
    commit: str
    digests: dict[str, str]
    checks: list[str]
    started: str
    finished: str
    by: str


class Verify(TypedDict):
    """`fairlead verify`."""

    version: Literal[1]
    environment: str
    commit: str
    vm_ip: str
    checks: list[Check]
    proof: Proof


class Rollback(TypedDict):
    """`fairlead rollback`. commit: the one that was made. to: the release that is back. quarantined: with --failed."""

    version: Literal[1]
    environment: str
    commit: str
    to: str
    quarantined: bool
    changes: list[Change]


class Run(TypedDict):
    """`fairlead run`. run: "" where nothing was to do."""

    version: Literal[1]
    environment: str
    run: str
    commit: str
    outcome: Literal["none", "proven"]
    reason: str


class Problem(TypedDict):
    """An error, RFC 9457. code: stable. retryable: whether the same call may succeed later without any change."""

    type: str
    title: str
    detail: str
    remedy: str
    code: str
    retryable: bool


class Failure(TypedDict):
    """Any command that failed."""

    version: Literal[1]
    error: Problem
    exit_code: int


DOCUMENTS: dict[str, type] = {
    "detect": Detect,
    "bump": Bump,
    "promote": Bump,
    "provision": Provision,
    "deploy": Deploy,
    "verify": Verify,
    "rollback": Rollback,
    "run": Run,
    "error": Failure,
}


def document_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a command's document; `error`: of any command that failed. Raises UsageError."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - `--help` does not pay for it

    if name not in DOCUMENTS:
        raise UsageError(
            f"No schema is kept of {name!r}", remedy=f"fairlead schema --json-of one of: {', '.join(DOCUMENTS)}"
        )
    return TypeAdapter(DOCUMENTS[name]).json_schema()
