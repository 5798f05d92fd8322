"""The process environment as one value: read once, here, and passed on."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairlead.config.directories import cache_directory, state_directory
from fairlead.config.secrets import Secret, Secrets
from fairlead.errors import InvalidYaml, UnreadableFile

# What OpenTofu and its provider need of the environment beside their secrets: where things are, whom to trust.
_OPENTOFU_NAMES = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "TF_CLI_CONFIG_FILE"),
    *("TF_PLUGIN_CACHE_DIR", "TF_LOG", "TF_LOG_CORE", "TF_LOG_PROVIDER", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)

_OPTIONS = ("ENVIRONMENT", "FAIRLEAD_COMMIT", "FAIRLEAD_RUN", "VM_IP")  # of `provision`, which reads them early

_RUNNERS = ("GITHUB_ACTIONS", "GITLAB_CI")  # set to true by the CI systems whose logs have a form of their own


@dataclass(frozen=True)
class Variables:
    """What the process environment says to Fairlead.

    state: where runs, first sightings and labs are kept. docker_config: Docker's config.json, parsed, or empty.
    database_url: the PostgreSQL database of runs in flight; None for SQLite in the state directory.
    crash_at: `step:point` at which tests kill the process. runner: the CI system whose log annotations are used.
    cache: what can be made again. opentofu: what OpenTofu gets of the environment beside its secrets.
    deploy_with: who deploys instead of the one that fairlead.yaml names. semaphore_url: where Semaphore is.
    tfvars_file: the .tfvars file that the machine is made by, instead of the environment's first. options: what stands
    for options of the command line that are not given, by the variable's name.
    """

    state: Path
    secrets: Secrets
    colour: bool
    database_url: Secret | None = None
    crash_at: str = ""
    runner: str = ""
    docker_config_file: Path | None = None
    cache: Path = Path()
    opentofu: Mapping[str, str] = field(default_factory=dict)
    deploy_with: str = ""
    semaphore_url: str = ""
    tfvars_file: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def docker_config(self) -> Mapping[str, Any]:
        """Docker's config.json. Raises UnreadableFile or InvalidYaml for one that is there and broken."""
        path = self.docker_config_file
        if path is None or not path.is_file():
            return {}
        try:
            content = json.loads(path.read_bytes())
        except OSError as error:
            raise UnreadableFile(f"{path} cannot be read", why=str(error)) from error
        except ValueError as error:
            raise InvalidYaml(
                f"{path} is not JSON", why=str(error), remedy="docker logout, then docker login"
            ) from error
        return content if isinstance(content, dict) else {}


def read_variables(environment: Mapping[str, str] | None = None, *, terminal: bool = False) -> Variables:
    """The process environment. terminal: whether stderr is one (colour needs that, or FORCE_COLOR)."""
    values = os.environ if environment is None else environment
    home = Path(values.get("HOME") or "/")
    directory = values.get("FAIRLEAD_SECRETS_DIR")
    return Variables(
        state=state_directory(values),
        secrets=Secrets(Path(directory) if directory else None, values),
        colour=not values.get("NO_COLOR") and (terminal or bool(values.get("FORCE_COLOR"))),
        database_url=_secret(values.get("FAIRLEAD_DATABASE_URL")),
        crash_at=values.get("FAIRLEAD_CRASH_AT", ""),
        runner=next((name for name in _RUNNERS if values.get(name, "false") not in ("", "false")), ""),
        docker_config_file=Path(values.get("DOCKER_CONFIG") or home / ".docker") / "config.json",
        cache=cache_directory(values),
        opentofu={name: values[name] for name in _OPENTOFU_NAMES if values.get(name)},
        deploy_with=values.get("FAIRLEAD_DEPLOY_WITH", ""),
        semaphore_url=values.get("SEMAPHORE_URL", ""),
        tfvars_file=values.get("TFVARS_FILE", ""),
        options={name: values[name] for name in _OPTIONS if values.get(name)},
    )


def _secret(value: str | None) -> Secret | None:
    return Secret(value) if value else None
