"""`fairlead lab`: a local site to try everything on; up, down, status, push, fault."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.context import output, variables
from fairlead.cli.options import JsonOption
from fairlead.cli.output import Output

if TYPE_CHECKING:
    from fairlead.lab.infrastructure import Infrastructure
    from fairlead.lab.site import Lab, Site
    from fairlead.lab.status import PartStatus

app = typer.Typer(name="lab", help="A local site: registry, git, one machine per environment.", no_args_is_help=True)

NameOption = Annotated[str, typer.Option("--name", help="The lab's name; several stand side by side.")]
StackOption = Annotated[str, typer.Option("--stack", help="Which demo: small (3 services) or shop (5).")]


@app.command()
def up(
    *,
    environments: Annotated[str, typer.Option(help="Names with commas between. Default: staging,production.")] = "",
    name: NameOption = "lab",
    subnet: Annotated[str | None, typer.Option(help="A free /24. Default: the first free one.")] = None,
    memory: Annotated[str, typer.Option(help="The limit of each machine.")] = "2g",
    demo: Annotated[bool, typer.Option("--demo", help="Make the base images of `lab push` meanwhile.")] = False,
    stack: StackOption = "small",
    proxmox: Annotated[
        bool, typer.Option("--proxmox", help="A Proxmox API and a PostgreSQL too: OpenTofu makes the machines.")
    ] = False,
    semaphore: Annotated[bool, typer.Option("--semaphore", help="A Semaphore too, which deploys.")] = False,
    install: Annotated[bool, typer.Option(help="As root: install and start Docker where none answers.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Make the lab, or what is missing of it. Safe to repeat, also after an interruption."""
    from fairlead.lab.demo import bases, sources  # noqa: PLC0415

    out = output(as_json=as_json)
    wanted = tuple(word.strip() for word in environments.split(",") if word.strip())
    lab = _lab(name, out, memory=memory, may_install=install)
    site = lab.up(wanted, subnet, bases(sources(stack)) if demo else (), proxmox=proxmox, with_semaphore=semaphore)
    _tell_site(out, site, lab.option)
    out.document(site.as_document())


