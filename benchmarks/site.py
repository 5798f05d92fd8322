"""A lab machine to measure on, an application's images, and a deployment repository that releases them.

The lab `bench` is kept between runs; `fairlead lab down --name bench` removes it.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fairlead.config import layout
from fairlead.config.directories import state_directory
from fairlead.config.variables import read_variables
from fairlead.images import ImageReference
from fairlead.lab import demo, registry
from fairlead.lab.machines import Machine
from fairlead.lab.site import Lab
from fairlead.lab.site import Site as LabSite
from fairlead.pipeline.scope import Scope
from fairlead.scaffold.answers import Answers, ImageAnswer
from fairlead.scaffold.render import render

LAB = "bench"
PASSWORD = "measured"
CLEAR = """\
containers=$(docker ps --all --quiet)
[ -z "$containers" ] || docker rm --force --volumes $containers > /dev/null
docker system prune --all --force --volumes > /dev/null
sudo rm -rf bench-* /opt/bench-* /var/lib/fairlead/bench-*
"""
# Beside the pins: what is here beats group_vars/all.yml.
HERE = """\
app_name: {app}
app_directory: /opt/{app}
http_port: {port}
"""
OTHER = '  {name}: {{repository: {image}, policy: {{semver: "*"}}}}'
CONFIGURATION = """\
app: {app}
registries: {{"{registry}": {{plain_http: true}}}}
images:
  app_image: {{repository: {registry}/{app}/backend, policy: {{semver: "*"}}}}
{others}
release: {{settle: 0s}}
environments: {{staging: {{}}}}
provision: {{with: static, addresses: {{staging: {address}}}}}
secrets: {{application: [{secrets}]}}
verify:
  retries: 3
  delay: 1s
  stable_for: {stable_for}
  checks:
    - http: {{url: "http://{{vm_ip}}:{port}/api/version", json: {{version: "{{app_image.tag}}"}}}}
    - running_digests: {{}}
