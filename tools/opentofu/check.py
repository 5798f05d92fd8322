"""Format and validate the scaffold's OpenTofu code with the real OpenTofu and provider. Part of `make check`."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fairlead.config.directories import cache_directory
from fairlead.provision.tofu import program, settings
from fairlead.scaffold.render import FILES

CODE = FILES / "deployment" / "opentofu"


def main() -> int:
    """0 when everything is right."""
    with tempfile.TemporaryDirectory() as directory:
        copy, rc = Path(directory, "code"), Path(directory, "tofu.rc")
        shutil.copytree(CODE, copy)
        rc.write_text(settings(cache_directory() / "opentofu" / "providers"), encoding="utf-8")
        environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(rc), "CHECKPOINT_DISABLE": "1"}
        tofu = program(os.environ, cache_directory())
        for words in (
            ["fmt", "-check", "-diff", "-recursive"],
            ["init", "-backend=false", "-input=false"],
            ["validate"],
        ):
            done = subprocess.run(
                [tofu, *words], cwd=copy, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.stderr.write(f"tofu {' '.join(words)}, in {CODE}:\n{done.stdout}{done.stderr}")
                return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
