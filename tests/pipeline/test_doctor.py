"""`fairlead doctor`: every line that can fail, provoked once, on real parts."""

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fairlead.config import layout
from fairlead.config.models import AnsibleDeploy
from fairlead.config.secrets import Secret
from fairlead.config.variables import read_variables
from fairlead.deploy.base import Target
from fairlead.deploy.connection import Way, inventory_argv, ssh_argv, way_of
from fairlead.deployment_repo.permissions import dry_push_argv
from fairlead.errors import InvalidSetting
from fairlead.lab.site import Site as LabSite
from fairlead.pipeline.doctor import here
from fairlead.pipeline.doctor.examination import examine
from fairlead.pipeline.doctor.fact import LONGEST, Fact, exit_code
from fairlead.pipeline.doctor.machine import clock, disk, parse, refused, sudo
from fairlead.process import Mask
from fairlead.registry.connection import Allowance, read_allowance
from tests.fixtures.git import git
from tests.fixtures.git_https import PASSWORD as GIT_PASSWORD
from tests.fixtures.git_https import USER as GIT_USER
from tests.fixtures.git_https import serve_https
from tests.fixtures.registry import RegistryServer, docker_registry, free_port
from tests.fixtures.scaffold import write_ansible
from tests.fixtures.shop import Shop
from tests.registry.conftest import PASSWORD, USER, TlsRegistry

CONFIGURATION = """\
app: shop
registries: {registries}
images: {{app_image: {{repository: {repository}, policy: {{semver: "1.x"}}}}}}
environments: {{staging: {{}}}}
provision: {{with: static, addresses: {{staging: {address}}}}}
deploy: {{with: ansible, port: {port}}}
"""


@dataclass
class Patient:
    """A shop that is examined. registry: where its one image is said to be."""

    shop: Shop
    port: int = 22
    address: str = "127.0.0.1"
    repository: str = ""
    registries: dict[str, object] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.repository = self.repository or self.shop.app.name
        self.registries = self.registries or {self.shop.registry.host: {"plain_http": True}}

    def write(self, more: str = "") -> None:
        """Commit fairlead.yaml and the files for Ansible."""
        write_ansible(self.shop.site.person)
        text = CONFIGURATION.format(
            registries=json.dumps(self.registries), repository=self.repository, address=self.address, port=self.port
        )
        self.shop.site.write({layout.CONFIGURATION: text + more}, "Configure")

    def facts(self, environment: str | None = "staging") -> dict[str, Fact]:
        """Everything that doctor finds out, by the fact's name."""
        variables = read_variables({"FAIRLEAD_STATE_DIR": str(self.shop.state), **self.variables})
        return {fact.fact: fact for fact in examine(self.shop.site.person, environment, variables)}


@pytest.fixture
def patient(shop: Shop) -> Patient:
    """Well, but for a machine that nobody listens on."""
    patient = Patient(shop, free_port())
    patient.write()
    return patient


def test_what_holds_is_one_line_and_what_does_not_has_its_remedy(patient: Patient) -> None:
    done = command(patient)
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert f"✔ fairlead.yaml on main: commit {patient.shop.site.head[:9]}" in lines
    assert "✔ git push: origin accepts pushes to refs/heads/main (dry run)" in lines
    assert "✔ git push of proofs: origin accepts pushes to refs/notes/fairlead (dry run)" in lines
    assert "✔ git commit: as Ada <Ada@example.com>" in lines
    assert f"✔ image app_image: {patient.shop.app.name}:1.0.0 fits semver 1.x" in lines
    assert f"✔ registry {patient.shop.registry.host}: login: none is needed" in lines
    (broken,) = [number for number, line in enumerate(lines) if line.startswith("✗")]
    assert lines[broken].startswith("✗ staging: SSH port: 127.0.0.1 answers, but not on the SSH port")
    assert lines[broken + 1] == "  → Check deploy.port in fairlead.yaml, and sshd on the machine"
    assert lines[-1] == f"  1 of {len([line for line in lines if line[0] in '✔✗'])} facts do not hold"


