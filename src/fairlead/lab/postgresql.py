"""The lab's PostgreSQL: a container with a fixed address, for OpenTofu's state. One database, one user, a password."""

import secrets
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from fairlead.errors import MachineUnready
from fairlead.lab.containers import Container, names_of
from fairlead.lab.engine import IMAGE_LABEL, Docker, labels
from fairlead.lab.images import FILES, Base, Images, archive_of, tag_of
from fairlead.lab.progress import wait_until

PORT = 5432
ROLE = "postgresql"
USER = DATABASE = "fairlead"
_PASSWORD = "etc/fairlead-password"  # noqa: S105 - a path
_DATA = "/var/lib/postgresql"
_STARTS_WITHIN = 60.0
_PACKAGE = "postgresql-17"
# Neither documentation nor what the compiler of queries needs (LLVM): 150 MB less.
_LEFT_OUT = ("share/doc/*", "share/man/*", "share/locale/*", "share/i18n/locales/*", "lib/*/libLLVM*", "lib/*/libz3*",
             "lib/postgresql/17/lib/bitcode/*", "lib/postgresql/17/lib/llvmjit*")  # fmt: skip
_NO_CLUSTER = (
    'mkdir -p "$1/etc/postgresql-common"'
    ' && echo create_main_cluster=false > "$1/etc/postgresql-common/createcluster.conf"'
)
BASE = Base(
    "postgresql-base",
    "debian:trixie-slim",
    (
        "--variant=essential",
        f"--include={_PACKAGE}",
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude=/usr/{place}" for place in _LEFT_OUT),
        f"--essential-hook={_NO_CLUSTER}",
    ),
)
_PLACE = FILES / "postgresql"


def image(images: Images) -> str:
    """The image's local name; made if the engine does not hold it."""
    files = sorted(_PLACE.iterdir())
    tag = tag_of("postgresql", BASE.tag, *(part for file in files for part in (file.name, file.read_bytes())))
    if not images.docker.has_image(tag):
        base = images.base(BASE)
        with images.progress.phase("Image postgresql"):
            images.docker.run(*build(tag, base), timeout=600)
    return tag


def build(tag: str, base: str) -> list[str]:
    """Build the image."""
    return ["build", "--quiet", "--tag", tag, "--label", f"{IMAGE_LABEL}=postgresql", "--build-arg", f"BASE={base}",
            "--build-arg", f"PACKAGES={_PACKAGE}", str(_PLACE)]  # fmt: skip


@dataclass(frozen=True, slots=True)
class PostgresqlPlan:
    """What a lab's PostgreSQL is made from. address: in the lab's network."""

    lab: str
    directory: Path
    address: str
    image: str

    @property
    def container(self) -> str:
        """The name of the container, and of its volume."""
        return names_of(self.lab, ROLE)

    def create_argv(self) -> list[str]:
        """Create the container."""
        return ["create", "--name", self.container, *labels(self.lab, self.directory), "--restart", "unless-stopped",
                "--network", names_of(self.lab), "--ip", self.address,
                "--volume", f"{self.container}:{_DATA}", self.image]  # fmt: skip

    @property
    def password_file(self) -> Path:
        """Where the lab keeps the password."""
        return self.directory / "postgresql-password"

    def password(self) -> str:
        """Made up once."""
        if not self.password_file.exists():
            self.password_file.touch(mode=0o600)
            self.password_file.write_text(secrets.token_urlsafe(18), "ascii")
        return self.password_file.read_text("ascii")

    def connection(self) -> str:
        """For PG_CONN_STR. Without TLS: the network is the lab's own."""
        login = f"{USER}:{urllib.parse.quote(self.password(), safe='')}"
        return f"postgres://{login}@{self.address}:{PORT}/{DATABASE}?sslmode=disable"


def up(docker: Docker, plan: PostgresqlPlan) -> str:
    """Make and start it if it is not there; wait until it takes connections. Returns the connection string."""
    container = Container(docker, plan.container)
    password = archive_of({_PASSWORD: plan.password().encode()}, mode=0o644)
    container.ensure_running(plan.create_argv(), password, labels(plan.lab, plan.directory))
    if not wait_until(lambda: ready(docker, plan.container), within=_STARTS_WITHIN):
        raise MachineUnready(
            f"The PostgreSQL {plan.address}:{PORT} does not answer within {_STARTS_WITHIN:.0f} s",
            why=container.last_words(),
            remedy=f"docker logs {plan.container}",
        )
    return plan.connection()


def ready(docker: Docker, container: str) -> bool:
    """Whether it takes connections from elsewhere, which it does only when its database is made."""
    asked = ("exec", container, "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(PORT))
    return docker.run(*asked, timeout=30, expect=range(256)).exit_code == 0
