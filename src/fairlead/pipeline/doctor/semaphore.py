"""Semaphore as the deployer: the server, the token, and whether its project runs what git has. Changes nothing."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairlead.config import layout
from fairlead.config.models import SemaphoreDeploy
from fairlead.deploy.semaphore.api import Server
from fairlead.deploy.semaphore.place import Place, find, project_of, template_name
from fairlead.deploy.semaphore.setup import git_address, variable
from fairlead.errors import FairleadError, SemaphoreDenied
from fairlead.pipeline import rollout
from fairlead.pipeline.doctor.fact import Fact, fails
from fairlead.pipeline.scope import Scope
from fairlead.pipeline.semaphore import semaphore_settings

SAFE = (2, 18, 17)
_LOCAL = ("http://127.", "http://localhost", "http://[::1]")


def semaphore(scope: Scope, checkout: Path) -> Iterator[Fact]:
    """Every fact of the Semaphore that deploys to one environment."""
    try:
        settings, server = semaphore_settings(scope), rollout.semaphore_server(scope)
        said = server.read("/info")
    except SemaphoreDenied as error:
        yield fails(f"{scope.environment}: Semaphore's token", error)
        return
    except FairleadError as error:
        yield fails(f"{scope.environment}: Semaphore", error)
        return
    yield reached(scope, server)
    yield Fact(f"{scope.environment}: Semaphore's token", True, "is accepted")
    yield version(str(said.get("version", "")))
    yield from _project(scope, settings, server, checkout)


def reached(scope: Scope, server: Server) -> Fact:
    """It answers; over TLS, unless it is this very machine's."""
    plain = server.url.startswith("http://") and not server.url.startswith(_LOCAL)
    remedy = "Give Semaphore TLS and an https:// address: the token crosses the network in clear" if plain else ""
    return Fact(f"{scope.environment}: Semaphore", True, f"{server.url} answers", remedy)


def version(said: str) -> Fact:
    """2.10 to current work; before 2.18.17 a repository's address could run programs on Semaphore's host."""
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    found = tuple(int(part) for part in match.groups()) if match else ()
    remedy = "" if found >= SAFE else "Upgrade Semaphore to 2.18.17 or later (CVE-2026-73294)"
    return Fact("Semaphore's version", True, said or "is not told", remedy)


def _project(scope: Scope, settings: SemaphoreDeploy, server: Server, checkout: Path) -> Iterator[Fact]:
    name = f"{scope.environment}: Semaphore's project"
    try:
        project = project_of(server, settings, scope.configuration.app)
    except FairleadError as error:
        yield fails(name, error)
        return
    yield Fact(name, True, f"{settings.project or scope.configuration.app!r} is there")
    for playbook in (layout.PLAYBOOK, layout.INSPECTION):
        template = template_name(settings, playbook, scope.environment)
        try:
            place = find(server, project, template)
            yield from _template(scope, place, playbook, checkout)
            if playbook == layout.PLAYBOOK:
                yield _branch(scope, place)
                yield _secrets(scope, server, place)
        except FairleadError as error:
            yield fails(f"{scope.environment}: template {template!r}", error)


def _template(scope: Scope, place: Place, playbook: str, checkout: Path) -> Iterator[Fact]:
    fact = f"{scope.environment}: template {place.name!r}"
    wrong = list(place.differences(playbook, scope.environment, scope.configuration.images))
    if not (checkout / playbook).is_file():
        wrong.append(f"commit {scope.commit[:9]} has no {playbook}")
    if wrong:
        yield Fact(fact, False, "; ".join(wrong), f"fairlead semaphore setup -e {scope.environment}")
        return
    terse = "-v" not in str(place.template.get("arguments") or "")
    remedy = f"fairlead semaphore setup -e {scope.environment}: without -v no service is named in results"
    yield Fact(fact, True, f"runs {playbook}", remedy if terse else "")


def _branch(scope: Scope, place: Place) -> Fact:
    """A task's commit is looked for in a clone of the branch."""
    fact, wanted = f"{scope.environment}: Semaphore's repository", scope.repository.branch
    found = place.template.get("git_branch") or place.repository.get("git_branch")
    address = str(place.repository.get("git_url", ""))
    url = scope.configuration.git.url
    right = found == wanted and (url is None or address == git_address(url))
    remedy = "" if right else f"fairlead semaphore setup -e {scope.environment}"
    return Fact(fact, right, f"{address} at {found}" + ("" if right else f", not {url or ''} at {wanted}"), remedy)


def _secrets(scope: Scope, server: Server, place: Place) -> Fact:
    """Only that each is there: as a variable of the process or as an extra-var."""
    fact = f"{scope.environment}: Semaphore's secrets"
    path = f"/project/{place.project}/environment/{place.environment.get('id')}"
    there: list[dict[str, Any]] = server.read(path).get("secrets") or []
    known = {str(one.get("name")) for one in there}
    names = scope.configuration.secrets.application
    missing = [name for name in names if not {name, variable(name)} & known]
    if missing:
        remedy = f"fairlead semaphore setup -e {scope.environment}"
        return Fact(fact, False, f"{', '.join(missing)} not in {place.environment.get('name')!r}", remedy)
    return Fact(fact, True, f"{len(names)} are there")
