"""A GitLab project of the operator's deployment repository."""

from collections.abc import Iterator

import pytest

from tests.cicd.gitlab.server import GitLab
from tests.e2e.operator import Operator
from tests.fixtures.git import git
from tests.fixtures.git_https import serve_https

# Git's protocol carries push options to the server's hooks (githooks(5)); GitLab reads ci.skip there.
RECEIVED = '#!/bin/sh\nwhile read -r _ _ ref; do echo "$ref ${GIT_PUSH_OPTION_0-}"; done >> "$GIT_DIR/received"\n'


@pytest.fixture(scope="session")
def gitlab(operator: Operator) -> Iterator[GitLab]:
    """The server speaks https and takes push options."""
    git(operator.remote, "config", "receive.advertisePushOptions", "true")
    hook = operator.remote / "hooks/post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(RECEIVED)
    hook.chmod(0o755)
    with serve_https(operator.remote.parent) as server:
        yield GitLab(operator, server, operator.remote, operator.root / "gitlab")
