"""Files of the deployment repository that Fairlead itself keeps, beside pins: host keys, provider checksums.

Such a commit is no release: what it changes concerns no machine's application.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fairlead.deployment_repo.bump import PACE, Pace
from fairlead.deployment_repo.repository import Entry, Repository
from fairlead.errors import PushContended

Build = Callable[[Mapping[str, bytes | None]], Mapping[str, bytes]]


def amend(repository: Repository, paths: Sequence[str], build: Build, message: str, *, pace: Pace = PACE) -> str | None:
    """Push one commit that changes some of `paths`; its id, or None where nothing had to change.

    build: from the head's contents (None: no such file) to the new ones; called again after a lost race. Raises
    PushContended, and what Repository.fetch, commit and push raise.
    """
    for attempt in range(1, pace.tries + 1):
        repository.fetch()
        head = repository.head()
        present = dict(zip(paths, repository.entries(head, paths), strict=True))
        wanted = build({path: entry.content if entry else None for path, entry in present.items()})
        files = {
            path: replace(present[path] or Entry(b""), content=content)
            for path, content in wanted.items()
            if (present[path] or Entry(b"\0")).content != content
        }
        if not files:
            return None
        commit = repository.commit(head, files, message)
        if repository.push(commit, head):
            repository.fetch()
            repository.catch_up(commit)
            return commit
        pace.wait(attempt)
    raise PushContended(
        f"{repository.remote} took {pace.tries} other pushes to {repository.branch} first",
        why=f"{', '.join(paths)} could not be committed",
        remedy="Run the same command again",
    )
