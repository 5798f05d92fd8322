"""Secrets are found where they are kept and never shown."""

import pickle
from pathlib import Path

import pytest

from fairlead.config.secrets import Secret, SecretClass, Secrets
from fairlead.config.variables import read_variables
from fairlead.errors import MissingSecret


def test_a_secret_is_masked_in_every_form() -> None:
    secret = Secret("hunter22")
    assert {repr(secret), str(secret), f"{secret}", f"{secret:>10}", f"{[secret]}"} == {"***", "[***]"}
    assert secret.reveal() == "hunter22"


def test_a_secret_cannot_be_stored() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter22"))


def test_a_file_beats_the_variable(tmp_path: Path) -> None:
    (tmp_path / "application").mkdir()
    (tmp_path / "application" / "postgres_password").write_text("from-file\n")
    secrets = Secrets(tmp_path, {"FAIRLEAD_APPLICATION_POSTGRES_PASSWORD": "from-variable"})
    assert secrets.get(SecretClass.APPLICATION, "postgres_password").reveal() == "from-file"


@pytest.mark.parametrize(
    ("kind", "name", "variable"),
    [
        (SecretClass.INFRASTRUCTURE, "proxmox_api_token", "TF_VAR_proxmox_api_token"),
        (SecretClass.INFRASTRUCTURE, "PG_CONN_STR", "PG_CONN_STR"),
        (SecretClass.APPLICATION, "postgres_password", "FAIRLEAD_APPLICATION_POSTGRES_PASSWORD"),
        (SecretClass.CONTROL, "semaphore_token", "SEMAPHORE_TOKEN"),
        (SecretClass.CONTROL, "notify_url", "FAIRLEAD_CONTROL_NOTIFY_URL"),
    ],
)
def test_variables_have_the_tools_own_names(kind: SecretClass, name: str, variable: str) -> None:
    secrets = Secrets(None, {variable: "value-of-it"})
    assert secrets.get(kind, name).reveal() == "value-of-it"
    assert "value-of-it" not in secrets.mask()("say value-of-it")


def test_classes_never_mix() -> None:
    secrets = Secrets(None, {"FAIRLEAD_APPLICATION_TOKEN": "value-of-it"})
    assert secrets.find(SecretClass.CONTROL, "token") is None


def test_a_control_secret_is_not_read_from_a_strangers_variable() -> None:
    assert Secrets(None, {"GIT_TOKEN": "value-of-it"}).find(SecretClass.CONTROL, "git_token") is None


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "git_token").write_bytes(b"\xff\xfe\xfd\xfc")
    with pytest.raises(MissingSecret, match="git_token cannot be read"):
        Secrets(tmp_path, {}).get(SecretClass.CONTROL, "git_token")


def test_missing_secret_names_the_places(tmp_path: Path) -> None:
    with pytest.raises(MissingSecret) as caught:
        Secrets(tmp_path, {}).get(SecretClass.APPLICATION, "postgres_password")
    assert str(tmp_path / "application" / "postgres_password") in caught.value.why
    assert caught.value.remedy == "export FAIRLEAD_APPLICATION_POSTGRES_PASSWORD=…"


def test_secret_too_short_to_mask_is_refused() -> None:
    with pytest.raises(MissingSecret, match="3 characters"):
        Secrets(None, {"FAIRLEAD_CONTROL_X": "abc"}).get(SecretClass.CONTROL, "x")


def test_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("other-secret")
    secrets = Secrets(tmp_path / "secrets", {})
    assert secrets.find(SecretClass.CONTROL, "../../outside") is None


def test_state_directory_follows_the_variables(tmp_path: Path) -> None:
    assert read_variables({"FAIRLEAD_STATE_DIR": "/x"}).state == Path("/x")
    assert read_variables({"XDG_STATE_HOME": "/y"}).state == Path("/y/fairlead")
    assert read_variables({"HOME": "/z"}).state == Path("/z/.local/state/fairlead")


def test_no_color_wins() -> None:
    assert read_variables({}, terminal=True).colour
    assert read_variables({"FORCE_COLOR": "1"}).colour
    assert not read_variables({"NO_COLOR": "1", "FORCE_COLOR": "1"}, terminal=True).colour


def test_the_password_of_a_login_is_masked_alone_too() -> None:
    mask = Secrets(None, {"FAIRLEAD_CONTROL_REGISTRY_EXAMPLE_COM": "robot:hunter22"}).mask()
    assert mask("password hunter22 refused") == "password *** refused"


def test_a_variable_may_name_a_file_as_ci_systems_do(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("-----BEGIN-----\nabcdefgh\n-----END-----\n")
    secrets = Secrets(None, {"FAIRLEAD_CONTROL_SSH_KEY_FILE": str(key)})
    assert secrets.get(SecretClass.CONTROL, "ssh_key").reveal() == "-----BEGIN-----\nabcdefgh\n-----END-----"
    assert secrets.mask()("it is abcdefgh") == "it is ***"


def test_a_file_that_a_variable_names_and_that_is_not_there_is_said(tmp_path: Path) -> None:
    secrets = Secrets(None, {"FAIRLEAD_CONTROL_SSH_KEY_FILE": str(tmp_path / "gone")})
    with pytest.raises(MissingSecret, match="gone cannot be read"):
        secrets.get(SecretClass.CONTROL, "ssh_key")
