"""`fairlead init`: write a deployment repository, or bring an older one forward."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli import context, options
from fairlead.cli.output import Output
from fairlead.errors import UsageError

if TYPE_CHECKING:
    from fairlead.lab.infrastructure import Infrastructure
    from fairlead.scaffold.answers import Answers, MachineAnswer
    from fairlead.scaffold.git import Git

_PLAIN = "http://"
_BRANCH = "main"  # the git.branch of the fairlead.yaml that is written
Directory = Annotated[Path, typer.Argument(help="Where to write; made if it is not there.")]
App = Annotated[str | None, typer.Option("--app", help="The application's name, such as shop.")]
Environments = Annotated[
    list[str] | None,
    typer.Option("--environment", "-e", help="An environment; the first follows images, the next ones each other."),
]
Images = Annotated[
    list[str] | None,
    typer.Option("--image", help="NAME=REPOSITORY[:TAG[@DIGEST]]: an Ansible variable and the image it stands for."),
]
Addresses = Annotated[
    list[str] | None,
    typer.Option("--address", help="ENVIRONMENT=ADDRESS of an existing machine; else OpenTofu makes it."),
]
Registry = Annotated[
    str | None,
    typer.Option("--registry", help="For images that are given without a registry; http://HOST:PORT: without TLS."),
]
Secrets = Annotated[list[str] | None, typer.Option("--secret", help="An Ansible variable that is secret.")]
VersionPath = Annotated[
    str | None,
    typer.Option("--version-path", help='Where the application answers {"version": TAG}: checked after a deploy.'),
]
LabName = Annotated[
    str | None, typer.Option("--lab", help="A lab's name: its machines, registry and the demo's images.")
]
Stack = Annotated[str, typer.Option("--stack", help="With --lab, which demo: small (3 services) or shop (5).")]
Update = Annotated[
    bool, typer.Option("--update", help="Merge newer scaffold files into a branch for review; keeps your edits.")
]


@dataclass(frozen=True)
class _Defaults:
    """What is not asked, because a lab knows it."""

    app: str = ""
    environments: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    registry: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)
    host_keys: tuple[str, ...] = ()
    version_path: str = ""
    secrets: tuple[str, ...] = ("postgres_password",)
    machines: Mapping[str, "MachineAnswer"] = field(default_factory=dict)


def init(  # noqa: PLR0913 - each is a flag of the command
    directory: Directory = Path(),
    *,
    app: App = None,
    environment: Environments = None,
    image: Images = None,
    address: Addresses = None,
    registry: Registry = None,
    secret: Secrets = None,
    version_path: VersionPath = None,
    lab: LabName = None,
    stack: Stack = "small",
    update: Update = False,
    as_json: options.JsonOption = False,
) -> None:
    """Write a deployment repository: asks, or takes flags. Never overwrites."""
    output = context.output(as_json=as_json)
    if update:
        _update(directory, output)
        if lab:
            _take_lab_build(directory, output)
        return
    known = _defaults_of(lab, stack) if lab else _Defaults()
    asked = _ask(
        directory,
        app or known.app,
        environment or list(known.environments),
        image or list(known.images),
    )
    answers = _answers(
        *asked,
        registry or known.registry,
        addresses=_addresses(known.addresses, address or [], asked[1]),
        host_keys=known.host_keys,
        machines={name: machine for name, machine in known.machines.items() if name in asked[1]},
        secrets=tuple(secret or known.secrets),
        version_path=known.version_path if version_path is None else version_path,
    )
    _write(directory, answers, output, _remote_of(lab, answers.app) if lab else "")
    if lab:
        _take_lab_build(directory, output)


def _take_lab_build(directory: Path, output: Output) -> None:
    """Where the provider is locked already: to what the lab has built too, so that the repository runs on both."""
    from fairlead.config import layout  # noqa: PLC0415
    from fairlead.provision import lock_file  # noqa: PLC0415

    file = directory / layout.LOCK_FILE
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    version, mirror = lock_file.locked_version(text), context.variables().cache / "opentofu" / "providers"
    package = lock_file.built_package(mirror, version) if version else None
    if package is None:
        if version and mirror.is_dir():
            output.waiting(f"{layout.LOCK_FILE} is of version {version} of the provider, which the lab has not built")
        return
    changed = lock_file.with_hash(text, lock_file.package_hash(package))
    if changed != text:
        file.write_text(changed, encoding="utf-8")
        output.detail(f"{layout.LOCK_FILE} has the checksum of the lab's own provider too: commit it")


def _remote_of(lab: str, app: str) -> str:
    """The application's repository on a lab's git server, made if it is not there."""
    from fairlead.lab.site import Lab  # noqa: PLC0415

    return Lab(lab, context.variables().state).site().repository(app)


def _defaults_of(lab: str, stack: str) -> _Defaults:
    """A lab's machines and registry, and a demo's images. Raises LabMissing, and LabUsage for an unknown stack."""
    from fairlead.lab.demo import APPLICATION, image_answers, secrets_of  # noqa: PLC0415
    from fairlead.lab.site import Lab  # noqa: PLC0415

    site = Lab(lab, context.variables().state).site()
    return _Defaults(
        app=APPLICATION,
        environments=(*site.machines, *(site.infrastructure.machines if site.infrastructure else ())),
        machines=_machines_of(site.infrastructure),
        images=image_answers(stack),
        registry=f"{_PLAIN}{site.registry}",
        addresses={name: machine.address for name, machine in site.machines.items()},
        host_keys=tuple(machine.known_hosts_line.strip() for machine in site.machines.values()),
        version_path="/api/version",
        secrets=secrets_of(stack),
    )


def _machines_of(infrastructure: "Infrastructure | None") -> dict[str, "MachineAnswer"]:
    """What OpenTofu is to make in a lab: VMs from its template, in its network, for its SSH keys."""
    from fairlead.scaffold.answers import MachineAnswer  # noqa: PLC0415

    planned = infrastructure.machines if infrastructure else {}
    return {
        name: MachineAnswer(each.vm_id, each.address, each.gateway, (each.gateway,), (each.public_key,))
        for name, each in planned.items()
    }


def _ask(directory: Path, app: str, environments: list[str], images: list[str]) -> tuple[str, list[str], list[str]]:
    """Ask for what is not given."""
    _refuse_silence({"--app": app, "--environment": environments, "--image": images})
    return (
        app or typer.prompt("The application's name", default=directory.resolve().name.lower(), err=True),
        environments or typer.prompt("Its environments", default="staging production", err=True).split(),
        images or _ask_images(),
    )


def _refuse_silence(needed: Mapping[str, object]) -> None:
    """Where there is nobody to ask, name the flags that are missing."""
    missing = [flag for flag, given in needed.items() if not given]
    if missing and not sys.stdin.isatty():
        raise UsageError(
            f"fairlead init needs {', '.join(missing)}",
            why="It asks for them only on a terminal",
            remedy="fairlead init --app shop --environment staging --image app_image=registry.example.com/shop/backend",
        )


def _ask_images() -> list[str]:
    example, images = "app_image=registry.example.com/shop/backend", list[str]()
    while answer := typer.prompt(f"An image, as {example} (empty: no more)", default="", show_default=False, err=True):
        images.append(answer)
    return images


def _addresses(known: Mapping[str, str], given: list[str], environments: list[str]) -> dict[str, str]:
    """Of the lab's machines only those that are asked for; of what a person gave, all."""
    return {**{name: known[name] for name in environments if name in known}, **dict(_split(text) for text in given)}


