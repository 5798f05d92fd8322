"""What stands for a Jenkins server: one pipeline, its credentials, one agent. It plays the repository's own file.

Not Jenkins: a harness (harness/*.groovy) that has the declarative constructs which the shipped file uses, and refuses
any other. Groovy is the version that Jenkins itself has.
"""

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.config.directories import cache_directory
from fairlead.lab.semaphore import Semaphore
from tests.cicd.recorder import Recorder
from tests.e2e.operator import Operator

GROOVY = "org.codehaus.groovy:groovy-all:2.4.21"  # of jenkins-core
GROOVY_SHA256 = "de65260cf2070442e99882f2f3d72e7531725c1e6a257446cc0cea525c607bd0"
HARNESS = Path(__file__).parent / "harness"
SCRIPT = "deployment/cicd/Jenkinsfile"
INFRASTRUCTURE = {
    "proxmox-url": "TF_VAR_proxmox_endpoint",
    "proxmox-api-token": "TF_VAR_proxmox_api_token",
    "pg-conn-str": "PG_CONN_STR",
}
UNUSED = "not-used-here"  # a credential that the file names and the site has no use for
LONGEST = 300  # seconds for one build
# Groovy 2.4 is older than Java's modules; the first option starts quicker.
_JAVA = (
    "java",
    "-XX:TieredStopAtLevel=1",
    "-Xmx256m",
    *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.lang", "java.util", "java.io", "sun.nio.fs")),
)


@dataclass(frozen=True)
class Build:
    """How a build ended, as its page shows it. stages: name to status. declared: what the file asks Jenkins for."""

    result: str
    description: str | None
    stages: Mapping[str, str]
    tests: Mapping[str, bool]
    archived: Mapping[str, str]
    declared: Mapping[str, Any]
    log: str

    def __str__(self) -> str:
        return f"{self.result}: {self.description}\n{dict(self.stages)}\n{self.log}"


@dataclass
class Jenkins:
    """root: a private directory. remote: the deployment repository. agent: the environment of the agent's programs.

    credentials: id to {kind: text | login | file | key, value, user}.
    """

    root: Path
    remote: str
    agent: Mapping[str, str]
    credentials: Mapping[str, Mapping[str, str]]
    classpath: str
    number: int = 0
    branch: str = "main"

    def build(self, *, recorder: Recorder | None = None, **parameters: str | bool) -> Build:
        """Build to the end. recorder: told of everything that the stages start."""
        started = self.start(path=recorder.wrapped_path if recorder else self.agent["PATH"], **parameters)
        with recorder.watch(started.child.pid) if recorder else nullcontext():
            return self.finish(started)

    def start(self, *, path: str = "", **parameters: str | bool) -> "Started":
        """Press "Build with Parameters". path: instead of the agent's own PATH."""
        self.number += 1
        home = self.root / str(self.number)
        home.mkdir(parents=True)
        given = {
            "number": self.number,
            "job": "shop",
            "remote": self.remote,
            "branch": self.branch,
            "script": SCRIPT,
            "workspace": str(self.root / "workspace"),
            "environment": {**self.agent, **({"PATH": path} if path else {})},
            "credentials": {name: dict(value) for name, value in self.credentials.items()},
            "parameters": parameters,
            **{name: str(home / name) for name in ("log", "abort", "archive")},
        }
        request = home / "request.json"
        request.touch(mode=0o600)
        request.write_text(json.dumps(given))
        words = [*_JAVA, "-cp", self.classpath, "Main", str(request), str(home / "build.json")]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return Started(home, child)

    def finish(self, started: "Started") -> Build:
        """Wait for a build's end."""
        try:
            said, _ = started.child.communicate(timeout=LONGEST)
        finally:
            started.child.kill()
        assert started.child.returncode == 0, said
        told = json.loads((started.home / "build.json").read_text())
        archive = started.home / "archive"
        return Build(
            result=told["result"],
            description=told["description"],
            stages={row["name"]: row["status"] for row in told["stages"]},
            tests={case["name"]: case["passed"] for case in told["tests"]},
            archived={name: (archive / name).read_text() for name in told["archived"]},
            declared=told["declared"],
            log=(started.home / "log").read_text(),
        )

    def wait_for_agent(self) -> None:
        """Until no program of the agent runs: after an abort, Jenkins does not wait for those that end in order."""
        mark = f"HOME={self.agent['HOME']}\0".encode()
        deadline = time.monotonic() + LONGEST
        while any(mark in _variables(process) for process in Path("/proc").glob("[0-9]*")):
            assert time.monotonic() < deadline, "a program of the agent does not end"
            time.sleep(0.1)


