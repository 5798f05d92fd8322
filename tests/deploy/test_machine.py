"""Deploys to a real machine over ssh: who is let in, what is left there, the small application from pin to proof."""

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.config.models import AnsibleDeploy
from fairlead.config.secrets import Secret
from fairlead.config.variables import read_variables
from fairlead.deploy.ansible import AnsibleDeployer
from fairlead.deploy.base import DeployResult, Outcome
from fairlead.deploy.private import MEMORY, PREFIX
from fairlead.deployment_repo.proofs import Proofs
from fairlead.lab import demo
from fairlead.lab.site import Lab
from fairlead.lab.site import Site as LabSite
from fairlead.pipeline import machines, rollout
from fairlead.pipeline.scope import Scope
from tests.conformance.fields import AnsibleField, deploy_request, running_request
from tests.deploy.playbooks import processes_with
from tests.fixtures.git import Site, git
from tests.fixtures.lab import remove_application
from tests.fixtures.scaffold import write_ansible

pytestmark = pytest.mark.lab
PORT = 8081  # the lab's machines are shared: port 80 is others'
CONFIGURATION = """\
app: {app}
images:
  app_image: {{repository: {backend}, policy: {{semver: "*"}}}}
  db_image: {{repository: {db}, policy: {{semver: "*"}}}}
  gateway_image: {{repository: {gateway}, policy: {{semver: "*"}}}}
environments: {{staging: {{}}}}
provision: {{with: static, addresses: {{staging: {address}}}}}
secrets: {{application: [postgres_password]}}
verify:
  delay: 1s
  checks:
    - http: {{url: "http://{{vm_ip}}:{port}/api/version", json: {{version: "{{app_image.tag}}"}}}}
    - running_digests: {{}}
"""
VARIABLES = "app_name: {app}\napp_directory: /opt/{app}\nhttp_port: {port}\n"


def deploy(field: AnsibleField) -> DeployResult:
    return field.deployer.deploy(deploy_request(field, field.images.old))


def known_hosts(field: AnsibleField) -> Path:
    """The file in the release's export."""
    checkout: Path = field.release(field.images.old)["checkout"]
    return checkout / layout.KNOWN_HOSTS


def new_key(directory: Path) -> Path:
    """A key that no machine knows."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "stranger")], check=True)
    return directory / "stranger"


def on_machine(field: AnsibleField, *argv: str) -> str:
    """What a program prints on the machine, as root."""
    words = ["docker", "exec", field.site.machines["staging"].container, *argv]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def test_another_host_key_is_refused_also_right_after_a_good_deploy(
    ansible_field: AnsibleField, tmp_path: Path
) -> None:
    assert deploy(ansible_field).outcome is Outcome.DEPLOYED
    other = new_key(tmp_path).with_suffix(".pub").read_text()
    known_hosts(ansible_field).write_text(f"{ansible_field.vm_ip} {other}")
    result = deploy(ansible_field)
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "host-key")
    assert "is not the one in deployment/ansible/known_hosts" in result.reason
    assert f"ssh-keygen -R {ansible_field.vm_ip}" in result.remedy


def test_an_unknown_host_key_is_refused(ansible_field: AnsibleField) -> None:
    known_hosts(ansible_field).write_text("")
    result = deploy(ansible_field)
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "host-key")
    assert "is not in deployment/ansible/known_hosts" in result.reason


def test_no_connection_is_left_open(ansible_field: AnsibleField) -> None:
    directories: set[Path] = set()
    request = deploy_request(
        ansible_field,
        ansible_field.images.old,
        on_event=lambda _event: directories.update(held_directories()),
    )
    assert ansible_field.deployer.deploy(request).ok
    (wiped,) = directories
    assert not wiped.exists()
    assert processes_with(str(wiped)) == []


def held_directories() -> Iterator[Path]:
    """The private directories whose lock this process holds: other tests have theirs, beside this one."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            directory = descriptor.readlink().parent
            if directory.parent == MEMORY and directory.name.startswith(PREFIX):
                yield directory