def _split(text: str) -> tuple[str, str]:
    environment, equals, address = text.partition("=")
    if not equals:
        raise UsageError(f"--address {text} names no environment", remedy=f"Write --address staging={text}")
    return environment, address


def _answers(app: str, environments: list[str], images: list[str], registry: str, **others: Any) -> "Answers":
    """registry: for images without one; with http:// before it, it has no TLS."""
    from fairlead.scaffold.answers import Answers, ImageAnswer  # noqa: PLC0415 - `--help` does not pay for it

    host = registry.removeprefix(_PLAIN)
    plain_http = (host,) if host != registry else ()
    parsed = tuple(ImageAnswer.parse(text, host) for text in images)
    return Answers(app, tuple(environments), parsed, plain_http=plain_http, **others)


def _write(directory: Path, answers: "Answers", output: Output, remote: str) -> None:
    """remote: becomes `origin`, where the repository has none."""
    from fairlead.scaffold.copy import write  # noqa: PLC0415
    from fairlead.scaffold.git import PRISTINE, Git  # noqa: PLC0415
    from fairlead.scaffold.render import TEMPLATE  # noqa: PLC0415

    written = write(directory, answers)
    git = Git(directory)
    if remote:
        git.add_remote(remote)
    output.done(f"Wrote {len(written.paths)} files into {directory}; the branch {PRISTINE} keeps them as shipped")
    if written.unmatched_variables:
        named = ", ".join(written.unmatched_variables)
        output.waiting(f"{TEMPLATE} uses {named}, not among your images: edit it to the services that you have")
    output.detail("Look at fairlead.yaml, then:")
    for command in _first_commands(git):
        output.detail(f"  {_in(directory)}{command}")
    output.detail(f"  fairlead detect --repo {shlex.quote(str(directory))} -e {answers.environments[0]} --explain")
    output.detail(f"To undo: remove these files, and {_in(directory)}git branch --delete --force {PRISTINE}")
    output.document({"version": 1, "directory": str(directory), **asdict(written), "pristine_branch": PRISTINE})


def _first_commands(git: "Git") -> Iterator[str]:
    """What makes a release possible: the files are on the deployment branch of a remote."""
    from fairlead.scaffold.git import PRISTINE, REMOTE  # noqa: PLC0415

    if git.branch() != _BRANCH:
        yield f"git branch --move {_BRANCH}"
    yield from ("git add --all", "git commit --message Begin")
    if not git.has_remote():
        yield f"git remote add {REMOTE} URL"
    yield f"git push --set-upstream {REMOTE} {_BRANCH} {PRISTINE}"


def _in(directory: Path) -> str:
    return "" if directory == Path() else f"cd {shlex.quote(str(directory))} && "


def _update(directory: Path, output: Output) -> None:
    from fairlead.scaffold.git import PRISTINE  # noqa: PLC0415
    from fairlead.scaffold.update import update  # noqa: PLC0415

    result = update(directory)
    if result.branch is None:
        output.done(f"The scaffold is that of Fairlead {result.after}: nothing to do")
    else:
        output.done(f"The branch {result.branch} brings the scaffold from Fairlead {result.before} to {result.after}")
        output.detail(f"Look at it: git diff HEAD...{result.branch}")
        output.detail(f"Take it: git merge {result.branch} && git push origin HEAD {PRISTINE}")
        output.detail(f"To undo: git branch --delete --force {result.branch}")
    output.document(
        {"version": 1, "before": result.before, "after": result.after, "branch": result.branch, "commit": result.commit}
    )
