"""The Ansible module, loaded from its file: it lives in the scaffold, and is no part of the package."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from fairlead.scaffold.render import FILES

ANSIBLE = FILES / "deployment" / "ansible"
PATH = ANSIBLE / "library" / "fairlead_compose.py"


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("fairlead_compose", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # dataclasses look their module up by its name
    spec.loader.exec_module(loaded)
    return loaded


fairlead_compose = _load(PATH)
