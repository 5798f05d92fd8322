"""The lab's Proxmox API as a process of its own, which outlives the command that started it.

    python -m fairlead.lab.proxmox_api --directory DIR --address 10.77.0.1 --lab lab --registry 10.77.0.2:5000 ...

It returns when the API answers, and goes on behind; its process id is in DIR/pid, which it holds locked for as long as
it lives, so that nobody ever ends another process that happens to have the number.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from fairlead.lab import background
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.lab.proxmox_api.containers import Containers

_READY = "ready"


def main(argv: Sequence[str]) -> int:
    """Begin in the background; 0 when it answers."""
    options = _options(argv)
    ready, write = os.pipe()
    if os.fork():
        os.close(write)
        with os.fdopen(ready) as said:
            word = said.read()
        sys.stderr.write("" if word == _READY else word or "It ended before it answered\n")
        return 0 if word == _READY else 1
    os.close(ready)
    os.setsid()
    _serve(options, write)
    return 0


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fairlead.lab.proxmox_api")
    parser.add_argument("--directory", type=Path, required=True, help="keeps its state and its CA")
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    for name in ("lab", "registry", "image"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--lab-directory", type=Path, required=True)
    return parser.parse_args(argv)


def _serve(options: argparse.Namespace, report: int) -> None:
    """Until somebody says SIGTERM. That it answers, or why it cannot, is written to `report`."""
    stop = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    try:
        with (
            background.alone(options.directory),
            ProxmoxApi.start(
                options.directory,
                Containers(options.lab, options.lab_directory, options.registry, options.image),
                address=options.address,
                port=options.port,
            ),
        ):
            _let_go(options.directory)
            os.write(report, _READY.encode())
            os.close(report)
            signal.sigwait(stop)
    except OSError as error:
        os.write(report, f"{error}\n".encode())


def _let_go(directory: Path) -> None:
    """Of the starter's terminal and pipes: who waits for their end must not wait for ours."""
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
