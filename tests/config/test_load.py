"""fairlead.yaml: the annotated example loads, and what is wrong is named by file, line, path, value and remedy."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from fairlead.config.file import ConfigurationFile
from fairlead.config.load import load_configuration, parse_yaml
from fairlead.config.models import DigestPolicy, NumericPolicy, OpentofuProvision, SemverPolicy
from fairlead.config.schema import configuration_schema
from fairlead.errors import ConfigurationError, InvalidSetting, InvalidYaml, UnreadableFile

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "reference" / "fairlead.yaml"
FEATURES = sorted((ROOT / "tests" / "configs").glob("*.yaml"))

SMALL = """\
app: shop
images:
  app_image:
    repository: r.example.com/shop/backend
    policy: {semver: "^1"}
environments:
  staging: {}
"""


def test_the_annotated_example_is_read_in_every_part() -> None:
    configuration = load_configuration(EXAMPLE.read_bytes())
    assert configuration.images["app_image"].policy == SemverPolicy(semver=">=1.0 <3")
    assert configuration.images["db_image"].policy == DigestPolicy(digest="17")
    assert configuration.images["gateway_image"].policy == NumericPolicy(numeric=r"^build-(?P<n>\d+)$")
    assert configuration.environments["production"].soak == timedelta(hours=1)
    assert configuration.environments["production"].freeze[0].zone.key == "Europe/Rome"
    assert configuration.release.settle == timedelta(seconds=20)
    assert isinstance(configuration.provision, OpentofuProvision)
    assert len(configuration.verify.checks) == 4


def test_defaults_are_enough_for_a_small_application() -> None:
    configuration = load_configuration(SMALL.encode())
    assert configuration.git.branch == "main"
    assert configuration.on_failure_in("staging") == "rollback"
    assert configuration.deploy.by == "ansible"


@pytest.mark.parametrize("path", FEATURES, ids=lambda path: path.stem)
def test_one_small_configuration_per_feature_loads(path: Path) -> None:
    load_configuration(path.read_bytes(), path.name)


def test_there_is_a_configuration_per_feature() -> None:
    assert len(FEATURES) >= 8


# Each row: what is put in place of what in SMALL, and the message, whole.
BAD_SETTINGS = [
    (
        ("staging: {}", "staging: {soak: soon}"),
        'fairlead.yaml:7: environments.staging.soak: "soon" is not a duration',
        "Write a number and a unit: 20s, 15m, 1h, 7d",
    ),
    (
        ("staging: {}", "staging: {saok: 1h}"),
        "fairlead.yaml:7: environments.staging.saok is not a setting",
        "Did you mean soak?",
    ),
    (("app: shop\n", "app: shop\nimage: {}\n"), "fairlead.yaml:2: image is not a setting", "Did you mean images?"),
    (("app: shop\n", ""), "fairlead.yaml:1: the file: app is missing", "Add app:"),
    (
        ("app_image:", "ansible_host:"),
        "fairlead.yaml:3: images.ansible_host: \"ansible_host\" is a variable of Ansible's or the playbook's own",
        "Write another name, such as app_image",
    ),
    (
        ("app: shop\n", "app: shop\nsecrets: {application: [vm_ip]}\n"),
        "fairlead.yaml:2: secrets.application[0]: \"vm_ip\" is a variable of Ansible's or the playbook's own",
        "Write another name, such as app_image",
    ),
    (
        ("app: shop\n", "app: shop\nsecrets: {application: [app_image]}\n"),
        'fairlead.yaml:2: secrets.application[0]: "app_image" is an image of this file',
        "Give it another name",
    ),
    (
        ("app: shop\n", "app: shop\npoll: 0s\n"),
        'fairlead.yaml:2: poll: "0s" asks registries without a pause',
        "Write 5s or longer",
    ),
    (
        ('{semver: "^1"}', "{semvar: 1}"),
        "fairlead.yaml:5: images.app_image.policy.semvar is not a setting",
        "Did you mean semver?",
    ),
    (
        ("shop/backend", "shop/backend:1.0"),
        'fairlead.yaml:4: images.app_image.repository: "r.example.com/shop/backend:1.0" carries a tag or a digest',
        "Write r.example.com/shop/backend; the pin is kept in images.yml",
    ),
    (
        ('{semver: "^1"}', r"{numeric: '^build-(\d+)$'}"),
        r'fairlead.yaml:5: images.app_image.policy.numeric: "^build-(\\d+)$" has no single named group',
        r"Name the number: '^build-(?P<n>\d+)$'",
    ),
    (
        ("staging: {}", "staging: {follows: stagin}"),
        'fairlead.yaml:7: environments.staging.follows: "stagin" is not an environment of this file',
        "Did you mean staging?",
    ),
    (
        ("staging: {}", "staging: {follows: production}\n  production: {follows: staging}"),
        'fairlead.yaml:7: environments.staging.follows: "production" follows in a circle: '
        "staging → production → staging",
        "Let one of them follow images",
    ),
    (
        ("staging: {}", "staging: {freeze: [Fri 16:00 - Mon 08:00 Europe/Rom]}"),
        'fairlead.yaml:7: environments.staging.freeze[0]: "Fri 16:00 - Mon 08:00 Europe/Rom" '
        "names an unknown time zone 'Europe/Rom'",
        "Write a zone of the IANA list: Europe/Rome, UTC",
    ),
    (
        ("app: shop\n", "app: shop\nrelease: {together: [app_imag]}\n"),
        'fairlead.yaml:2: release.together[0]: "app_imag" is not an image of this file',
        "Did you mean app_image?",
    ),
    (
        ("app: shop\n", 'app: shop\nverify: {checks: [{http: {url: "http://{vm_i}/"}}]}\n'),
        'fairlead.yaml:2: verify.checks[0].http.url: "http://{vm_i}/" names {vm_i}, which is not known',
        "Known: {vm_ip}, {environment}, {app}, {commit}, {app_image.tag}",
    ),
    (
        ("app: shop\n", "app: shop\ngit: {url: 'ext::sh -c id'}\n"),
        'fairlead.yaml:2: git.url: "ext::sh -c id" is not a git address',
        "Write https://…, ssh://…, user@host:path or an absolute path",
    ),
    (
        ("app: shop\n", "app: shop\ndeploy: {with: kubernetes}\n"),
        'fairlead.yaml:2: deploy: {"with": "kubernetes"} is not one of ansible, semaphore',
        "Write {with: ansible}",
    ),
    (
        ("app: shop\n", "app: shop\nverify: {checks: [{htpp: {}}]}\n"),
        "fairlead.yaml:2: verify.checks[0].htpp is not a setting",
        "Did you mean http?",
    ),
    (
        ('{semver: "^1"}', '{semver: "^1", prerelease: true}'),
        "fairlead.yaml:5: images.app_image.policy.prerelease is not a setting",
        "Did you mean prereleases?",
    ),
    (
        ("staging: {}", "staging: {soak: 999999999w}"),
        'fairlead.yaml:7: environments.staging.soak: "999999999w" is longer than ten years',
        "Write a number and a unit: 20s, 15m, 1h, 7d",
    ),
    (
        ("staging: {}", "staging: {freeze: [Fri 16:00 - Mon 08:00 ../../etc/passwd]}"),
        'fairlead.yaml:7: environments.staging.freeze[0]: "Fri 16:00 - Mon 08:00 ../../etc/passwd" '
        "names an unknown time zone '../../etc/passwd'",
        "Write a zone of the IANA list: Europe/Rome, UTC",
    ),
    (
        ("staging: {}", "staging: {freeze: [Fri 16:00 - Fri 16:00 UTC]}"),
        'fairlead.yaml:7: environments.staging.freeze[0]: "Fri 16:00 - Fri 16:00 UTC" ends when it begins',
        "Write two moments: Fri 16:00 - Mon 08:00 Europe/Rome",
    ),
    (
        ("app: shop\n", "app: shop\ngit: {url: 'https://ana:hunter2@git.example.com/shop'}\n"),
        'fairlead.yaml:2: git.url: "https://…@git.example.com/shop" holds a password',
        "Write the address without it, and export FAIRLEAD_CONTROL_GIT_TOKEN=…",
    ),
    (
        ("app: shop\n", "app: shop\ngit: {branch: a..b}\n"),
        'fairlead.yaml:2: git.branch: "a..b" is not a name of a branch',
        "Write something like main",
    ),
    (
        ("app: shop\n", "app: shop\nregistries: {r.example.com: {ca: ../site.pem}}\n"),
        'fairlead.yaml:2: registries.r.example.com.ca: "../site.pem" is not a path in the deployment repository',
        "Write something like certs/site-ca.pem",
    ),
    (
        ("app: shop\n", "app: shop\ndeploy: {directory: /opt/../etc}\n"),
        'fairlead.yaml:2: deploy.directory: "/opt/../etc" is not an absolute path',
        "Write something like /opt/app",
    ),
    (("app: shop", "app: 5"), "fairlead.yaml:1: app: 5 is not a name of an application", "Write something like shop"),
    (
        ("app: shop\n", "app: shop\nrelease: {together: app_image}\n"),
        'fairlead.yaml:2: release.together: "app_image" is not a list',
        "Write a list: [first, second]",
    ),
    (
        ("app: shop\n", "app: shop\nnotify: [notify_url]\n"),
        'fairlead.yaml:2: notify[0]: "notify_url" is not a mapping',
        "Write a mapping: {key: value}",
    ),
    (
        ("app: shop\n", "app: shop\nverify: {retries: 0}\n"),
        "fairlead.yaml:2: verify.retries: 0 is too small",
        "Write a number of at least 1",
    ),
    (
        ("app: shop\n", "app: shop\nregistries: {r.example.com: {plain_http: maybe}}\n"),
        'fairlead.yaml:2: registries.r.example.com.plain_http: "maybe" is neither true nor false',
        "Write true or false",
    ),
]


@pytest.mark.parametrize(("change", "what", "remedy"), BAD_SETTINGS, ids=[row[1][:60] for row in BAD_SETTINGS])
def test_bad_setting_is_named(change: tuple[str, str], what: str, remedy: str) -> None:
    assert change[0] in SMALL
    with pytest.raises(InvalidSetting) as caught:
        load_configuration(SMALL.replace(*change).encode())
    assert caught.value.what == what
    assert caught.value.remedy == remedy


def test_every_wrong_setting_is_told_at_once() -> None:
    text = SMALL.replace("staging: {}", "staging: {soak: soon}\n  production: {soak: later}")
    with pytest.raises(InvalidSetting) as caught:
        load_configuration(text.encode())
    assert 'fairlead.yaml:8: environments.production.soak: "later" is not a duration' in caught.value.why


# Each row: a whole file, the error's kind and a part of its message.
BAD_FILES = [
    (b"a: 1\n---\nb: 2\n", InvalidYaml, "fairlead.yaml:2: a second YAML document"),
    (b"app: shop\napp: other\n", InvalidYaml, 'fairlead.yaml:2: found duplicate key "app"'),
    (b'app: shop\n"\\uD800": x\n', InvalidYaml, "fairlead.yaml:2: an escape that is half of a character"),
    (b"app: shop\n1: x\n", InvalidYaml, "fairlead.yaml:2: the key '1' is not text"),
    (b"app: shop\nimages:\n  : x\n", InvalidYaml, "fairlead.yaml:3: the key '' is not text"),
    (b"app: shop\n[a]: x\n", InvalidYaml, "fairlead.yaml:2: the key that is no text"),
    (b"app: [shop\n", InvalidYaml, "fairlead.yaml:2: "),
    (b"app: !!python/object/apply:os.system [id]\n", InvalidYaml, "could not determine a constructor"),
    (b"app: \xff\n", UnreadableFile, "fairlead.yaml:1: is not UTF-8 text"),
    (b"", InvalidSetting, "fairlead.yaml holds no settings"),
    (b"- a\n- b\n", InvalidSetting, "fairlead.yaml holds no settings"),
    (b"x" * (10 * 1024 * 1024), UnreadableFile, "larger than 1 MiB"),
    (b"[" * 3000 + b"]" * 3000, InvalidYaml, "nested more than 64 levels deep"),
    (b"app:\n\tshop\n", InvalidYaml, "Indent with spaces"),
    (b"app: \0\n", InvalidYaml, "is not a YAML document"),
    (b"a: &a [*a, *a]\n", InvalidYaml, "aliases expand"),
    (
        b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 10)),
        InvalidYaml,
        "aliases expand to more than 100000 parts",
    ),
]


@pytest.mark.parametrize(("content", "kind", "message"), BAD_FILES, ids=[str(row[0][:30]) for row in BAD_FILES])
def test_bad_file_is_refused(content: bytes, kind: type[ConfigurationError], message: str) -> None:
    with pytest.raises(kind) as caught:
        load_configuration(content)
    assert message in str(caught.value)
    assert caught.value.remedy


def test_yaml_1_2_words_stay_text() -> None:
    assert parse_yaml(b"a: on\nb: no\n", "x").data == {"a": "on", "b": "no"}


def test_missing_file_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile) as caught:
        ConfigurationFile.in_directory(tmp_path)
    assert "fairlead init" in caught.value.remedy


def test_schema_is_json_and_describes_every_top_level_setting() -> None:
    schema = json.loads(json.dumps(configuration_schema()))
    assert all("description" in setting or "$ref" in str(setting) for setting in schema["properties"].values())
    assert schema["additionalProperties"] is False
    settle = schema["$defs"]["Release"]["properties"]["settle"]
    assert settle["default"] == "20s"
    assert re.fullmatch(settle["pattern"], settle["default"])
    assert "with" in schema["$defs"]["StaticProvision"]["properties"]