def test_json_has_every_fact(patient: Patient) -> None:
    done = command(patient, "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["version"]) == (1, 1)
    assert all(set(fact) == {"fact", "ok", "detail", "remedy"} for fact in document["facts"])
    assert [fact["fact"] for fact in document["facts"] if not fact["ok"]] == ["staging: SSH port"]


def test_nothing_is_changed(patient: Patient) -> None:
    person, remote = patient.shop.site.person, patient.shop.site.remote
    before = (git(person, "status", "--porcelain"), git(person, "rev-parse", "HEAD"), git(remote, "for-each-ref"))
    patient.facts()
    assert (git(person, "status", "--porcelain"), git(person, "rev-parse", "HEAD")) == before[:2]
    assert git(remote, "for-each-ref") == before[2]


def test_no_configuration_is_exit_2_and_the_rest_is_looked_at(patient: Patient) -> None:
    patient.shop.site.write({layout.CONFIGURATION: "app: shop\nimagse: {}\n"})
    done = command(patient, "--json")
    facts = {fact["fact"]: fact for fact in json.loads(done.stdout)["facts"]}
    assert done.returncode == 2
    for name in ("fairlead.yaml here", "fairlead.yaml on main"):
        assert not facts[name]["ok"]
        assert "imagse" in facts[name]["detail"]
        assert facts[name]["remedy"]
    assert facts["git push"]["ok"]


def test_no_repository_is_exit_2(shop: Shop, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = command(Patient(shop), "--json", "--repo", str(empty))
    broken = [fact["fact"] for fact in json.loads(done.stdout)["facts"] if not fact["ok"]]
    assert (done.returncode, broken) == (2, ["fairlead.yaml here", "git remote"])


def test_an_unknown_environment_is_refused(patient: Patient) -> None:
    with pytest.raises(InvalidSetting, match=r"There is no environment 'stagign'"):
        patient.facts("stagign")


def test_only_the_committed_file_is_broken(patient: Patient) -> None:
    path = patient.shop.site.person / layout.CONFIGURATION
    good = path.read_text()
    patient.shop.site.write({layout.CONFIGURATION: "- no settings\n"})
    path.write_text(good)
    facts = patient.facts()
    assert facts["fairlead.yaml here"].ok
    assert not facts["fairlead.yaml on main"].ok
    assert facts["image app_image"].ok
    assert exit_code(facts.values()) == 2


def test_a_file_that_differs_from_the_head_is_a_warning(patient: Patient) -> None:
    path = patient.shop.site.person / layout.CONFIGURATION
    path.write_text(path.read_text() + "poll: 5m\n")
    fact = patient.facts()["fairlead.yaml on main"]
    assert fact.is_warning
    assert fact.detail.endswith("the one here differs in poll")
    assert "git diff" in fact.remedy


def test_a_remote_that_is_gone(patient: Patient) -> None:
    site = patient.shop.site
    patient.facts()
    site.remote.rename(site.root / "elsewhere.git")
    facts = patient.facts()
    assert {name for name in ("git remote", "git push", "git push of proofs") if not facts[name].ok} == {
        "git remote",
        "git push",
        "git push of proofs",
    }
    assert facts["image app_image"].ok
    assert "git ls-remote origin" in facts["git remote"].remedy


def test_a_server_that_takes_no_pushes(patient: Patient) -> None:
    site = patient.shop.site
    git(site.remote, "config", "http.receivepack", "false")
    with serve_https(site.root) as server:
        url = server.url.replace("https://", f"https://{GIT_USER}:{GIT_PASSWORD}@")
        git(site.person, "remote", "set-url", "origin", f"{url}/{site.remote.name}")
        patient.variables["GIT_SSL_CAINFO"] = str(server.ca)
        done = command(patient, "--json", "-e", "staging")
    facts = {fact["fact"]: fact for fact in json.loads(done.stdout)["facts"]}
    assert facts["git remote"]["ok"], facts["git remote"]
    for name in ("git push", "git push of proofs"):
        assert not facts[name]["ok"]
        assert facts[name]["detail"].startswith("git push --dry-run with origin failed: The git host refuses")
        assert "must be allowed to write" in facts[name]["remedy"]
    assert GIT_PASSWORD not in done.stdout + done.stderr


def test_nobody_to_commit_as(patient: Patient) -> None:
    git(patient.shop.site.person, "config", "user.name", "")
    fact = patient.facts()["git commit"]
    assert not fact.ok
    assert "git config user.name NAME" in fact.remedy


def test_signing_that_cannot_work(patient: Patient) -> None:
    git(patient.shop.site.person, "config", "commit.gpgsign", "true")
    git(patient.shop.site.person, "config", "gpg.program", "false")
    fact = patient.facts()["git commit"]
    assert not fact.ok
    assert "gpg.program" in fact.remedy


def test_a_registry_that_refuses_the_login(shop: Shop, basic_registry: RegistryServer) -> None:
    image = basic_registry.fresh()
    basic_registry.push(image, "1.0.0")
    settings: dict[str, object] = {image.registry: {"plain_http": True}}
    patient = Patient(shop, free_port(), repository=image.name, registries=settings)
    patient.write()
    variable = "FAIRLEAD_CONTROL_REGISTRY_" + image.registry.upper().translate(str.maketrans(".:", "__"))
    patient.variables[variable] = f"{USER}:not-the-password"
    facts = patient.facts()
    login = facts[f"registry {image.registry}: login"]
    assert not login.ok
    assert f"docker login {image.registry}" in login.remedy
    assert not facts["image app_image"].ok
    assert "not-the-password" not in str(facts)
    patient.variables[variable] = f"{USER}:{PASSWORD}"
    facts = patient.facts()
    assert facts[f"registry {image.registry}: login"].detail == f"'{USER}' is accepted"
    assert facts["image app_image"].ok


def test_a_registry_that_is_gone_is_one_line(shop: Shop) -> None:
    host = f"127.0.0.1:{free_port()}"
    patient = Patient(shop, free_port(), repository=f"{host}/shop/app", registries={host: {"plain_http": True}})
    patient.write()
    facts = patient.facts()
    assert [name for name in facts if host in name] == [f"registry {host}"]
    assert not facts[f"registry {host}"].ok
    assert "image app_image" not in facts
    assert f"curl -v http://{host}" in facts[f"registry {host}"].remedy


def test_a_certificate_that_nobody_vouches_for(shop: Shop, tls_registry: TlsRegistry) -> None:
    host = tls_registry.registry.host
    patient = Patient(shop, free_port(), repository=f"{host}/shop/app", registries={"other.example.com": {}})
    patient.write()
    fact = patient.facts()[f"registry {host}"]
    assert not fact.ok
    assert "ca: certs/site-ca.pem" in fact.remedy


def test_what_is_left_of_a_rate_limit(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "limited").mkdir()
    said = {"RateLimit-Remaining": "7;w=21600", "RateLimit-Limit": "100;w=21600"}
    with docker_registry(tmp_path / "limited", headers=said) as host:
        settings: dict[str, object] = {host: {"plain_http": True}}
        patient = Patient(shop, free_port(), repository=f"{host}/shop/app", registries=settings)
        patient.write()
        fact = patient.facts()[f"registry {host}: rate limit"]
    assert (fact.ok, fact.is_warning, fact.detail) == (True, True, "7 of 100 left")
    assert "docker login" in fact.remedy


def test_an_image_that_is_not_there_and_one_without_a_fitting_tag(shop: Shop) -> None:
    patient = Patient(shop, free_port(), repository=f"{shop.registry.host}/no/such")
    patient.write()
    fact = patient.facts()["image app_image"]
    assert not fact.ok
    assert "skopeo list-tags" in fact.remedy
    image = shop.registry.fresh()
    shop.registry.push(image, "2.0.0")
    patient.repository = image.name
    patient.write()
    fact = patient.facts()["image app_image"]
    assert not fact.ok
    assert "has no tag that its policy semver 1.x elects" in fact.detail
    assert "2.0.0" in fact.detail


def test_secrets_are_there_or_named(patient: Patient) -> None:
    patient.write("secrets: {application: [db_password, admin_password]}\nnotify: [{secret: notify_url}]\n")
    patient.variables["FAIRLEAD_APPLICATION_DB_PASSWORD"] = "canary-value"
    facts = patient.facts()
    assert facts["secret application/db_password"].ok
    assert not facts["secret application/admin_password"].ok
    assert facts["secret application/admin_password"].remedy == "export FAIRLEAD_APPLICATION_ADMIN_PASSWORD=…"
    assert not facts["secret control/notify_url"].ok
    assert "canary-value" not in str(facts)


def test_a_secret_in_what_others_say_is_masked(patient: Patient) -> None:
    patient.variables["FAIRLEAD_STATE_DIR"] = str(patient.shop.state / "canary-value")
    patient.variables["FAIRLEAD_CONTROL_SSH_KEY"] = "canary-value"
    assert patient.facts()["state directory"].detail == str(patient.shop.state / "***")


def test_one_line_each_and_not_endless() -> None:
    fact = Fact("engine", ok=False, detail="a\n b" * 1000, remedy="c\nd").masked(Mask())
    assert (len(fact.detail), fact.remedy) == (LONGEST, "c d")


def test_a_machine_without_an_address(patient: Patient) -> None:
    text = (patient.shop.site.person / layout.CONFIGURATION).read_text()
    patient.shop.site.write({layout.CONFIGURATION: text.replace("{staging: 127.0.0.1}", "{}")})
    fact = patient.facts()["staging: address"]
    assert not fact.ok
    assert "Add it" in fact.remedy


def test_an_environment_without_an_inventory(patient: Patient) -> None:
    (patient.shop.site.person / layout.inventory_file("staging")).unlink()
    patient.shop.site.write({})
    fact = patient.facts()["staging: inventory"]
    assert not fact.ok
    assert "fairlead init --update" in fact.remedy


def test_a_state_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (fact,) = here.state_directory(tmp_path / "file" / "state")
    assert not fact.ok
    assert "FAIRLEAD_STATE_DIR" in fact.remedy


@pytest.mark.lab
def test_a_machine_that_is_well(shop: Shop, lab_site: LabSite) -> None:
    patient = on_lab(shop, lab_site)
    facts = patient.facts()
    there = {name.removeprefix("staging: "): fact for name, fact in facts.items() if name.startswith("staging: ")}
    assert [name for name, fact in there.items() if not fact.ok] == [], there
    wanted = ("SSH port", "host key", "login", "sudo", "Docker engine", "Compose", "Python", "disk", "clock")
    assert tuple(there) == ("address", "inventory", *wanted)
    assert there["clock"].detail == "is this computer's"
    assert there["inventory"].detail == f"Ansible connects to deploy@{patient.address} port 22"
    assert patient.variables["FAIRLEAD_CONTROL_SSH_KEY"].splitlines()[1] not in str(facts)


@pytest.mark.lab
def test_another_host_key(shop: Shop, lab_site: LabSite, tmp_path: Path) -> None:
    patient = on_lab(shop, lab_site)
    public = new_key(tmp_path).with_suffix(".pub").read_text()
    shop.site.write({layout.KNOWN_HOSTS: f"{patient.address} {public}"})
    facts = patient.facts()
    assert not facts["staging: host key"].ok
    assert f"ssh-keygen -R {patient.address}" in facts["staging: host key"].remedy
    assert "staging: sudo" not in facts


@pytest.mark.lab
def test_a_key_that_the_machine_does_not_know(shop: Shop, lab_site: LabSite, tmp_path: Path) -> None:
    patient = on_lab(shop, lab_site)
    patient.variables["FAIRLEAD_CONTROL_SSH_KEY"] = new_key(tmp_path).read_text()
    facts = patient.facts()
    assert facts["staging: host key"].ok
    assert not facts["staging: login"].ok
    assert "ssh_key" in facts["staging: login"].remedy


@pytest.mark.lab
def test_a_user_who_may_not_become_root(shop: Shop, lab_site: LabSite) -> None:
    machine = lab_site.machines["staging"]
    name = f"doc{uuid.uuid4().hex[:8]}"
    public = subprocess.run(["ssh-keygen", "-y", "-f", str(machine.ssh_key)], capture_output=True, check=True).stdout
    patient = on_lab(shop, lab_site, f"deploy: {{with: ansible, user: {name}}}")
    as_root(machine.container, "useradd", "--create-home", "--password", "*", name)
    try:
        as_root(machine.container, "mkdir", f"/home/{name}/.ssh")
        as_root(machine.container, "tee", f"/home/{name}/.ssh/authorized_keys", said=public)
        facts = patient.facts()
    finally:
        as_root(machine.container, "userdel", "--remove", name)
    assert facts["staging: login"].ok, facts["staging: login"]
    assert not facts["staging: sudo"].ok
    assert "password is required" in facts["staging: sudo"].detail
    assert "NOPASSWD" in facts["staging: sudo"].remedy
    assert not facts["staging: Docker engine"].ok
    assert facts["staging: disk"].ok


@pytest.mark.parametrize(
    ("found", "ok"),
    [("26.1.5+dfsg1", True), ("20.10.24", True), ("20.9", False), ("", False), ("permission denied", False)],
)
def test_versions(found: str, ok: bool) -> None:
    fact = here.judged("engine", found, (20, 10), "apt-get install docker.io")
    assert (fact.ok, bool(fact.remedy)) == (ok, not ok)


@pytest.mark.parametrize(
    ("line", "ok", "warns"),
    [
        ("/dev/sda1 20000 9000 11000 45% /", True, False),
        ("/dev/sda1 20000 19000 1000 95% /", True, True),
        ("/dev/sda1 20000 19900 100 99% /", False, False),
        ("", False, False),
    ],
)
def test_disk(line: str, ok: bool, warns: bool) -> None:
    fact = disk(line)
    assert (fact.ok, fact.is_warning) == (ok, warns)


@pytest.mark.parametrize(
    ("said", "detail", "warns"),
    [
        ("1000", "is this computer's", False),
        ("1002", "is this computer's", False),
        ("1032", "30 s from this computer's", False),
        ("969", "31 s from this computer's", True),
    ],
)
def test_clock(said: str, detail: str, warns: bool) -> None:
    fact = clock(said, 1000.4, 1002.6)
    assert (fact.ok, fact.detail, fact.is_warning) == (True, detail, warns)


def test_a_clock_that_says_nothing_and_a_sudo_that_is_not_there() -> None:
    assert not clock("date: not found", 0, 1).ok
    assert not sudo({"refused": ""}).ok
    assert sudo({"sudo": "root"}).ok


def test_the_answer_is_read_through_a_greeting() -> None:
    assert parse("Welcome!\nclock\t12\nrefused\t\n") == {"clock": "12", "refused": ""}


def test_a_refusal_in_words_that_nobody_knows_is_the_logins() -> None:
    (fact,) = refused("This account is currently not available.", Way("10.0.0.5", "deploy", 22))
    assert (fact.fact, fact.ok, fact.remedy) == ("login", False, "ssh -v 10.0.0.5")


def test_ssh_goes_the_way_of_deploys_and_keeps_no_connection(tmp_path: Path) -> None:
    way = Way("10.0.0.5", "deploy", 2222, ("-o", "ProxyJump=gate"))
    argv = ssh_argv(way, tmp_path, tmp_path / "key")
    assert argv[:6] == ["ssh", "-T", "-o", "ControlMaster=no", "-o", "ControlPath=none"]
    assert "StrictHostKeyChecking=yes" in argv
    assert f'UserKnownHostsFile="{tmp_path / layout.KNOWN_HOSTS}"' in argv
    login = ["-i", str(tmp_path / "key"), "-l", "deploy", "-p", "2222", "--", "10.0.0.5", "sh -s"]
    assert argv[-11:] == ["-o", "ProxyJump=gate", *login]
    assert (way.is_direct, Way("10.0.0.5", None, 22).is_direct) == (False, True)


def test_a_way_is_the_inventorys_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    values = {
        "ansible_user": "root",
        "ansible_port": 2222,
        "ansible_ssh_common_args": "-o 'UserKnownHostsFile=\"{{ playbook_dir }}/known_hosts\"'",
    }
    options = ("-o", f'UserKnownHostsFile="{tmp_path / layout.KNOWN_HOSTS}"')
    assert way_of(values, target(tmp_path), AnsibleDeploy()) == Way("10.0.0.5", "root", 2222, options)
    explicit = way_of(values, target(tmp_path), AnsibleDeploy(user="app", port=22))
    assert (explicit.user, explicit.port) == ("app", 22)


@pytest.mark.parametrize("user", ["{{ who }}", "-oProxyCommand=id", "a b"])
def test_a_user_that_is_no_users_name_never_reaches_ssh(tmp_path: Path, user: str) -> None:
    with pytest.raises(InvalidSetting, match="ansible_user"):
        way_of({"ansible_user": user}, target(tmp_path), AnsibleDeploy())


def test_command_lines() -> None:
    push = ["push", "--dry-run", "--force", "--porcelain", "--no-verify", "--", "origin", f"{'a' * 40}:refs/heads/main"]
    assert dry_push_argv("origin", "a" * 40, "refs/heads/main") == push
    program = [sys.executable, "-P", "-m", "ansible.cli.inventory"]
    asked = ["--inventory", "/c/inventory", "--playbook-dir", "/c/deployment/ansible", "--list"]
    assert inventory_argv(Path("/c/inventory"), Path("/c")) == [*program, *asked]


def test_rate_limit_headers() -> None:
    assert read_allowance({"ratelimit-remaining": "76;w=21600", "ratelimit-limit": "100"}) == Allowance(76, 100)
    assert read_allowance({"ratelimit-remaining": "76"}) == Allowance(76)
    assert read_allowance({"ratelimit-remaining": "many"}) is None
    assert read_allowance({}) is None


def target(checkout: Path) -> Target:
    return Target(
        environment="staging", app="shop", commit="c" * 40, checkout=checkout, vm_ip="10.0.0.5", pins={}, secrets={}
    )


def command(patient: Patient, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a process of its own."""
    environment = {**os.environ, "FAIRLEAD_STATE_DIR": str(patient.shop.state), "NO_COLOR": "1", **patient.variables}
    argv = [sys.executable, "-m", "fairlead", "doctor", *words]
    return subprocess.run(
        argv, cwd=patient.shop.site.person, env=environment, capture_output=True, text=True, check=False
    )


def on_lab(shop: Shop, lab_site: LabSite, deploy: str = "deploy: {with: ansible}") -> Patient:
    """A patient whose machine is the lab's."""
    machine = lab_site.machines["staging"]
    patient = Patient(shop, address=machine.address)
    patient.variables["FAIRLEAD_CONTROL_SSH_KEY"] = Secret(machine.ssh_key.read_text()).reveal()
    patient.write()
    text = (shop.site.person / layout.CONFIGURATION).read_text()
    own = text.replace("deploy: {with: ansible, port: 22}", deploy)
    shop.site.write({layout.KNOWN_HOSTS: machine.known_hosts_line, layout.CONFIGURATION: own})
    return patient


def new_key(directory: Path) -> Path:
    """A key that no machine knows."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "stranger")], check=True)
    return directory / "stranger"


def as_root(container: str, *argv: str, said: bytes = b"") -> None:
    """Run a program on the machine."""
    subprocess.run(["docker", "exec", "-i", container, *argv], input=said, capture_output=True, check=True)
