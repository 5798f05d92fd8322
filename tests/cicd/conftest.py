"""One lab, one application and one operator for every orchestrator's tests, which run one after another."""

from collections.abc import Iterator

import pytest

from fairlead.lab.site import Lab
from tests.cicd.gitlab.server import GitLab
from tests.e2e.operator import Operator
from tests.fixtures.git import git
from tests.fixtures.git_https import serve_https
from tests.fixtures.lab import PREFIX, remove_abandoned, session_process

# Git's protocol carries push options to the server's hooks (githooks(5)); GitLab reads ci.skip there.
RECEIVED = '#!/bin/sh\nwhile read -r _ _ ref; do echo "$ref ${GIT_PUSH_OPTION_0-}"; done >> "$GIT_DIR/received"\n'


@pytest.fixture(scope="package")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator with a site, on which 1.0.0 is proven in staging."""
    root = tmp_path_factory.mktemp("operator")
    remove_abandoned()
    made = Operator(Lab(f"{PREFIX}{session_process()}-cicd", root / "state"), root)
    try:
        made.begin()
        yield made
    finally:
        made.lab.down()


@pytest.fixture
def shop(operator: Operator) -> Operator:
    """The operator, whose staging serves a good release that is proven."""
    operator.settle()
    return operator


@pytest.fixture(scope="package")
def gitlab(operator: Operator) -> Iterator[GitLab]:
    """The server speaks https and takes push options."""
    git(operator.remote, "config", "receive.advertisePushOptions", "true")
    hook = operator.remote / "hooks/post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(RECEIVED)
    hook.chmod(0o755)
    with serve_https(operator.remote.parent) as server:
        yield GitLab(operator, server, operator.remote, operator.root / "gitlab")
