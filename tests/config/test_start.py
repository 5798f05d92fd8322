"""What is set before the rest of Fairlead is imported."""

import subprocess
import sys

SHOWN = "import fairlead.__main__, gc, os; print(gc.get_threshold()[0], os.environ['PYDANTIC_DISABLE_PLUGINS'])"


def test_a_command_begins_with_few_collections_and_without_pydantics_plugins() -> None:
    said = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["50000", "__all__"]
