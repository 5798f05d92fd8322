"""Looks at a workspace's row in a process of its own: the database's client takes long to load (see ahead.py)."""

import json
import sys
from collections.abc import Mapping

from fairlead.config.secrets import Secret
from fairlead.config.start import begin_quickly, end_quickly
from fairlead.process import Beside
from fairlead.provision.lease import Ledger, Seen

ARGV = (sys.executable, "-P", "-c", f"from {__name__} import main; main()")
_WITHIN = 2.0  # seconds more for the child, where it is not quicker; then the database is asked here


def question(address: Secret, app: str, workspace: str) -> str:
    """What the child reads. address: PG_CONN_STR."""
    return json.dumps({"address": address.reveal(), "app": app, "workspace": workspace})


def answer(child: Beside) -> Seen | None:
    """What the child has seen; None where it has not."""
    ended = child.result(_WITHIN)
    try:
        return Seen.of(ended[1]) if ended and ended[0] == 0 else None
    except (ValueError, TypeError, KeyError):
        return None


def main() -> None:
    """The child: the question on standard input, the answer on standard output."""
    begin_quickly()
    asked: Mapping[str, str] = json.load(sys.stdin)
    ledger = Ledger(Secret(asked["address"]), asked["app"], asked["workspace"])
    sys.stdout.write(ledger.look().written())
    sys.stdout.flush()
    end_quickly()
