"""What provisioning by OpenTofu needs on this computer: the program, its provider, the database of its state."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from fairlead.config import layout
from fairlead.config.secrets import SecretClass
from fairlead.config.variables import Variables
from fairlead.errors import FairleadError
from fairlead.pipeline.doctor.fact import Fact, fails
from fairlead.pipeline.scope import Scope
from fairlead.provision import tofu
from fairlead.provision.lease import Ledger

STATE = "PG_CONN_STR"
_NOWHERE = "http://127.0.0.1:9"  # the discard port as a proxy: whatever is fetched anyway fails at once
_OFFLINE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), _NOWHERE),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
    "TF_REGISTRY_DISCOVERY_RETRY": "0",
}
_RIGHTS = """
SELECT has_database_privilege(current_database(), 'CREATE'),
  to_regclass('public.global_states_id_seq') IS NOT NULL OR has_schema_privilege('public', 'CREATE'),
  current_user, current_database(), current_setting('server_version')
"""
_SCHEMA = re.compile(r'^\s*schema_name\s*=\s*"([^"]+)"', re.MULTILINE)


def program(variables: Variables) -> Iterator[Fact]:
    """OpenTofu, new enough, and not so talkative that its log shows the token."""
    try:
        version = tofu.require_version(variables.opentofu, variables.cache)
        tofu.refuse_loud_logs(variables.opentofu)
    except FairleadError as error:
        yield fails("OpenTofu", error)
        return
    where = tofu.program(variables.opentofu, variables.cache)
    yield Fact("OpenTofu", True, f"{'.'.join(map(str, version))} ({where})")


def provider(variables: Variables, checkout: Path) -> Iterator[Fact]:
    """Whether the provider is on this computer already; asked of OpenTofu, with the network shut."""
    name = "OpenTofu's provider"
    if not (checkout / layout.OPENTOFU).is_dir():
        remedy = "fairlead init --update brings it"
        yield Fact(name, False, f"There is no {layout.OPENTOFU}", remedy)
        return
    try:
        yield _provider(name, variables, checkout)
    except FairleadError as error:
        yield fails(name, error)


def _provider(name: str, variables: Variables, checkout: Path) -> Fact:
    with tempfile.TemporaryDirectory(prefix="fairlead-") as directory:
        shutil.copytree(checkout / layout.OPENTOFU, Path(directory, "configuration"))
        shut = tofu.Tofu(
            Path(directory),
            "default",
            {**variables.opentofu, **_OFFLINE},
            {},
            variables.secrets.mask(),
            variables.cache,
        )
        done = shut.run(["init", "-backend=false", "-input=false", "-no-color"], expect=range(256), workspace=False)
    if done.exit_code == 0:
        return Fact(name, True, "is on this computer")
    if "checksum" in done.stderr:
        raise tofu.failure("init", "provider", done.stderr)
    remedy = (
        "Nothing, where the site may reach registry.opentofu.org; else a provider mirror: tofu providers mirror DIR"
    )
    return Fact(name, True, "is not on this computer: the first provisioning downloads it", remedy)


def state(scope: Scope, checkout: Path) -> Iterator[Fact]:
    """Whether the database answers, and lets OpenTofu make its schema and Fairlead its lease."""
    name = "state database"
    try:
        address = scope.variables.secrets.get(SecretClass.INFRASTRUCTURE, STATE)
        ledger = Ledger(address, scope.configuration.app, scope.environment)
        with closing(ledger), ledger.connected() as connection:
            row = connection.execute(_RIGHTS).fetchone()
            schemas = {found[0] for found in connection.execute("SELECT nspname FROM pg_namespace").fetchall()}
    except FairleadError as error:
        yield fails(name, error)
        return
    assert row is not None
    creates, counts, who, database, version = row
    yield Fact(name, True, f"{database} as {who}, PostgreSQL {version}")
    missing = {schema_of(checkout), "fairlead"} - schemas
    if missing and not creates:
        remedy = f'GRANT CREATE ON DATABASE "{database}" TO "{who}"'
        yield Fact(f"{name}: schema", False, f"{who} may not make the schema {', '.join(sorted(missing))}", remedy)
        return
    if not counts:
        remedy = f'GRANT CREATE ON SCHEMA public TO "{who}"'
        yield Fact(f"{name}: schema", False, f"{who} may not make OpenTofu's sequence in the schema public", remedy)
        return
    detail = f"{', '.join(sorted(missing))} can be made" if missing else "is there"
    yield Fact(f"{name}: schema", True, detail)


def schema_of(checkout: Path) -> str:
    """The state's schema, as versions.tf has it; OpenTofu's default where it says none."""
    path = checkout / layout.OPENTOFU / "versions.tf"
    found = _SCHEMA.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found[1] if found else "terraform_remote_state"