def test_a_key_that_the_machine_does_not_know_is_told(ansible_field: AnsibleField, tmp_path: Path) -> None:
    ansible_field.deployer = AnsibleDeployer(AnsibleDeploy(), ssh_key=Secret(new_key(tmp_path).read_text()))
    result = deploy(ansible_field)
    assert (result.outcome, result.code) == (Outcome.SITE_FAULT, "ssh-key")
    assert "ssh_key" in result.remedy


def test_a_secret_is_on_the_machine_only_where_the_application_reads_it(ansible_field: AnsibleField) -> None:
    canary = f"canary-{uuid.uuid4().hex}"
    request = deploy_request(ansible_field, ansible_field.images.old, secrets={"password": Secret(canary)})
    assert ansible_field.deployer.deploy(request).ok
    # (The engine itself keeps a container's environment, where only root looks; runc's file is there while a health
    # check runs.)
    places = ["/opt", "/tmp", "/home", "/root", "/var/log", "/var/lib/fairlead", "/run", "/etc"]
    search = ("grep", "-rlsa", "--devices=skip", "--exclude-dir=containerd", "--exclude=runc-process*", canary)
    found = set(on_machine(ansible_field, *search, *places).split())
    files = {f"/opt/{ansible_field.app}/.env", f"/var/lib/fairlead/{ansible_field.app}/serving/.env"}
    assert found <= files
    assert f"/opt/{ansible_field.app}/.env" in found
    assert on_machine(ansible_field, "stat", "-c", "%a", *sorted(found)).split() == ["600"] * len(found)
    assert canary not in on_machine(ansible_field, "journalctl", "--no-pager", "-q")


def test_what_is_pinned_and_used_by_nothing_is_a_difference(ansible_field: AnsibleField) -> None:
    assert deploy(ansible_field).ok
    request = running_request(ansible_field, ansible_field.images.old)
    request.pins["forgotten_image"] = ansible_field.images.new  # type: ignore[index]
    running = ansible_field.deployer.check_running(request)
    assert running.differences == (f"forgotten_image: nothing runs {ansible_field.images.new}",)


def test_the_small_application_is_deployed_verified_and_proven(site: Site, lab_site: LabSite, session_lab: Lab) -> None:
    scope = small_application(site, lab_site, session_lab)
    machine = machines.provision(scope)
    result = rollout.deploy(scope, machine, "run-1")
    assert (result.outcome, result.reason) == (Outcome.DEPLOYED, "")
    assert {change.service for change in result.changes} == {"backend", "db", "gateway"}
    assert rollout.deploy(scope, machine, "run-2").outcome is Outcome.UNCHANGED
    proof = rollout.prove(scope, "run-1", rollout.verify(scope, machine, new=True))
    assert [kept.line() for kept in Proofs(scope.repository).read(scope.commit)] == [proof.line()]
    assert set(proof.digests) == {"app_image", "db_image", "gateway_image"}
    remove_application(session_lab, lab_site, scope.configuration.app)


def small_application(site: Site, lab_site: LabSite, lab: Lab) -> Scope:
    """A deployment repository for the demo's application, on a port of its own."""
    machine = lab_site.machines["staging"]
    app = f"small{uuid.uuid4().hex[:6]}"
    pins = {name: demo.push(lab, demo.Build(name, "1.0.0")) for name in demo.COMPONENTS}
    place = write_ansible(site.person)
    (place / "group_vars/staging/here.yml").write_text(VARIABLES.format(app=app, port=PORT))
    names = {name: pin.name for name, pin in pins.items()}
    images = {"app_image": pins["backend"], "db_image": pins["db"], "gateway_image": pins["gateway"]}
    site.write(
        {
            layout.CONFIGURATION: CONFIGURATION.format(app=app, address=machine.address, port=PORT, **names),
            layout.KNOWN_HOSTS: machine.known_hosts_line,
            layout.images_file("staging"): "".join(f"{name}: {pin}\n" for name, pin in images.items()),
        },
        "Add the small application",
    )
    assert git(site.person, "status", "--porcelain") == ""
    secrets = {
        "FAIRLEAD_APPLICATION_POSTGRES_PASSWORD": "hunter22",
        "FAIRLEAD_CONTROL_SSH_KEY": machine.ssh_key.read_text(),
    }
    return Scope.open(site.person, "staging", None, read_variables(secrets))
