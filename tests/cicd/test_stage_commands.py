"""The stage commands as a contract: from a shell, and from the Makefile that every deployment repository has."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_documents import require_declared
from tests.e2e.operator import LONGEST, Operator

pytestmark = pytest.mark.lab
# What an orchestrator's file says, as a person would write it.
SCRIPT = """\
set -eu
FAIRLEAD_COMMIT=$(fairlead bump -e staging --quiet)
VM_IP=$(fairlead provision -e staging --quiet)
ENVIRONMENT=staging
export FAIRLEAD_COMMIT VM_IP ENVIRONMENT
fairlead deploy --json > "$RESULTS/deploy.json"
fairlead deploy --json > "$RESULTS/again.json"
fairlead verify --json --junit "$RESULTS/checks/all.xml" > "$RESULTS/verify.json"
fairlead rollback --json --reason 'only a try' > "$RESULTS/rollback.json"
echo "$VM_IP"
"""


def run(shop: Operator, *words: str, **variables: str) -> str:
    """A program as the operator runs it, in the checkout; what it printed."""
    done = subprocess.run(
        words,
        cwd=shop.checkout,
        env=shop.variables | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_stage_in_a_shell(shop: Operator, tmp_path: Path) -> None:
    script = tmp_path / "release.sh"
    script.write_text(SCRIPT)
    shop.push()
    assert run(shop, "sh", str(script), RESULTS=str(tmp_path)) == f"{shop.machine().address}\n"
    said: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    for name in ("deploy", "verify", "rollback"):
        require_declared(name, said[name])
    assert [said[name]["outcome"] for name in ("deploy", "again")] == ["deployed", "unchanged"]
    assert said["verify"]["commit"] == said["deploy"]["commit"]
    assert (tmp_path / "checks/all.xml").read_text().startswith("<?xml")
    require_declared("run", shop.run().document)


def test_the_makefile_deploys_and_verifies_by_hand(shop: Operator) -> None:
    """Unfenced and never proven: what runs is what git pins all the same."""
    shop.pull()
    secrets = shop.checkout / "secrets/staging.yml"
    secrets.parent.mkdir(exist_ok=True)
    secrets.write_text(json.dumps({name: {"__ansible_unsafe": value} for name, value in shop.secrets.items()}))
    machine = f"VM_IP={shop.machine().address}"
    key = {"ANSIBLE_PRIVATE_KEY_FILE": str(shop.machine().ssh_key)}
    told = run(shop, "make", "deploy-local", machine, **key)
    assert "failed=0" in told
    run(shop, "make", "verify", machine)
