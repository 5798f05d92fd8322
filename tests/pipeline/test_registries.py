"""Logins to registries: the control secret of a host, else Docker's own."""

import base64
import json
from pathlib import Path

import pytest

from fairlead.config.variables import Variables, read_variables
from fairlead.errors import MissingSecret
from fairlead.pipeline.registries import registry_credentials

HOST = "registry.example.com:5000"
SECRET = "FAIRLEAD_CONTROL_REGISTRY_REGISTRY_EXAMPLE_COM_5000"


def variables(docker: Path, **values: str) -> Variables:
    """A process environment whose Docker is logged in to the host, and to nothing else."""
    login = base64.b64encode(b"docker:from-docker").decode()
    (docker / "config.json").write_text(json.dumps({"auths": {HOST: {"auth": login}}}))
    return read_variables({"DOCKER_CONFIG": str(docker), **values})


def logins(values: Variables) -> dict[str, tuple[str, str]]:
    found = registry_credentials({HOST, "other.example.com"}, values)
    return {name: (one.username, one.password.reveal()) for name, one in found.items()}


def test_docker_is_asked_where_there_is_no_secret(tmp_path: Path) -> None:
    assert logins(variables(tmp_path)) == {HOST: ("docker", "from-docker")}


def test_the_control_secret_beats_docker(tmp_path: Path) -> None:
    assert logins(variables(tmp_path, **{SECRET: "robot:with:colon"})) == {HOST: ("robot", "with:colon")}


def test_the_control_secret_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "registry_registry_example_com_5000").write_text("robot:from-file\n")
    assert logins(variables(tmp_path, FAIRLEAD_SECRETS_DIR=str(tmp_path))) == {HOST: ("robot", "from-file")}


@pytest.mark.parametrize("value", ["only-a-token", ":hunter22", "hunter22:"])
def test_a_secret_of_another_form_is_refused_without_showing_it(tmp_path: Path, value: str) -> None:
    with pytest.raises(MissingSecret) as caught:
        logins(variables(tmp_path, **{SECRET: value}))
    assert caught.value.what == "The control secret registry_registry_example_com_5000 is not user:password"
    assert caught.value.remedy == f"export {SECRET}=USER:PASSWORD"
    assert value.strip(":") not in str(caught.value)
