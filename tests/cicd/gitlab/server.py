"""GitLab CI as far as it can be had here: gitlab-ci-local, pinned, runs the file's jobs in a real shell.

What it does not do, and GitLab does: it takes no lock for a resource_group, a child pipeline's failure is not the
parent's (so `Pipeline.failed` is read from what each job said), and it knows no protected variables.
"""

import fcntl
import functools
import hashlib
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from fairlead.config.directories import cache_directory
from tests.cicd.recorder import Recorder
from tests.e2e.operator import Operator
from tests.fixtures.git import git
from tests.fixtures.git_https import PASSWORD, USER, HttpsServer

PROGRAM = Path(__file__).parent / "program"
FILE = "deployment/cicd/gitlab-ci.yml"
_numbers = itertools.count(7001)  # of pipelines: GitLab gives none twice, and runs are named by them
LONGEST = 300  # seconds for one pipeline


@functools.cache
def gitlab_ci_local() -> Path:
    """The program, installed once for each state of its lock file and then kept in the user's cache."""
    inputs = sorted(path for path in PROGRAM.rglob("*") if path.is_file())
    version = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()[:12]
    cache = cache_directory()
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
    """One that has ended. text: all that its jobs said. place: the checkout that it ran in. number: its id."""

    text: str
    place: Path
    number: int

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
    """A project with the operator's deployment repository.

    server: takes no push but with the token. repository: where it is on the server. infrastructure: OpenTofu's
    variables.
    """

    operator: Operator
    server: HttpsServer
    repository: Path
    root: Path
    infrastructure: Mapping[str, str] = field(default_factory=dict)

    def pipeline(self, *words: str, source: str = "schedule", recorder: Recorder | None = None) -> Pipeline:
        """Run one to its end, in a checkout as a runner makes it: shallow, detached, without notes.

        source: GitLab's CI_PIPELINE_SOURCE. words: for gitlab-ci-local. recorder: told of what the jobs start.
        """
        number = next(_numbers)
        place = self._check_out(number)
        self._set_variables(number)
        with (
            subprocess.Popen(
                [
                    gitlab_ci_local(),
                    f"--file={FILE}",
                    f"--home={self.root}",
                    f"--variable=CI_PIPELINE_SOURCE={source}",
                    *words,
                ],
                cwd=place,
                env=self._shell(recorder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as child,
            recorder.watch(child.pid) if recorder else nullcontext(),
        ):
            stdout, stderr = child.communicate(timeout=LONGEST)
        assert "pipeline finished" in stderr, stdout + stderr
        return Pipeline(stdout + stderr, place, number)

    def _check_out(self, number: int) -> Path:
        self.root.mkdir(exist_ok=True)
        place = self.root / f"builds-{number}"
        git(self.root, "clone", "--quiet", "--depth", "1", "--no-tags", self.repository.as_uri(), str(place))
        git(place, "checkout", "--quiet", "--detach")
        address = self.server.url.replace("https://", "https://gitlab-ci-token:a-tokens-own@")
        git(place, "remote", "set-url", "origin", f"{address}/{self.repository.name}")
        return place

    def _set_variables(self, number: int) -> None:
        """What a GitLab server knows and a project's owner sets, which beats the file: here, shorter waits."""
        known = {
            "CI_COMMIT_BRANCH": "main",
            "CI_DEFAULT_BRANCH": "main",
            "CI_PIPELINE_ID": str(number),
            "CI_JOB_URL": "https://gitlab.example.com/shop/deployment/-/jobs/7",
            "CI_SERVER_HOST": "gitlab.example.com",
            "GITLAB_CI": "true",
            "HEALTH_CHECK_RETRIES": "2",
            "HEALTH_CHECK_DELAY": "1",
        }
        values = {**known, **self.secrets}
        settings = self.root / ".gitlab-ci-local/variables.yml"
        settings.parent.mkdir(exist_ok=True)
        escaped = {name: value.replace("$", "$$") for name, value in values.items()}  # as on GitLab's own page
        settings.write_text(json.dumps({"global": escaped}))  # JSON is YAML

    @property
    def secrets(self) -> dict[str, str]:
        """The project's protected, masked variables."""
        keys = {
            f"FAIRLEAD_CONTROL_SSH_KEY_{name.upper()}": machine.ssh_key.read_text()
            for name, machine in self.operator.site.machines.items()
        }
        application = {f"FAIRLEAD_APPLICATION_{name.upper()}": value for name, value in self.operator.secrets.items()}
        token = {"FAIRLEAD_CONTROL_GIT_USERNAME": USER, "FAIRLEAD_CONTROL_GIT_TOKEN": PASSWORD}
        return {**self.infrastructure, **keys, **application, **token}

    def _shell(self, recorder: Recorder | None) -> dict[str, str]:
        """The environment of the runner's own shell, which knows no secret."""
        shell = {name: value for name, value in self.operator.variables.items() if name != "FAIRLEAD_SECRETS_DIR"}
        own = {
            "FAIRLEAD_STATE_DIR": str(self.root / "state"),
            "XDG_CACHE_HOME": str(cache_directory().parent),
            "GIT_SSL_CAINFO": str(self.server.ca),
            "FORCE_COLOR": "0",
        }
        return {**shell, **own, **({"PATH": recorder.wrapped_path} if recorder else {})}
