"""Makes releases: the commits that bump, promote and roll back. Each is one commit, however often it is repeated."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from fairlead.deployment_repo import bump as commits
from fairlead.deployment_repo.bump import PACE, Bump, Pace
from fairlead.deployment_repo.message import ImageChange, ReleaseMessage
from fairlead.deployment_repo.proofs import Proof, Proofs
from fairlead.deployment_repo.quarantine import is_quarantined
from fairlead.errors import ReleaseFailed, Superseded, Waiting
from fairlead.pipeline.detect import changed_since, promoted_changes, quarantined
from fairlead.pipeline.gates import gates, require
from fairlead.pipeline.scope import Scope


def new_run(environment: str, now: datetime | None = None) -> str:
    """A name for a run: the environment, the time, four random digits."""
    return f"{environment}-{now or datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def made_by(scope: Scope, run: str) -> Bump | None:
    """What a run made already, by its commit's trailer."""
    return commits.made_by(scope.repository, scope.environment, run)


def bump(scope: Scope, changes: Sequence[ImageChange], run: str, *, pace: Pace = PACE) -> Bump:
    """Commit and push the changes as one release. Raises what deployment_repo.bump.bump raises."""
    return commits.bump(scope.repository, scope.environment, changes, run, pace=pace)


def promote(scope: Scope, source: str, run: str, now: datetime, *, pace: Pace = PACE) -> Bump:
    """Pin what `source` has proven last: the same digests, one commit.

    Raises Waiting, which names the setting, where nothing is proven in `source` or soak, approval or freeze stand in
    the way; and what deployment_repo.bump.promote raises.
    """
    proof = Proofs(scope.repository).last_proven(source)
    if proof is None:
        raise Waiting(
            f"Nothing is proven in {source} yet",
            why="Only what another environment has proven is promoted",
            remedy=f"fairlead run -e {source}",
        )
    if promoted_changes(scope, source, proof):
        waits = gates(scope.environment, scope.settings, proof.finished, now)
        require(waits, f"The promotion of {proof.commit[:9]} from {source} to {scope.environment}")
    return commits.promote(scope.repository, source, scope.environment, proof.commit, run, pace=pace)


def roll_back(
    scope: Scope, failed: str, to: str, run: str, reason: str, *, quarantine_on: str | None = None, pace: Pace = PACE
) -> Bump:
    """Return from the release of the commit `failed` to that of `to`, in one commit that tells the reason.

    quarantine_on: the day under which the images that failed are quarantined in the same commit. Raises ReleaseFailed
    where the two are the same release, and what deployment_repo.bump.rollback raises.
    """
    made = commits.rollback(
        scope.repository, scope.environment, to, failed, run, reason=reason, quarantine_on=quarantine_on, pace=pace
    )
    if not made.changes and not made.message.restored:
        raise ReleaseFailed(
            f"{scope.environment}: {failed[:9]} and {to[:9]} have the same pins and deployment code",
            why="There is nothing that a rollback could change",
            remedy=f"fairlead run -e {scope.environment}, or push a mended image",
        )
    return made


def require_newest(scope: Scope) -> None:
    """Fetch, and look whether a newer release of the environment is on the branch.

    Raises Superseded, which says whose it is; what is wrong with an older one by then is no verdict about it.
    """
    repository = scope.repository
    repository.fetch()
    head = scope.at(repository.head())
    if head.commit != scope.commit and (paths := changed_since(head, scope.commit)):
        raise Superseded(
            f"{scope.environment}: {scope.commit[:9]} is not the newest release any more",
            why=f"{paths[0]} was changed{_by(scope)}; {head.commit[:9]}, the branch's head, contains it",
            remedy=f"fairlead run -e {scope.environment}",
        )


def _by(scope: Scope) -> str:
    """Who made the newest release of the environment after the scope's commit, where a trailer tells."""
    for commit in scope.repository.recent():
        if commit.id == scope.commit:
            break
        message = ReleaseMessage.parse(commit.message)
        if message and message.environment == scope.environment:
            return f" by the run {message.run} ({commit.id[:9]})"
    return ""


def last_proven(scope: Scope, before: str) -> Proof:
    """The newest proven release before a commit whose images are not quarantined. Raises ReleaseFailed: no way back."""
    proofs, held = Proofs(scope.repository), quarantined(scope)
    proof = proofs.last_proven(scope.environment, before=before)
    while proof and any(is_quarantined(held, scope.environment, pin) for pin in scope.pins_at(proof.commit).values()):
        proof = proofs.last_proven(scope.environment, before=proof.commit)
    if proof is None:
        raise ReleaseFailed(
            f"No release before {before[:9]} is proven in {scope.environment}",
            why="There is nothing to roll back to; what runs now stays",
            remedy="Push a mended image, then: fairlead run",
        )
    return proof
