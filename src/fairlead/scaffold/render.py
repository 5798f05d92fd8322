"""From answers to files, in memory.

`files/` is itself a deployment repository, of an application `shop` with the environment `staging`, that each file's
own tool can check. Rendering puts other names into it: the words `shop` and `staging`, files and folders named
`staging` once per environment, and the lines between `# <name>` and `# </name>` (in Groovy `//`). Services that not
everybody has (frontend, keycloak) stay only where an answer gives their image.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fairlead import __version__
from fairlead.config import layout
from fairlead.config.load import load_configuration
from fairlead.config.schema import configuration_schema
from fairlead.errors import ScaffoldUnknown
from fairlead.images import ImageReference
from fairlead.scaffold import jenkins
from fairlead.scaffold.answers import Answers

FILES = Path(__file__).parent / "files"
RECORD = ".fairlead/scaffold.json"
SCHEMA = ".fairlead/schema.json"
_EXAMPLE_APP = "shop"
_EXAMPLE_ENVIRONMENT = "staging"
_EXAMPLE_WORD = re.compile(rf"\b({_EXAMPLE_APP}|{_EXAMPLE_ENVIRONMENT})\b")
# Files of a second environment let `files/` run as it is; `staging` is the pattern for all.
_EXAMPLE_ONLY = ("production",)
TEMPLATE = f"{layout.ANSIBLE}/templates/docker-compose.yml.j2"
_IMAGE_VARIABLE = re.compile(r"image:\s*\{\{\s*([a-z0-9_]+)")
_VERBATIM = ("deployment/ansible/library",)
# The image's variable is `<service>_image`; its folder, where it has one, deployment/docker/<service>.
_OPTIONAL = ("frontend", "keycloak")
_SERVICES = ("app", "frontend", "keycloak", "db", "gateway")
_BLOCK = re.compile(
    r"^(?P<indent>[ \t]*)(?:#|//) <(?P<name>[a-z]+)>\n(?P<lines>.*?)^[ \t]*(?:#|//) </(?P=name)>\n",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Record:
    """Which scaffold a repository was made from: Fairlead's version, a digest of the files, the answers."""

    version: str
    content: str
    answers: Answers

    def to_bytes(self) -> bytes:
        """The file `.fairlead/scaffold.json`."""
        record = {"version": self.version, "content": self.content, "answers": self.answers.as_record()}
        return (json.dumps(record, indent=2, sort_keys=True) + "\n").encode()

    @classmethod
    def parse(cls, content: bytes) -> "Record":
        """Raises ScaffoldUnknown for anything but a record."""
        try:
            record = json.loads(content)
            return cls(str(record["version"]), str(record["content"]), Answers.from_record(record["answers"]))
        except Exception as error:
            raise ScaffoldUnknown(
                f"{RECORD} cannot be read",
                why=f"{type(error).__name__}: {error}",
                remedy=f"Restore it from the commit that wrote it: git log -- {RECORD}",
            ) from error


def render(answers: Answers, *, source: Path = FILES, version: str = __version__) -> dict[str, bytes]:
    """Every file of the scaffold: path relative to the repository's root, and content. Writes nothing."""
    files = dict(_rendered(answers, source))
    load_configuration(files[layout.CONFIGURATION])  # an answer that only the whole file shows to be wrong
    files[SCHEMA] = (json.dumps(configuration_schema(), indent=2) + "\n").encode()
    files[RECORD] = Record(version, _digest(files), answers).to_bytes()
    return dict(sorted(files.items()))


