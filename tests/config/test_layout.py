"""Which change of the deployment repository concerns which environment."""

import pytest

from fairlead.config.layout import concerns

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
