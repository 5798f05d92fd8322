"""The stand-in as a program: prints its address, and serves until it is terminated."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from fairlead.lab.background import alone
from fairlead.lab.semaphore_api.server import serving

TICK = 2.0


def main(words: list[str]) -> None:
    """Serve."""
    parser = argparse.ArgumentParser(prog="fairlead.lab.semaphore_api")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tick", type=float, default=TICK)
    options = parser.parse_args(words)
    signal.signal(signal.SIGTERM, _end)
    with alone(options.directory), serving(options.directory, (options.address, options.port), options.tick) as service:
        print(f"http://{options.address}:{service.server_address[1]}", flush=True)  # noqa: T201
        service.serve_forever()


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