def _rendered(answers: Answers, source: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        path = file.relative_to(source).as_posix()
        content = file.read_bytes()
        if path.startswith(tuple(f"deployment/docker/{service}/" for service in _left_out(answers))):
            continue
        if path.startswith(_VERBATIM):
            yield path, content
        elif _is_of(path, _EXAMPLE_ENVIRONMENT):
            for environment in answers.environments:
                yield _with_names(path, answers.app, environment), _fill(content, answers, environment)
        elif not any(_is_of(path, name) for name in _EXAMPLE_ONLY):
            yield path, _fill(content, answers, answers.environments[0])


def _is_of(path: str, environment: str) -> bool:
    """Whether a folder or the file is named for the environment: `staging`, `staging.tfvars`."""
    return any(part.split(".", 1)[0] == environment for part in PurePosixPath(path).parts)


def _fill(content: bytes, answers: Answers, environment: str) -> bytes:
    text = _with_names(content.decode(), answers.app, environment)
    blocks, left_out = _blocks(answers, environment), _left_out(answers)

    def filled(block: re.Match[str]) -> str:
        if block["name"] in _OPTIONAL:
            return "" if block["name"] in left_out else _BLOCK.sub(filled, block["lines"])
        return _indent(blocks[block["name"]], block["indent"])

    return _BLOCK.sub(filled, text).encode()


def _left_out(answers: Answers) -> list[str]:
    """The optional services that no answer gives an image."""
    given = {image.name for image in answers.images}
    return [service for service in _OPTIONAL if f"{service}_image" not in given]


def _with_names(text: str, app: str, environment: str) -> str:
    """In one pass, so that an application may be called `staging`."""
    names = {_EXAMPLE_APP: app, _EXAMPLE_ENVIRONMENT: environment}
    return _EXAMPLE_WORD.sub(lambda match: names[match[0]], text)


def _indent(lines: list[str], indent: str) -> str:
    return "".join(f"{indent}{line}\n" for line in lines)


def _blocks(answers: Answers, environment: str) -> dict[str, list[str]]:
    """The lines that depend on lists of answers, by the name of the block that they replace."""
    return {
        "registries": _registries(answers),
        "images": [line for image in answers.images for line in _image(image.name, image.reference, image.policy)],
        "environments": list(_environments(answers.environments)),
        "provision": _provision(answers),
        "version": _version_check(answers),
        "secrets": [f"application: [{', '.join(answers.secrets)}]"],
        "hostkeys": list(answers.host_keys),
        "gitlab": list(_gitlab(answers.environments)),
        "tfvars": _tfvars(answers, environment),
        **dict(_images_at_hand(answers)),
        **jenkins.blocks(answers),
        "pins": [f"{image.name}: {image.reference}" for image in answers.images if image.reference.is_pin],
    }


def _registries(answers: Answers) -> list[str]:
    if not answers.plain_http:
        return []
    return ["registries:", *(f"  {_quoted(host)}: {{plain_http: true}}" for host in answers.plain_http), ""]


def _image(name: str, reference: ImageReference, policy: str) -> list[str]:
    remark = "" if reference.tag else "              # any version: narrow it"
    return [f"{name}:", f"  repository: {reference.name}", f"  policy: {policy}{remark}"]


def _environments(names: tuple[str, ...]) -> Iterator[str]:
    followed, what = "images", "the newest release that the policies allow"
    for name in names:
        yield f"{name}:"
        yield f"  follows: {followed:<25} # {what}"
        followed, what = name, f"what {name} has proven: the same digests"


def _gitlab(names: tuple[str, ...]) -> Iterator[str]:
    """The jobs of each environment. The first is looked at by every pipeline; the others are for a person to start."""
    first, *others = names
    yield from (f"look-{first}:", "  extends: .look", f"  variables: {{ENVIRONMENT: {first}}}", "")
    yield from (f"release-{first}:", "  extends: .release", f"  needs: [look-{first}]")
    yield from _gitlab_release(first, f"[{{artifact: child.yml, job: look-{first}}}]")
    for name in others:
        yield from (f"release-{name}:", "  extends: .release-by-hand")
        yield from _gitlab_release(name, "deployment/cicd/gitlab-ci.yml")


def _gitlab_release(name: str, child: str) -> Iterator[str]:
    """The rest of an environment's trigger, and the job of its child pipeline that has the environment's page."""
    yield from (f"  resource_group: {name}", f"  variables: {{ENVIRONMENT: {name}}}")
    yield from (f"  trigger: {{include: {child}, strategy: depend}}", "")
    yield from (f"verify-{name}:", "  extends: .verify", "  rules:")
    yield f'    - if: $CI_PIPELINE_SOURCE == "parent_pipeline" && $ENVIRONMENT == "{name}"'
    yield f'  environment: {{name: {name}, url: "http://$VM_IP/", deployment_tier: {_tier(name)}}}'
    yield ""


def _tier(environment: str) -> str:
    """The `deployment_tier` that GitLab itself would guess from the name (docs.gitlab.com, "Environments")."""
    known = {"prod": "production", "live": "production", "stag": "staging", "test": "testing", "qa": "testing"}
    known |= {"dev": "development"}
    return next((tier for part, tier in known.items() if part in environment), "other")


def _provision(answers: Answers) -> list[str]:
    if not answers.addresses:
        return ["provision: {with: opentofu}"]
    lines = ["provision:", f"  with: static{'':<25}# the machines exist", "  addresses:"]
    return lines + [f"    {name}: {_quoted(address)}" for name, address in answers.addresses.items()]


def _tfvars(answers: Answers, environment: str) -> list[str]:
    """The machine of an environment, as `tofu fmt` writes it. A list of texts is the same in JSON."""
    machine = answers.machine(environment)
    values = {
        "node_name": machine.node,
        "template_id": machine.template,
        "vm_id": machine.vm_id,
        "vm_name": f"{answers.app}-{environment}",
        "cores": 2,
        "memory": 2048,
        "vm_disk_size": 20,
        "address": machine.address,
        "gateway": machine.gateway,
        "dns_servers": list(machine.dns_servers),
        "ssh_keys": list(machine.ssh_keys),
        "tags": [answers.app, environment],
    }
    return [f"{name:<12} = {json.dumps(value)}" for name, value in values.items()]


def _version_check(answers: Answers) -> list[str]:
    url = f"http://{{vm_ip}}{answers.version_path or '/api/version'}"
    check = f'- http: {{url: "{url}", json: {{version: "{{{answers.images[0].name}.tag}}"}}}}'
    return [check if answers.version_path else f"# {check}"]


def _images_at_hand(answers: Answers) -> Iterator[tuple[str, list[str]]]:
    """What docker-compose.yml runs: the tags that were given, else what a person has to fill in."""
    given = {image.name: image.reference for image in answers.images}
    for service in _SERVICES:
        reference = given.get(f"{service}_image")
        name = reference.name if reference else f"registry.example.com/{answers.app}/{service}"
        tag = f":{reference.tag}" if reference and reference.tag else ":TAG    # say which one"
        yield f"{service}image", [f"image: {name}{tag}"]


def unmatched_variables(files: Mapping[str, bytes]) -> list[str]:
    """Image variables of the shipped Compose template that no answer gives: a person has to edit the template."""
    given = {image.name for image in Record.parse(files[RECORD]).answers.images}
    return sorted(set(_IMAGE_VARIABLE.findall(files[TEMPLATE].decode())) - given)


def _quoted(text: str) -> str:
    """A YAML key or scalar; quoted where a colon could make it something else."""
    return f'"{text}"' if ":" in text else text


def _digest(files: dict[str, bytes]) -> str:
    """sha256 over all paths and contents: two scaffolds of one version that differ are told apart."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{len(path)} {path} {len(content)} ".encode() + content)
    return f"sha256:{digest.hexdigest()}"
