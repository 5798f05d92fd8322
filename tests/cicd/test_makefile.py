"""`make infra-plan` and `make infra-apply` of a deployment repository as init writes it: OpenTofu by hand."""

import os
import subprocess
from pathlib import Path

import pytest

from fairlead.config.directories import cache_directory
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.provision.tofu import program, settings
from fairlead.scaffold.answers import Answers, ImageAnswer
from fairlead.scaffold.render import render
from tests.fixtures.postgresql import PostgreSQL

ANSWERS = Answers(
    "shop", ("staging", "production"), (ImageAnswer.parse("app_image=registry.example.com/shop/app:1.0.0"),)
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository whose machines OpenTofu makes."""
    for name, content in render(ANSWERS).items():
        place = tmp_path / "checkout" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return tmp_path / "checkout"


def test_a_plan_is_shown_and_applied(checkout: Path, proxmox: ProxmoxApi, postgresql: PostgreSQL) -> None:
    cache = cache_directory()
    tofu, configuration = Path(program(os.environ, cache)), checkout.with_name("tofurc")
    configuration.write_text(settings(cache / "opentofu/providers"))
    variables = {
        **os.environ,
        **proxmox.environment,
        "PG_CONN_STR": postgresql.database(),
        "PATH": f"{tofu.parent}{os.pathsep}{os.environ['PATH']}",
        "TF_CLI_CONFIG_FILE": str(configuration),
        "TFVARS_FILE": "deployment/opentofu/environments/staging.tfvars",  # as the Jenkinsfile writes it
    }

    def make(target: str) -> str:
        words = ["make", target, "ENVIRONMENT=staging"]
        done = subprocess.run(words, cwd=checkout, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "1 to add, 0 to change, 0 to destroy" in make("infra-plan")
    assert 'vm_ip = "192.0.2.10"' in make("infra-apply")
    assert proxmox.cluster.machine(101).name == "shop-staging"
    assert "No changes" in make("infra-plan")
