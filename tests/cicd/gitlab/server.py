"""GitLab CI as far as it can be had here: gitlab-ci-local, pinned, runs the file's jobs in a real shell.

What it does not do, and GitLab does: it takes no lock for a resource_group, a child pipeline's failure is not the
parent's (so `Pipeline.failed` is read from what each job said), and it knows no protected variables.
"""

import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.operator import Operator
from tests.fixtures.git import git
from tests.fixtures.git_https import PASSWORD, USER, HttpsServer

PROGRAM = Path(__file__).parent / "program"
FILE = "deployment/cicd/gitlab-ci.yml"
LONGEST = 300  # seconds for one pipeline


@functools.cache
def gitlab_ci_local() -> Path:
    """The program, installed once for each state of its lock file and then kept in the user's cache."""
    inputs = sorted(path for path in PROGRAM.rglob("*") if path.is_file())
    version = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead"
    place = cache / f"gitlab-ci-local-{version}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "gitlab-ci-local.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "installed").exists():
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(PROGRAM, place)
            words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            (place / "installed").touch()
    return place / "node_modules/.bin/gitlab-ci-local"


@dataclass(frozen=True)
class Pipeline:
    """One that has ended. text: all that its jobs said. place: the checkout that it ran in."""

    text: str
    place: Path

    @property
    def passed(self) -> list[str]:
        """The jobs that passed, of the child pipelines too, in the order of their end."""
        return self._ended("PASS")

    @property
    def failed(self) -> list[str]:
        """The jobs that failed."""
        return self._ended("FAIL")

    def _ended(self, how: str) -> list[str]:
        return re.findall(rf"^ {how}  (?:\[.*\] -> )?(\S+)", self.text, re.MULTILINE)

    def code(self, job: str) -> int:
        """How a failed job's script ended."""
        found = re.search(rf"{re.escape(job)} +finished in .* FAIL (\d+)", self.text)
        assert found, self.text
        return int(found[1])

    def artifact(self, job: str, name: str) -> str:
        """A file that a job kept."""
        return (self.place / ".gitlab-ci-local/artifacts" / job / name).read_text()


@dataclass
class GitLab:
    """A project with the operator's deployment repository. variables: its own, beside what every shell has.

    server: takes no push but with the token. repository: where it is on the server.
    """

    operator: Operator
    server: HttpsServer
    repository: Path
    root: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    pipelines: int = 0

    def pipeline(self, *words: str, source: str = "schedule") -> Pipeline:
        """Run one to its end, in a checkout as a runner makes it: shallow, detached, without notes.

        source: GitLab's CI_PIPELINE_SOURCE. words: for gitlab-ci-local.
        """
        self.pipelines += 1
        place = self._check_out()
        self._set_variables()
        done = subprocess.run(
            [
                gitlab_ci_local(),
                f"--file={FILE}",
                f"--home={self.root}",
                f"--variable=CI_PIPELINE_SOURCE={source}",
                *words,
            ],
            cwd=place,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )
        assert "pipeline finished" in done.stderr, done.stdout + done.stderr
        return Pipeline(done.stdout + done.stderr, place)

    def _check_out(self) -> Path:
        self.root.mkdir(exist_ok=True)
        place = self.root / f"builds-{self.pipelines}"
        git(self.root, "clone", "--quiet", "--depth", "1", "--no-tags", self.repository.as_uri(), str(place))
        git(place, "checkout", "--quiet", "--detach")
        address = self.server.url.replace("https://", "https://gitlab-ci-token:a-tokens-own@")
        git(place, "remote", "set-url", "origin", f"{address}/{self.repository.name}")
        return place

    def _set_variables(self) -> None:
        """What a GitLab server knows, and the shorter waits of the tests: a project's variables beat the file's."""
        known = {
            "CI_COMMIT_BRANCH": "main",
            "CI_DEFAULT_BRANCH": "main",
            "CI_PIPELINE_ID": str(7000 + self.pipelines),
            "CI_JOB_URL": "https://gitlab.example.com/shop/deployment/-/jobs/7",
            "CI_SERVER_HOST": "gitlab.example.com",
            "GITLAB_CI": "true",
            "HEALTH_CHECK_RETRIES": "2",
            "HEALTH_CHECK_DELAY": "1",
        }
        settings = self.root / ".gitlab-ci-local/variables.yml"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(json.dumps({"global": known}))  # JSON is YAML

    def _environment(self) -> dict[str, str]:
        """Of a job's shell: the machine's, and secrets as GitLab gives them, as variables.

        They reach the jobs without gitlab-ci-local's own expansion of what looks like a variable in a value.
        """
        operator = self.operator
        shell = {name: value for name, value in operator.variables.items() if name != "FAIRLEAD_SECRETS_DIR"}
        keys = {
            f"FAIRLEAD_CONTROL_SSH_KEY_{name.upper()}": machine.ssh_key.read_text()
            for name, machine in operator.site.machines.items()
        }
        application = {f"FAIRLEAD_APPLICATION_{name.upper()}": value for name, value in operator.secrets.items()}
        token = {
            "FAIRLEAD_CONTROL_GIT_USERNAME": USER,
            "FAIRLEAD_CONTROL_GIT_TOKEN": PASSWORD,
            "GIT_SSL_CAINFO": str(self.server.ca),
        }
        state = {"FAIRLEAD_STATE_DIR": str(self.root / "state"), "FORCE_COLOR": "0"}
        return {**shell, **keys, **application, **token, **state, **self.variables}