def _variables(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


@dataclass(frozen=True)
class Started:
    """A build that runs."""

    home: Path
    child: "subprocess.Popen[str]"

    def wait_for(self, text: str) -> None:
        """Until the log says something."""
        log = self.home / "log"
        while not (log.exists() and text in log.read_text()):
            assert self.child.poll() is None, f"it ended before: {log.read_text()}"
            time.sleep(0.05)

    def wait_until(self, true: Callable[[], object], what: str) -> None:
        """Until a condition holds."""
        while not true():
            assert self.child.poll() is None, f"it ended before {what}: {(self.home / 'log').read_text()}"
            time.sleep(0.05)

    def abort(self) -> None:
        """Press the red button."""
        (self.home / "abort").touch()


def server_for(
    operator: Operator,
    library: str,
    root: Path,
    infrastructure: Mapping[str, str] | None = None,
    semaphore: Semaphore | None = None,
) -> Jenkins:
    """A pipeline for an operator's repository, with the credentials that its Jenkinsfile names.

    infrastructure: OpenTofu's variables, where it makes the machines. semaphore: where it deploys.

    The agent is as the shipped image: git has an identity there, and only waits are made shorter.
    """
    home, given = root / "home", infrastructure or {}
    home.mkdir(parents=True)
    (home / ".gitconfig").write_text("[user]\n\tname = Fairlead\n\temail = fairlead@example.com\n")
    agent = {
        "PATH": operator.variables["PATH"],
        "LC_ALL": "C.UTF-8",
        "HOME": str(home),
        "FAIRLEAD_STATE_DIR": str(home / "state"),
        "XDG_CACHE_HOME": str(cache_directory().parent),  # where OpenTofu was built
        **{name: given[name] for name in ("SSL_CERT_FILE",) if name in given},
        **({"SEMAPHORE_URL": semaphore.url} if semaphore else {}),
    }
    key = (operator.site.secrets / "control" / "ssh_key_staging").read_text()
    credentials = {
        "semaphore-api-token": {"kind": "text", "value": semaphore.token_file.read_text() if semaphore else UNUSED},
        "git-push-token": {"kind": "text", "value": f"{operator.core}-git"},
        "deploy-ssh-key": {"kind": "key", "user": "deploy", "value": key},
        **{name.replace("_", "-"): {"kind": "text", "value": value} for name, value in operator.secrets.items()},
        **{name: {"kind": "text", "value": given.get(variable, UNUSED)} for name, variable in INFRASTRUCTURE.items()},
    }
    return Jenkins(root, operator.remote.as_uri(), agent, credentials, library)


def classpath(cache: Path) -> str:
    """Groovy and the compiled harness; fetched with Maven and compiled where the cache has neither."""
    library = _groovy(cache)
    sources = sorted(HARNESS.glob("*.groovy"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    classes = cache / f"harness-{digest}"
    if not classes.is_dir():
        draft = cache / f"draft-{os.getpid()}"
        compiler = [*_JAVA, "-cp", str(library), "org.codehaus.groovy.tools.FileSystemCompiler", "-d", str(draft)]
        subprocess.run([*compiler, *map(str, sources)], check=True)
        draft.rename(classes)
    return f"{library}:{classes}"


def _groovy(cache: Path) -> Path:
    _, name, version = GROOVY.split(":")
    library = cache / f"{name}-{version}.jar"
    if not library.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        fetch = ["mvn", "--batch-mode", "--quiet", "dependency:copy", f"-Dartifact={GROOVY}"]
        subprocess.run([*fetch, f"-DoutputDirectory={cache}"], check=True, stdout=subprocess.DEVNULL)
    assert hashlib.sha256(library.read_bytes()).hexdigest() == GROOVY_SHA256, library
    return library


def refusals(library: str, files: Iterable[Path]) -> list[str]:
    """For each file: why Jenkins or the harness would not take it; empty where it would."""
    words = [*_JAVA, "-cp", library, "Main", "--check", *map(str, files)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
