"""Where Fairlead keeps what is not in git. Source: XDG Base Directory Specification: XDG_STATE_HOME, XDG_CACHE_HOME."""

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


def cache_directory(variables: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CACHE_HOME/fairlead`, else `~/.cache/fairlead`: what can be made again. Not made here."""
    home = variables.get("XDG_CACHE_HOME", "")
    return (Path(home) if home.startswith("/") else Path(variables.get("HOME") or Path.home()) / ".cache") / "fairlead"
