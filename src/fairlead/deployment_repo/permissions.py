"""What this account may do with the deployment repository, tried without changing it."""

from fairlead.deployment_repo.git import commit_id, remote_failure
from fairlead.deployment_repo.repository import Repository


def try_push(repository: Repository, commit: str, ref: str) -> None:
    """Ask the remote whether `ref` could be pushed. Raises RemoteDenied, RemoteUnreachable, NotARepository.

    The server checks the credentials and the right to push; its hooks and a branch's protection it asks only in a
    real push.
    """
    completed = repository.git.talk(*dry_push_argv(repository.remote, commit, ref))
    if completed.exit_code:
        raise remote_failure("push --dry-run", repository.remote, completed)


def dry_push_argv(remote: str, commit: str, ref: str) -> list[str]:
    """A push that sends nothing. Forced, so that a branch that moved meanwhile is no refusal."""
    return ["push", "--dry-run", "--force", "--porcelain", "--no-verify", "--", remote, f"{commit_id(commit)}:{ref}"]


def try_commit(repository: Repository, parent: str) -> str:
    """Make a commit that nothing refers to, signed where git is to sign. Returns who commits.

    Raises IdentityMissing, SigningFailed.
    """
    made = repository.commit(parent, {}, "Try whether commits can be made\n")
    return repository.git.run("show", "--no-patch", "--format=%cn <%ce>", made).stdout.strip()
