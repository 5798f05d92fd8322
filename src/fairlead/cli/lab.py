"""fairlead lab: up, down, status, push."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # heavy imports wait for the command that needs them
    from fairlead.lab.site import Lab, LabStatus, PartStatus, Removed, Site

app = typer.Typer(name="lab", help="A local site: registry, git, one machine per environment.", no_args_is_help=True)

Name = Annotated[str, typer.Option("--name", help="The lab's name; several stand side by side.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def up(
    *,
    environments: Annotated[str, typer.Option(help="Names with commas between; one machine each.")] = "",
    name: Name = "lab",
    subnet: Annotated[str | None, typer.Option(help="A free /24. Without it, the first free one.")] = None,
    memory: Annotated[str, typer.Option(help="Limit for each machine.")] = "2g",
    demo: Annotated[bool, typer.Option("--demo", help="Make the demo's base images meanwhile.")] = False,
    install: Annotated[bool, typer.Option(help="As root: install and start Docker where none answers.")] = True,
    as_json: AsJson = False,
) -> None:
    """Make the lab, or what is missing of it. Safe to repeat, also after an interruption."""
    from fairlead.lab.demo import sources
    from fairlead.lab.site import document

    wanted = tuple(word.strip() for word in environments.split(",") if word.strip())
    lab = _lab(name, memory=memory, may_install=install)
    site = lab.up(wanted, subnet, sources() if demo else None)
    if as_json:
        typer.echo(json.dumps(document(site)))
    else:
        _tell(_site_lines(site))


@app.command()
def down(
    *,
    name: Name = "lab",
    engine: Annotated[bool, typer.Option("--engine", help="Also stop the engine, if Fairlead started it.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Also remove the cached images of all labs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the lab: its containers, volumes, network, keys and repositories. Nothing else."""
    removed = _lab(name).down(stop_engine=engine, remove_images=images)
    if as_json:
        typer.echo(json.dumps({"removed": removed.objects, "engine_stopped": removed.engine_stopped}))
    else:
        _tell(_removed_lines(removed))


@app.command()
def status(*, name: Name = "lab", as_json: AsJson = False) -> None:
    """Addresses, health and memory of the lab's parts."""
    found = _lab(name).status()
    if as_json:
        typer.echo(json.dumps(found.as_document()))
    else:
        _tell(_status_lines(found))


@app.command()
def push(
    component: Annotated[str, typer.Argument(help="backend, db or gateway.")],
    version: Annotated[str, typer.Argument(help="The tag, for example 1.1.0.")],
    *,
    variant: Annotated[str, typer.Option(help="broken, wrong-version or crash-later.")] = "",
    revision: Annotated[str, typer.Option(help="The commit for its label.")] = "",
    source: Annotated[str, typer.Option(help="The source repository for its label.")] = "",
    demo: Annotated[Path | None, typer.Option(help="The demo's directory.")] = None,
    name: Name = "lab",
    as_json: AsJson = False,
) -> None:
    """Build an image of the demo and push it to the lab's registry."""
    from fairlead.lab import demo as demo_images

    build = demo_images.Build(component, version, variant, demo_images.now(), revision, source)
    pin = demo_images.push(_lab(name), build, demo)
    typer.echo(json.dumps({"image": str(pin)}) if as_json else str(pin))


def _lab(name: str, *, memory: str = "2g", may_install: bool = True) -> "Lab":
    from fairlead.config.directories import state_directory
    from fairlead.lab.progress import Progress
    from fairlead.lab.site import Lab

    return Lab(name, state_directory(), progress=Progress(_progress), memory=memory, may_install=may_install)


def _progress(line: str) -> None:
    typer.echo(line, err=True)


def _tell(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)


def _site_lines(site: "Site") -> list[str]:
    logins = [
        f"{environment:<12} {machine.address:<15} {' '.join(machine.ssh_argv(site.known_hosts))}"
        for environment, machine in site.machines.items()
    ]
    return [f"{'registry':<12} {site.registry}", *logins, "Push an image:  fairlead lab push backend 1.0.0"]


def _removed_lines(removed: "Removed") -> list[str]:
    lines = [f"Removed {kind} {', '.join(names)}" for kind, names in removed.objects.items()]
    lines += ["Stopped the engine"] if removed.engine_stopped else []
    return lines or ["Nothing to remove"]


def _status_lines(found: "LabStatus") -> list[str]:
    parts = [found.registry] if found.registry else []
    return [
        f"Lab {found.name}, {found.subnet}, {found.directory}",
        *(_part_line(part) for part in [*parts, *found.machines]),
        *(f"git {name:<16} {url}" for name, url in found.repositories.items()),
    ]


def _part_line(part: "PartStatus") -> str:
    memory = "" if part.memory is None else f"{part.memory / 2**20:.0f} MiB"
    return f"{part.name:<20} {part.address:<15} {part.state:<10} {'healthy' if part.healthy else 'NOT HEALTHY':<12} {memory}"
