"""What each orchestrator adds to a release and to an idle look: whole runs, on one lab machine, one after the other.

- nothing to do: the head is proven, and no newer image is there. Floor: `fairlead bump` alone.
- push to proof: a new backend is in the registry. Floor: the four stage commands in a shell.

GitLab and Jenkins are the tests' stand-ins: gitlab-ci-local with a real shell, and a Groovy harness on a JVM.
A GitLab server adds the start of a runner for each job, Jenkins what its queue takes.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure, alternate, arguments, show, timed
from benchmarks.site import say
from fairlead.lab.site import Lab
from tests.cicd.gitlab.server import GitLab
from tests.cicd.jenkins.server import classpath, server_for
from tests.e2e.operator import Operator
from tests.fixtures.git import git
from tests.fixtures.git_https import serve_https

STAGES = """\
set -eu
FAIRLEAD_COMMIT=$(fairlead bump --quiet)
[ -n "$FAIRLEAD_COMMIT" ] || exit 0
VM_IP=$(fairlead provision --quiet)
export FAIRLEAD_COMMIT VM_IP
fairlead deploy
fairlead verify
"""
FLOOR = "the stage commands in a shell"


def contenders(operator: Operator, gitlab: GitLab) -> dict[str, Callable[[], None]]:
    """Each looks, and releases where there is something new."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fairlead-tests", "jenkins")
    jenkins = server_for(operator, classpath(cache), operator.root / "jenkins")
    script = operator.root / "release.sh"
    script.write_text(STAGES)

    def stages() -> None:
        words = ["sh", str(script)]
        variables = {**operator.variables, "ENVIRONMENT": "staging"}
        subprocess.run(words, cwd=operator.checkout, env=variables, check=True, capture_output=True)

    def run() -> None:
        require(operator.run().code == 0, "fairlead run")

    def pipeline() -> None:
        require(not gitlab.pipeline().failed, "GitLab's pipeline")

    def build() -> None:
        require(jenkins.build().result == "SUCCESS", "Jenkins's build")

    return {FLOOR: stages, "fairlead run": run, "GitLab CI": pipeline, "Jenkins": build}


def require(passed: object, name: str) -> None:
    if not passed:
        raise SystemExit(f"{name} failed; nothing is measured")


def measured(operator: Operator, every: dict[str, Callable[[], None]], rounds: int) -> list[Figure]:
    """Idle looks, then releases; the contenders in turn."""
    say("nothing to do")
    idle = alternate(every, rounds=rounds)
    taken: dict[str, list[float]] = {name: [] for name in every}
    for number in range(rounds):
        for name, release in every.items():
            operator.push()
            say(f"round {number + 1}: a release by {name}")
            taken[name].append(timed(release))
    return [
        Figure(f"{what}: {name}", "s", seconds[name], seconds[FLOOR])
        for what, seconds in (("nothing to do", idle), ("push to proof", taken))
        for name in every
        if name != FLOOR
    ]


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__, rounds=3).parse_args()
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as directory:
        root = Path(directory)
        operator = Operator(Lab(f"bench-cicd-{os.getpid()}", root / "state"), root)
        try:
            operator.begin()
            git(operator.remote, "config", "receive.advertisePushOptions", "true")
            with serve_https(operator.remote.parent) as server:
                gitlab = GitLab(operator, server, operator.remote, root / "gitlab")
                figures = measured(operator, contenders(operator, gitlab), given.rounds)
        finally:
            operator.lab.down()
    show(figures, as_json=given.json)


if __name__ == "__main__":
    main()