"""


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Ground:
    """The lab, and the place for the files of one run of a benchmark. stack: which application, as in `lab push`."""

    lab: Lab
    site: LabSite
    directory: Path
    stack: str = demo.SMALL

    @classmethod
    def up(cls, directory: Path, name: str = LAB, stack: str = demo.SMALL) -> "Ground":
        """The lab, made anew: an older one's registry offers what earlier rounds pushed."""
        lab = Lab(name, state_directory())
        lab.down()
        return cls(lab, lab.up(("staging",), bases=demo.bases(demo.sources(stack))), directory, stack)

    @property
    def machine(self) -> Machine:
        return self.site.machines["staging"]

    def ssh_argv(self, *command: str) -> list[str]:
        return self.machine.ssh_argv(self.site.known_hosts, *command)

    def on_machine(self, script: str) -> str:
        """Run a script there, over one connection."""
        argv = self.ssh_argv("sh", "-eu", "-s")
        return subprocess.run(argv, input=script, check=True, capture_output=True, text=True).stdout

    def clear(self) -> None:
        """Remove everything that ran on the machine; the machine itself stays."""
        self.on_machine(CLEAR)

    @cached_property
    def common(self) -> Mapping[str, ImageReference]:
        """The images that no release changes."""
        sources = demo.sources(self.stack)
        others = [name for name in demo.components(sources) if name != "backend"]
        pins = {name: demo.push(self.lab, demo.Build(name, "1.0.0"), sources) for name in others}
        return {f"{name}_image": pin for name, pin in pins.items()}

    def push(self, app: str, version: str, variant: str = "") -> ImageReference:
        """The backend in a repository of the application's own, so that nobody pulls what another has pulled."""
        image, sources = demo.Build("backend", version, variant), demo.sources(self.stack)
        base = self.lab.images.base(demo.base_of("backend", sources))
        target = f"{registry.push_address(self.lab.docker, self.lab.name)}/{app}/backend:{version}"
        name = ("--label", f"service={app}")  # its configuration differs from everybody else's; Kamal asks for it
        argv = demo.build_argv(image, sources, base, target)
        self.lab.docker.run(*argv[:-1], *name, argv[-1], timeout=600)
        said = self.lab.docker.run("push", target, timeout=300).stdout
        self.lab.docker.run("rmi", "--no-prune", target)
        return ImageReference(self.site.registry, f"{app}/backend", version, demo.pushed_digest(said))

    def repository(self, app: str, port: int, stable_for: str = "0s") -> "Repository":
        """A deployment repository with the shipped playbook, for an application behind a port of the machine."""
        remote, copy = self.directory / f"{app}.git", self.directory / app
        git(self.directory, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
        git(self.directory, "clone", "--quiet", str(remote), str(copy))
        git(copy, "config", "user.name", "Bench")
        git(copy, "config", "user.email", "bench@example.com")
        for path, content in shipped(self.stack).items():
            write(copy / path, content)
        made = Repository(self, app, port, copy)
        write(copy / layout.GROUP_VARS / "staging/here.yml", HERE.format(app=app, port=port))
        write(copy / layout.KNOWN_HOSTS, self.machine.known_hosts_line)
        others = "\n".join(OTHER.format(name=name, image=pin.name) for name, pin in self.common.items())
        values = {"registry": self.site.registry, "address": self.machine.address, "stable_for": stable_for}
        values |= {"others": others, "secrets": ", ".join(demo.secrets_of(self.stack))}
        write(copy / layout.CONFIGURATION, CONFIGURATION.format(app=app, port=port, **values))
        return made


@dataclass(frozen=True)
class Repository:
    """A person's working copy of a deployment repository."""

    ground: Ground
    app: str
    port: int
    copy: Path

    @property
    def address(self) -> str:
        """Where the application answers."""
        return f"{self.ground.machine.address}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """For the command line: secrets, and a state directory of its own."""
        key = self.ground.machine.ssh_key.read_text()
        own = {"FAIRLEAD_STATE_DIR": str(self.ground.directory / "state"), "FAIRLEAD_CONTROL_SSH_KEY": key}
        passwords = {f"FAIRLEAD_APPLICATION_{name.upper()}": PASSWORD for name in demo.secrets_of(self.ground.stack)}
        return {**os.environ, **own, **passwords}

    def pin(self, backend: ImageReference) -> None:
        """A person commits and pushes a release."""
        pins = {"app_image": backend, **self.ground.common}
        write(self.copy / layout.images_file("staging"), "".join(f"{name}: {pin}\n" for name, pin in pins.items()))
        git(self.copy, "pull", "--quiet", "--rebase", "--autostash", "origin", "main", check=False)
        git(self.copy, "add", "--all")
        git(self.copy, "commit", "--quiet", "-m", f"Release {backend.tag}")
        git(self.copy, "push", "--quiet", "origin", "HEAD:main")

    def scope(self) -> Scope:
        """What a stage works on."""
        return Scope.open(self.copy, "staging", None, read_variables(self.environment))

    def fairlead_argv(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "fairlead", *words]

    def fairlead(self, *words: str, expect: int = 0, **variables: str) -> None:
        """Run a command of Fairlead as a person does."""
        environment = self.environment | variables
        argv = self.fairlead_argv(*words)
        done = subprocess.run(argv, cwd=self.copy, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != expect:
            raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}")


def shipped(stack: str) -> Mapping[str, str]:
    """The Ansible part of what `fairlead init` writes for an application: path and content."""
    images = tuple(ImageAnswer.parse(text, "registry.example.com") for text in demo.image_answers(stack))
    answers = Answers("shop", ("staging",), images, secrets=demo.secrets_of(stack))
    return {path: text.decode() for path, text in render(answers).items() if path.startswith(f"{layout.ANSIBLE}/")}


def write(place: Path, content: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content)


def git(directory: Path, *words: str, check: bool = True) -> None:
    """git as a person runs it."""
    subprocess.run(["git", "-C", str(directory), *words], check=check, capture_output=True)


@dataclass(frozen=True)
class Stack:
    """One contender's application on the machine. port: its gateway's."""

    ground: Ground
    app: str
    port: int

    @property
    def address(self) -> str:
        """Where its gateway answers."""
        return f"{self.ground.machine.address}:{self.port}"

    @property
    def place(self) -> Path:
        """Its own files, here."""
        return self.ground.directory / self.app
