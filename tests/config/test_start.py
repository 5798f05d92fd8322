"""What is set before the rest of Fairlead is imported."""

import os
import subprocess
import sys

SHOWN = """
import atexit, gc, os, sys
from fairlead.__main__ import main
atexit.register(lambda: print(gc.get_threshold()[0], os.environ.get("PYDANTIC_DISABLE_PLUGINS")))
sys.argv = ["fairlead", "--version"]
main()
"""


def test_a_command_begins_with_few_collections_and_without_pydantics_plugins() -> None:
    clean = {name: value for name, value in os.environ.items() if name != "PYDANTIC_DISABLE_PLUGINS"}
    said = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, env=clean, check=False)
    assert said.stdout.splitlines()[-1:] == ["50000 __all__"], said.stderr
