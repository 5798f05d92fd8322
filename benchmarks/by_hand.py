"""How the same application is deployed without Fairlead: by hand (start-first, in place), and by a plain playbook."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from jinja2 import Environment

from benchmarks.site import PASSWORD, Ground, Stack, shipped, write
from fairlead.config import layout
from fairlead.config.load import parse_yaml
from fairlead.images import ImageReference

TEMPLATE, ALL = f"{layout.ANSIBLE}/templates/docker-compose.yml.j2", f"{layout.GROUP_VARS}/all.yml"
# Starts with one round trip, pulls and waits as quickly as it can; it checks nothing and cannot go back.
START_FIRST = """\
cd {app}
printf 'APP_IMAGE=%s\nPOSTGRES_PASSWORD=%s\n' {image} {password} > .env
docker compose pull --quiet backend
old=$(docker compose ps --quiet backend)
docker compose up --detach --no-deps --no-recreate --scale backend=2 backend
new=$(docker compose ps --quiet backend | grep -v "$old")
until [ "$(docker inspect --format '{{{{.State.Health.Status}}}}' $new)" = healthy ]; do sleep 0.1; done
docker stop $old
docker rm $old
"""
IN_PLACE = """\
cd {app}
printf 'APP_IMAGE=%s\nPOSTGRES_PASSWORD=%s\n' {image} {password} > .env
docker compose pull --quiet
docker compose up --detach --wait
"""
PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.file: {path: "{{ directory }}", state: directory, mode: "0755"}
    - ansible.builtin.template: {src: docker-compose.yml.j2, dest: "{{ directory }}/docker-compose.yml", mode: "0644"}
    - ansible.builtin.copy: {content: "POSTGRES_PASSWORD={{ password }}\\n", dest: "{{ directory }}/.env", mode: "0600"}
    - ansible.builtin.command: {argv: [docker, compose, pull, --quiet], chdir: "{{ directory }}"}
    - ansible.builtin.command: {argv: [docker, compose, up, --detach, --force-recreate], chdir: "{{ directory }}"}
    - ansible.builtin.uri: {url: "http://127.0.0.1:{{ port }}/up"}
      register: health
      until: health is succeeded
      retries: 12
      delay: 5
"""


@dataclass(frozen=True)
class OverSsh(Stack):
    """A script over one connection, in the login's home directory on the machine."""

    script: str

    def begin(self, backend: ImageReference) -> None:
        """The Compose file, and the first release."""
        compose = compose_file(self.ground, self.app, self.port, "${APP_IMAGE}")
        self.ground.on_machine(f"mkdir -p {self.app}\ncat > {self.app}/docker-compose.yml <<'END'\n{compose}\nEND\n")
        self.ground.on_machine(script(IN_PLACE, self.app, backend))

    def prepare(self, backend: ImageReference) -> None:
        """Nothing: the script carries the release."""

    def deploy(self, backend: ImageReference) -> None:
        self.ground.on_machine(script(self.script, self.app, backend))


@dataclass(frozen=True)
class PlainPlaybook(Stack):
    """ansible-playbook with its own defaults, and tasks that run commands."""

    def begin(self, backend: ImageReference) -> None:
        """The playbook, and the first release."""
        machine = self.ground.machine
        options = f"-o UserKnownHostsFile={self.ground.site.known_hosts} -o IdentitiesOnly=yes"
        values = {
            "ansible_host": machine.address, "ansible_user": machine.user,
            "ansible_ssh_private_key_file": machine.ssh_key,
            "ansible_python_interpreter": "/usr/bin/python3", "directory": f"/home/{machine.user}/{self.app}",
            "password": PASSWORD, "port": self.port, "ansible_ssh_common_args": f"'{options}'",
        }  # fmt: skip
        write(self.place / "hosts", "app " + " ".join(f"{name}={value}" for name, value in values.items()) + "\n")
        write(self.place / "deploy.yml", PLAYBOOK)
        self.prepare(backend)
        self.deploy(backend)

    def prepare(self, backend: ImageReference) -> None:
        """The release in the template."""
        compose = compose_file(self.ground, self.app, self.port, str(backend))
        write(self.place / "docker-compose.yml.j2", compose)

    def deploy(self, backend: ImageReference) -> None:  # noqa: ARG002 - the template has it
        argv = [sys.executable, "-P", "-m", "ansible.cli.playbook", "-i", "hosts", "deploy.yml"]
        subprocess.run(argv, cwd=self.place, check=True, capture_output=True, env=os.environ | {"LC_ALL": "C.UTF-8"})


def script(text: str, app: str, backend: ImageReference) -> str:
    return text.format(app=app, image=backend, password=PASSWORD)


def compose_file(ground: Ground, app: str, port: int, backend: str) -> str:
    """The shipped template, for the same services with the same health checks. backend: its image."""
    files = shipped(ground.stack)
    environment = Environment(trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    environment.filters["to_json"] = json.dumps
    values = parse_yaml(files[ALL].encode(), ALL).data | {"app_name": app, "http_port": port}
    images = {name: str(pin) for name, pin in ground.common.items()}
    return environment.from_string(files[TEMPLATE]).render(**values, **images, app_image=backend)
