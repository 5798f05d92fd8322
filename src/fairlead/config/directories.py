"""Where Fairlead keeps what is not in git. Source: XDG Base Directory Specification, XDG_STATE_HOME."""

import os
from collections.abc import Mapping
from pathlib import Path


def state_directory(variables: Mapping[str, str] = os.environ) -> Path:
    """`$FAIRLEAD_STATE_DIR`, else `$XDG_STATE_HOME/fairlead`, else `~/.local/state/fairlead`. Not made here."""
    if own := variables.get("FAIRLEAD_STATE_DIR"):
        return Path(own).absolute()
    home = variables.get("XDG_STATE_HOME", "")
    # "All paths must be absolute. If an implementation encounters a relative path it should ignore it."
    base = Path(home) if home.startswith("/") else Path(variables.get("HOME") or Path.home()) / ".local" / "state"
    return base / "fairlead"
