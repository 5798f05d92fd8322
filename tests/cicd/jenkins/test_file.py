"""The Jenkinsfile as init writes it: Jenkins' syntax whatever the answers, and the secrets that the site has."""

import re
from pathlib import Path

from fairlead.scaffold.answers import Answers, ImageAnswer
from fairlead.scaffold.render import FILES, render
from tests.cicd.jenkins.server import SCRIPT, refusals

IMAGES = (
    ImageAnswer.parse("app_image=registry.example.com/wiki/backend:1.0.0"),
    ImageAnswer.parse("db_image=localhost:5000/mirror/postgres:17"),
)
MADE = Answers("wiki", ("test", "live"), IMAGES, plain_http=("localhost:5000",), secrets=("db_password", "token"))
EXISTING = Answers("wiki", ("test",), IMAGES[1:], {"test": "192.0.2.7"}, plain_http=("localhost:5000",), secrets=())


def written(answers: Answers) -> str:
    return render(answers)[SCRIPT].decode()


def credentials(file: str) -> dict[str, dict[str, str]]:
    """Variable and credential's id, by the stage that they are in (or `pipeline`)."""
    found: dict[str, dict[str, str]] = {}
    stage = "pipeline"
    for line in file.splitlines():
        if named := re.search(r"stage\('([\w ]+)'\)", line):
            stage = named[1]
        if bound := re.match(r" *(\w+) = credentials\('([\w-]+)'\)", line):
            found.setdefault(stage, {})[bound[1]] = bound[2]
    return found


def test_each_stage_has_the_secrets_that_it_needs() -> None:
    assert credentials(written(MADE)) == {
        "pipeline": {"FAIRLEAD_CONTROL_GIT_TOKEN": "git-push-token"},
        "Detect": {"FAIRLEAD_CONTROL_REGISTRY_REGISTRY_EXAMPLE_COM": "registry-example-com"},
        "Infrastructure": {
            "TF_VAR_proxmox_endpoint": "proxmox-url",
            "TF_VAR_proxmox_api_token": "proxmox-api-token",
            "PG_CONN_STR": "pg-conn-str",
        },
        "Release": {
            "FAIRLEAD_CONTROL_SSH_KEY_FILE": "deploy-ssh-key",
            "FAIRLEAD_APPLICATION_DB_PASSWORD": "db-password",
            "FAIRLEAD_APPLICATION_TOKEN": "token",
            "SEMAPHORE_TOKEN": "semaphore-api-token",
        },
    }
    assert "choices: ['test', 'live']" in written(MADE)


def test_a_site_gives_no_secret_that_it_does_not_have() -> None:
    found = credentials(written(EXISTING))
    assert (set(found), found["Release"]) == (
        {"pipeline", "Release"},
        {"FAIRLEAD_CONTROL_SSH_KEY_FILE": "deploy-ssh-key", "SEMAPHORE_TOKEN": "semaphore-api-token"},
    )


def test_the_example_is_of_a_site_with_opentofu_and_semaphore() -> None:
    found = credentials((FILES / SCRIPT).read_text())
    assert found["Release"] == {"SEMAPHORE_TOKEN": "semaphore-api-token"}
    assert found["Infrastructure"]["PG_CONN_STR"] == "pg-conn-str"


def test_jenkins_would_take_all_of_them(tmp_path: Path, harness: str) -> None:
    texts = [(FILES / SCRIPT).read_text(), written(MADE), written(EXISTING)]
    files = [tmp_path / str(number) for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    assert refusals(harness, files) == [""] * len(texts)
