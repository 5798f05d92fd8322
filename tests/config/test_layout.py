"""Which change of the deployment repository concerns which environment."""

import pytest

from fairlead.config.layout import concerns, tfvars_file
from fairlead.errors import InvalidSetting

CASES = [
    ("deployment/ansible/group_vars/staging/images.yml", True),
    ("deployment/ansible/group_vars/production/images.yml", False),
    ("deployment/ansible/group_vars/all.yml", True),
    ("deployment/ansible/group_vars/staging.yml", True),
    ("deployment/ansible/inventory/staging", True),
    ("deployment/ansible/inventory/production", False),
    ("deployment/ansible/templates/docker-compose.yml.j2", True),
    ("deployment/ansible/deploy.yml", True),
    ("deployment/opentofu/main.tf", True),
    ("deployment/opentofu/environments/staging.tfvars", True),
    ("deployment/opentofu/environments/staging.large.tfvars", True),
    ("deployment/opentofu/environments/production.tfvars", False),
    ("deployment/cicd/Jenkinsfile", False),
    ("deployment/quarantine.yml", False),
    ("deployment/ansible/known_hosts", False),
    ("deployment/docker/gateway/Dockerfile", False),
    ("README.md", False),
    ("docker-compose.yml", False),
    ("deploymentx/main.tf", False),
]


@pytest.mark.parametrize(("path", "expected"), CASES)
def test_concerns_staging(path: str, *, expected: bool) -> None:
    assert concerns(path, "staging") is expected


def test_another_file_of_the_environment_may_say_what_its_machine_is() -> None:
    folder = "deployment/opentofu/environments"
    assert tfvars_file("staging") == tfvars_file("staging", f"{folder}/staging.tfvars") == f"{folder}/staging.tfvars"
    assert tfvars_file("staging", f"{folder}/staging.large.tfvars") == f"{folder}/staging.large.tfvars"


@pytest.mark.parametrize(
    "chosen",
    ["staging.tfvars", "environments/staging.tfvars", "/etc/staging.tfvars", "../staging.tfvars", "staging"]
    + [f"deployment/opentofu/environments/{name}" for name in ("production.tfvars", "staging/../x.tfvars", "staging")],
)
def test_a_file_that_is_not_the_environments_is_refused(chosen: str) -> None:
    with pytest.raises(InvalidSetting, match="is not a file with staging's variables") as refused:
        tfvars_file("staging", chosen)
    assert "Unset TFVARS_FILE" in refused.value.remedy
