"""`fairlead init` writes a deployment repository that the configuration's own reader accepts."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.config.directories import cache_directory
from fairlead.config.file import ConfigurationFile
from fairlead.config.load import parse_yaml
from fairlead.config.models import HttpCheck, SemverPolicy, StaticProvision
from fairlead.errors import FairleadError, FilesExist, InvalidAnswer, InvalidReference, ScaffoldError, ScaffoldUnknown
from fairlead.images import ImageReference
from fairlead.provision.tofu import program
from fairlead.scaffold.answers import Answers, ImageAnswer
from fairlead.scaffold.copy import write
from fairlead.scaffold.render import FILES, RECORD, SCHEMA, TEMPLATE, Record, render
from tests.scaffold.conftest import ANSWERS, git

DIGEST = "sha256:" + "ab" * 32


def test_what_init_writes_is_a_valid_configuration(tmp_path: Path) -> None:
    write(tmp_path, ANSWERS)

    configuration = ConfigurationFile.in_directory(tmp_path).configuration
    assert configuration.app == "tracker"
    assert list(configuration.environments) == ["live", "test-2"]
    assert configuration.environments["live"].follows == "images"
    assert configuration.environments["test-2"].follows == "live"
    assert configuration.images["app_image"].repository == "registry.example.com/tracker/api"
    assert isinstance(configuration.provision, StaticProvision)
    assert configuration.provision.addresses == {"live": "192.0.2.20", "test-2": "2001:db8::7"}
    assert configuration.deploy.directory == "/opt/tracker"
    assert configuration.registries == {}


def test_every_environment_has_its_own_files_and_the_examples_are_gone(tmp_path: Path) -> None:
    written = set(write(tmp_path, ANSWERS).paths)

    assert {layout.images_file("live"), layout.images_file("test-2"), layout.QUARANTINE, layout.KNOWN_HOSTS} <= written
    assert not [path for path in written if "staging" in path or "production" in path or "shop" in path]
    shown = {path: (tmp_path / path).read_text() for path in written if "/library/" not in path}
    assert not [path for path, text in shown.items() if "# <" in text and path.endswith((".yaml", ".yml"))]
    assert "live" in shown["Makefile"]
    assert "shop" not in shown["README.md"] + shown["fairlead.yaml"] + shown["Makefile"]


def test_the_shipped_files_are_themselves_a_valid_example() -> None:
    assert ConfigurationFile.in_directory(FILES).configuration.app == "shop"


def test_the_editors_modeline_leads_to_the_schema(tmp_path: Path) -> None:
    write(tmp_path, ANSWERS)
    first = (tmp_path / layout.CONFIGURATION).read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA}"
    assert '"title": "Configuration"' in (tmp_path / SCHEMA).read_text()


def test_a_tag_chooses_the_policy_and_a_digest_makes_it_a_pin(tmp_path: Path) -> None:
    images = [
        f"app_image=registry.example.com/tracker/api:1.4.2@{DIGEST}",
        "db_image=registry.example.com/mirror/postgres:17",
        "web_image=registry.example.com/tracker/web",
    ]
    write(tmp_path, Answers("tracker", ("live",), tuple(ImageAnswer.parse(text) for text in images)))

    found = ConfigurationFile.in_directory(tmp_path).configuration.images
    assert {name: str(image.policy) for name, image in found.items()} == {
        "app_image": "semver >=1.4.2 <2",
        "db_image": "digest 17",
        "web_image": "semver *",
    }
    assert isinstance(found["web_image"].policy, SemverPolicy)
    pins = parse_yaml((tmp_path / layout.images_file("live")).read_bytes(), "images.yml").data
    assert pins == {"app_image": f"registry.example.com/tracker/api:1.4.2@{DIGEST}"}


def test_a_registry_completes_a_short_name_only() -> None:
    short = ImageAnswer.parse("app_image=team/app", "10.0.0.1:5000")
    full = ImageAnswer.parse("app_image=registry.example.com/team/app", "10.0.0.1:5000")
    assert short.reference == ImageReference("10.0.0.1:5000", "team/app")
    assert full.reference.registry == "registry.example.com"


def test_a_registry_without_tls_is_written_as_one(tmp_path: Path) -> None:
    images = (ImageAnswer.parse("app_image=10.0.0.1:5000/team/app"),)
    write(tmp_path, Answers("tracker", ("live",), images, plain_http=("10.0.0.1:5000",), secrets=("db_password",)))

    configuration = ConfigurationFile.in_directory(tmp_path).configuration
    assert configuration.registries["10.0.0.1:5000"].plain_http
    assert configuration.secrets.application == ("db_password",)
    assert configuration.provision.by == "opentofu"


def test_a_version_path_becomes_a_check_and_else_stays_a_comment(tmp_path: Path) -> None:
    write(tmp_path / "with", replace(ANSWERS, version_path="/v"))
    write(tmp_path / "without", ANSWERS)

    checks = ConfigurationFile.in_directory(tmp_path / "with").configuration.verify.checks
    assert [check.http.url for check in checks if isinstance(check, HttpCheck)][-1] == "http://{vm_ip}/v"
    assert len(ConfigurationFile.in_directory(tmp_path / "without").configuration.verify.checks) == len(checks) - 1
    assert '# - http: {url: "http://{vm_ip}/api/version"' in (tmp_path / "without/fairlead.yaml").read_text()


def test_host_keys_that_somebody_vouches_for_are_written(tmp_path: Path) -> None:
    write(tmp_path, replace(ANSWERS, host_keys=("192.0.2.20 ssh-ed25519 AAAAC3Nza",)))
    lines = (tmp_path / layout.KNOWN_HOSTS).read_text().splitlines()
    assert lines[0].startswith("# ")
    assert lines[1:] == ["192.0.2.20 ssh-ed25519 AAAAC3Nza"]


FIVE = replace(
    ANSWERS,
    images=tuple(
        ImageAnswer.parse(f"{name}_image=registry.example.com/tracker/{name}:2.1.0")
        for name in ("app", "frontend", "keycloak", "db", "gateway")
    ),
)


def test_services_that_nobody_has_are_left_out_of_every_file() -> None:
    few, all_of_them = render(ANSWERS), render(FIVE)
    assert "deployment/docker/keycloak/realm.json" in set(all_of_them) - set(few)
    assert [path for path, text in few.items() if re.search(rb"keycloak|frontend_image", text)] == []
    for path in (TEMPLATE, "docker-compose.yml"):
        assert re.findall(r"^  (\w+):$", services_in(few[path]), re.MULTILINE) == ["backend", "db", "gateway"]
        five = ["backend", "frontend", "keycloak", "db", "gateway"]
        assert re.findall(r"^  (\w+):$", services_in(all_of_them[path]), re.MULTILINE) == five


def services_in(compose: bytes) -> str:
    return compose.decode().partition("\nservices:\n")[2].partition("\nnetworks:")[0].partition("\nvolumes:")[0]


def test_every_service_has_limits_and_a_health_check() -> None:
    services = services_in(render(FIVE)[TEMPLATE])
    for setting in ("image:", "restart:", "healthcheck:", "networks:", "deploy: {resources", "logging:"):
        missing = {"networks:": 1}.get(setting, 0)  # the database is in the default network alone
        assert len(re.findall(rf"^    {setting}", services, re.MULTILINE)) == 5 - missing, setting
    assert services.count("start_interval") == 5


def test_a_developers_own_stack_runs_the_tags_that_were_given() -> None:
    def images(answers: Answers) -> list[str]:
        return re.findall(r"image: (\S+)", render(answers)["docker-compose.yml"].decode())

    assert images(FIVE)[:2] == ["registry.example.com/tracker/app:2.1.0", "registry.example.com/tracker/frontend:2.1.0"]
    assert images(ANSWERS)[0] == "registry.example.com/tracker/api:TAG"


def test_images_that_the_compose_template_lacks_are_told(tmp_path: Path) -> None:
    assert write(tmp_path, ANSWERS).unmatched_variables == ("db_image", "gateway_image")


def test_ansible_reads_what_init_wrote(tmp_path: Path) -> None:
    """`make lint` of the new repository, with the tools' own checks, and its pins in the environment's group."""
    images = (ImageAnswer.parse(f"app_image=registry.example.com/tracker/api:1.4.2@{DIGEST}"),)
    write(tmp_path, replace(ANSWERS, images=images))
    tofu = Path(program(os.environ, cache_directory()))
    variables = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{tofu.parent}:{os.environ['PATH']}"}

    subprocess.run(["make", "lint"], cwd=tmp_path, env=variables, check=True, capture_output=True)

    inventory = ["ansible-inventory", "-i", "deployment/ansible/inventory/test-2", "--host", "app", "-e", "VM_IP=x"]
    words = [*inventory, "--playbook-dir", "deployment/ansible"]
    shown = subprocess.run(words, cwd=tmp_path, env=variables, check=True, capture_output=True, text=True).stdout
    assert json.loads(shown)["app_image"] == f"registry.example.com/tracker/api:1.4.2@{DIGEST}"
    assert json.loads(shown)["app_name"] == "tracker"


def test_an_application_may_be_named_like_the_example_environment() -> None:
    files = render(Answers("staging", ("shop",), ANSWERS.images))
    assert b"app: staging\n" in files["fairlead.yaml"]
    assert layout.images_file("shop") in files


def test_init_makes_a_git_repository_with_the_pristine_tree_on_a_branch_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "new" / "place", ANSWERS)

    directory = tmp_path / "new" / "place"
    tree = git(directory, "ls-tree", "-r", "--name-only", "fairlead-scaffold").splitlines()
    files = render(ANSWERS)
    assert tree == sorted(files)
    assert git(directory, "show", "fairlead-scaffold:fairlead.yaml") == files["fairlead.yaml"].decode().strip()
    assert "Fairlead-Scaffold: " in git(directory, "log", "-1", "--format=%B", "fairlead-scaffold")
    assert git(directory, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_files_in_the_way_are_all_named_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine\n")
    (tmp_path / "Makefile").symlink_to("nowhere")
    (tmp_path / "deployment").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FilesExist) as caught:
        write(tmp_path, ANSWERS)

    assert all(name in caught.value.what for name in ("README.md", "Makefile", "deployment"))
    assert "fairlead.yaml" not in caught.value.what
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Makefile", "README.md", "deployment"]
    assert (tmp_path / "README.md").read_text() == "mine\n"


def test_another_scaffolds_branch_is_not_overwritten(repository: Path) -> None:
    before = git(repository, "rev-parse", "fairlead-scaffold")
    git(repository, "rm", "-r", "--quiet", ".")
    with pytest.raises(FilesExist, match="fairlead-scaffold"):
        write(repository, Answers("other", ("live",), ANSWERS.images))
    assert git(repository, "rev-parse", "fairlead-scaffold") == before
    assert not (repository / "Makefile").exists()


def test_an_init_that_was_killed_before_it_wrote_goes_on(tmp_path: Path) -> None:
    for path in write(tmp_path, ANSWERS).paths:
        (tmp_path / path).unlink()
    assert write(tmp_path, ANSWERS).paths


def test_a_full_disk_leaves_no_half_scaffold(tmp_path: Path) -> None:
    """/dev/full cannot stand for a directory, so a name too long for the file system takes its part."""
    from fairlead.scaffold.copy import _write_files  # noqa: PLC0415

    with pytest.raises(ScaffoldError):
        _write_files(tmp_path, {"a": b"1", "b" * 300: b"2"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answers", "named"),
    [
        ({"app": "Shop"}, "'Shop'"),
        ({"app": "shop\n"}, "shop"),
        ({"app": "{{ x }}"}, "{{ x }}"),
        ({"environments": ()}, "No environment"),
        ({"environments": ("all",)}, "'all'"),
        ({"environments": ("no",)}, "'no'"),
        ({"environments": ("../x",)}, "../x"),
        ({"environments": ("live", "live")}, "'live'"),
        ({"images": ()}, "No image"),
        ({"addresses": {"live": "10.0.0.1 ansible_user=root"}}, "ansible_user"),
        ({"addresses": {"live": "{{ lookup('pipe','id') }}"}}, "lookup"),
        ({"addresses": {"nowhere": "10.0.0.1"}}, "'nowhere'"),
        ({"plain_http": ("http://x",)}, "http://x"),
        ({"secrets": ("a: b",)}, "a: b"),
        ({"version_path": "/x{app}"}, "/x{app}"),
        ({"host_keys": ("10.0.0.1 ssh-ed25519 AAAA\nevil ssh-rsa AAAA",)}, "evil"),
        ({"host_keys": ("@cert-authority * ssh-rsa AAAA",)}, "@cert"),
    ],
)
def test_an_answer_that_could_break_out_of_its_place_is_refused(answers: dict[str, object], named: str) -> None:
    good: dict[str, object] = {"app": "tracker", "environments": ("live",), "images": ANSWERS.images}
    with pytest.raises(InvalidAnswer) as caught:
        Answers(**{**good, **answers})  # type: ignore[arg-type]
    assert named in caught.value.what
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["app_image", "=x", "app_image=", "app_image=UPPER/x", "app_image=x@sha256:1"])
def test_an_image_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(FairleadError) as caught:
        Answers("tracker", ("live",), (ImageAnswer.parse(text),))
    assert isinstance(caught.value, InvalidAnswer | InvalidReference)


def test_the_record_is_read_back() -> None:
    record = Record.parse(render(ANSWERS)[RECORD])
    assert record.answers == ANSWERS


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"version": 1, "content": "", "answers": {"app": "x"}}'])
def test_a_record_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(ScaffoldUnknown):
        Record.parse(content)


def test_the_makefile_says_which_machine_it_wants(tmp_path: Path) -> None:
    write(tmp_path, ANSWERS)
    make = shutil.which("make")
    assert make, "make is not installed"

    help_text = subprocess.run([make, "help"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "deploy-local" in help_text
    refused = subprocess.run([make, "deploy-local"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Say which machine: make deploy-local VM_IP=" in refused.stderr
    said = subprocess.run(
        [make, "--dry-run", "deploy-local", "VM_IP=10.0.0.7"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == (
        "ansible-playbook -i deployment/ansible/inventory/live -e VM_IP=10.0.0.7  deployment/ansible/deploy.yml"
    )


def test_no_shipped_file_is_ignored_by_the_shipped_gitignore(repository: Path) -> None:
    assert set(git(repository, "ls-files").splitlines()) == set(render(ANSWERS))