@app.command()
def down(
    *,
    name: NameOption = "lab",
    engine: Annotated[bool, typer.Option("--engine", help="Also stop the engine, if Fairlead started it.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Also remove the cached images of all labs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove the lab: its containers, volumes, network, keys and repositories. Nothing else."""
    out = output(as_json=as_json)
    removed = _lab(name, out).down(stop_engine=engine, remove_images=images)
    for kind, names in removed.objects.items():
        out.done(f"Removed {kind} {', '.join(names)}")
    if removed.engine_stopped:
        out.done("Stopped the Docker engine that Fairlead had started")
    if not removed.objects and not removed.engine_stopped:
        out.done(f"There is nothing of the lab {name!r} to remove")
    out.document({"version": 1, "removed": removed.objects, "engine_stopped": removed.engine_stopped})


@app.command()
def status(*, name: NameOption = "lab", as_json: JsonOption = False) -> None:
    """Addresses, health and memory of the lab's parts."""
    from fairlead.lab.status import status_of  # noqa: PLC0415

    out = output(as_json=as_json)
    found = status_of(_lab(name, out))
    parts = [*([found.registry] if found.registry else []), *found.infrastructure, *found.machines]
    out.table([("part", "address", "state", "healthy", "memory"), *(_row(part) for part in parts)])
    for repository, url in found.repositories.items():
        out.detail(f"git {repository}: {url}")
    out.document(found.as_document())


@app.command()
def push(
    component: Annotated[str, typer.Argument(help="backend, db or gateway; in the shop also frontend or keycloak.")],
    tag: Annotated[str, typer.Argument(help="The tag, for example 1.1.0.")],
    *,
    variant: Annotated[str, typer.Option(help="broken, wrong-version or crash-later.")] = "",
    revision: Annotated[str, typer.Option(help="The source commit for the image's label.")] = "",
    source: Annotated[str, typer.Option(help="The source repository for the image's label.")] = "",
    stack: StackOption = "small",
    demo: Annotated[Path | None, typer.Option(help="A directory like demo/small.")] = None,
    name: NameOption = "lab",
    as_json: JsonOption = False,
) -> None:
    """Build an image of the demo and push it to the lab's registry."""
    from fairlead.lab import demo as demo_images  # noqa: PLC0415

    out = output(as_json=as_json)
    build = demo_images.Build(component, tag, variant, demo_images.now(), revision, source)
    pin = demo_images.push(_lab(name, out), build, demo or demo_images.sources(stack))
    out.value(str(pin))
    out.document({"version": 1, "image": str(pin)})


@app.command()
def fault(  # noqa: PLR0913 - each is a flag of the command
    kind: Annotated[
        str,
        typer.Argument(
            help="task-fails, task-slow, agent-silent, machine-locked, storage-full, api-error, api-hangs or "
            "certificate-changed; clear takes all away."
        ),
    ],
    *,
    vm: Annotated[int, typer.Option(help="Only this VM.")] = 0,
    task: Annotated[str, typer.Option(help="Only tasks of this type: qmclone, qmstart, resize, ...")] = "",
    method: Annotated[str, typer.Option(help="Only requests with this method.")] = "",
    path: Annotated[str, typer.Option(help="Only requests whose path after /api2/json begins so.")] = "",
    storage: Annotated[str, typer.Option(help="Only this storage.")] = "",
    message: Annotated[str, typer.Option(help="What is said.")] = "",
    seconds: Annotated[float, typer.Option(help="How long a task takes or a request hangs; 0: for ever.")] = 0.0,
    times: Annotated[int, typer.Option(help="How often; 0: until it is cleared.")] = 0,
    name: NameOption = "lab",
    as_json: JsonOption = False,
) -> None:
    """Let the lab's Proxmox have a bad day: the next requests or tasks that fit meet the fault."""
    from fairlead.lab.infrastructure import faults, kind_of_fault  # noqa: PLC0415
    from fairlead.lab.proxmox_api.faults import Fault  # noqa: PLC0415

    out = output(as_json=as_json)
    with faults(_lab(name, out).directory) as settable:
        if kind == "clear":
            settable.clear()
        else:
            settable.add(Fault(kind_of_fault(kind), vm, task, method, path, storage, message, seconds, times))
        out.done(f"Faults that are set: {', '.join(each.kind for each in settable.set()) or 'none'}")
        out.document({"version": 1, "faults": [asdict(each) for each in settable.set()]})


def _lab(name: str, out: Output, *, memory: str = "2g", may_install: bool = True) -> "Lab":
    from fairlead.lab.progress import Progress  # noqa: PLC0415
    from fairlead.lab.site import Lab  # noqa: PLC0415

    progress = Progress(began=out.doing, ended=out.done)
    return Lab(name, variables().state, progress=progress, memory=memory, may_install=may_install)


def _tell_site(out: Output, site: "Site", option: str) -> None:
    rows = [(machine.environment, machine.address, str(machine.ssh_key)) for machine in site.machines.values()]
    if rows:
        out.table([("machine", "address", "ssh key of the user deploy"), *rows])
    out.detail(f"registry {site.registry} (plain HTTP), git repositories in {site.directory / 'git'}")
    for machine in list(site.machines.values())[:1]:
        out.detail(f"log in:         {' '.join(machine.ssh_argv(site.known_hosts))}")
    out.detail(f"keys, secrets:  export FAIRLEAD_SECRETS_DIR={shlex.quote(str(site.secrets))}")
    if site.infrastructure:
        _tell_infrastructure(out, site.infrastructure)
    if site.semaphore:
        token = shlex.quote(str(site.semaphore.token_file))
        out.detail(f"for Semaphore:  export SEMAPHORE_URL={site.semaphore.url} SEMAPHORE_TOKEN=$(cat {token})")
    out.detail(f"push an image:  fairlead lab push backend 1.0.0{option}")
    out.detail(f"remove it all:  fairlead lab down{option}")


def _tell_infrastructure(out: Output, infrastructure: "Infrastructure") -> None:
    """The lab's own secrets are shown: they open nothing but the lab, and by hand one needs them."""
    out.detail("for OpenTofu:")
    for name, value in infrastructure.environment.items():
        out.detail(f"  export {name}={shlex.quote(value)}")
    for environment, machine in infrastructure.machines.items():
        out.detail(f"  {environment}: VM {machine.vm_id}, {machine.address}, SSH key {machine.ssh_key}")


def _row(part: "PartStatus") -> tuple[str, ...]:
    memory = "" if part.memory is None else f"{part.memory / 2**20:.0f} MiB"
    return part.name, part.address, part.state, "yes" if part.healthy else "NO", memory
