"""What provisioning costs beside bare OpenTofu: nothing to do, skipped, a machine made.

The lab's Proxmox API with its instant back end, PostgreSQL, the real OpenTofu and provider. Floors: `tofu plan` and
`tofu apply` in a directory that is initialised, for another workspace of the same database; of the skip a Python that
imports psycopg and asks the database once.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Figure, arguments, at_most, show, timed
from fairlead.config.directories import cache_directory
from fairlead.lab.proxmox_api.api import ProxmoxApi
from fairlead.process import run
from fairlead.provision.tofu import program, settings
from tests.fixtures.git import Site, make_site
from tests.fixtures.machines import answering
from tests.fixtures.postgresql import free_port, served
from tests.provision.site import Script
from tests.provision.workshop import Workshop

FAIRLEAD = Path(sys.executable).with_name("fairlead")
ASK = """\
import psycopg, os
psycopg.connect(os.environ["PG_CONN_STR"], autocommit=True).execute("SELECT 1").fetchall()
"""
OWN, BARE = (101, "staging"), (102, "production")


@dataclass(frozen=True)
class Bench:
    """The same code, provisioned by Fairlead for staging and by OpenTofu alone for production."""

    workshop: Workshop
    site: Site

    def fairlead(self, *words: str) -> None:
        where = ("-e", "staging", "--repo", str(self.site.person), "--quiet")
        run([FAIRLEAD, "provision", *where, *words], environment=self.given)

    def ask(self) -> None:
        run([sys.executable, "-c", ASK], environment=self.given)

    @property
    def given(self) -> dict[str, str]:
        """Of a process in Python; its bytecode is kept, as where it is installed."""
        own = {"FAIRLEAD_STATE_DIR": str(self.workshop.root / "state"), "PYTHONDONTWRITEBYTECODE": ""}
        return {**self.workshop.given, **own}

    def tofu(self, *words: str) -> None:
        own = {"TF_WORKSPACE": "production"} if words[0] != "init" else {}
        rc = self.workshop.root / "tofu.rc"
        rc.write_text(settings(cache_directory() / "opentofu" / "providers"))
        environment = {**self.workshop.given, "TF_CLI_CONFIG_FILE": str(rc), "CHECKPOINT_DISABLE": "1", **own}
        tofu = program(os.environ, cache_directory())
        run([tofu, *words], cwd=self.workshop.code, environment=environment, expect=(0, 2))

    def plan(self) -> None:
        self.tofu("plan", "-input=false", "-var-file=environments/production.tfvars", "-out=plan")

    def apply(self) -> None:
        self.tofu("apply", "-input=false", "-auto-approve", "-var-file=environments/production.tfvars")

    def remove(self, vm_id: int) -> None:
        """As a person does it, behind everybody's back."""
        person = Script(self.workshop.api, self.workshop.api.root_token)
        person.wait(person.machines(vm_id).status.stop.post())
        person.wait(person.machines(vm_id).delete())


@dataclass
class Rounds:
    """Seconds of each, by name."""

    taken: dict[str, list[float]] = field(default_factory=dict)

    def one(self, bench: Bench) -> None:
        """Every figure once, Fairlead and its floor one after the other."""
        for name, call in (
            ("no-op", lambda: bench.fairlead("--refresh")),
            ("plan", bench.plan),
            ("skip", bench.fairlead),
            ("ask", bench.ask),
        ):
            self.taken.setdefault(name, []).append(timed(call))
        bench.remove(OWN[0])
        self.taken.setdefault("create", []).append(timed(lambda: bench.fairlead("--refresh")))
        bench.remove(BARE[0])
        self.taken.setdefault("apply", []).append(timed(bench.apply))


@contextmanager
def bench() -> Iterator[Bench]:
    """Everything up, and one machine made by each."""
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as directory:
        root, port = Path(directory), free_port()
        with answering(root / "keys", port) as backend, ProxmoxApi.start(root / "proxmox", backend) as api:
            for server in served():
                made = Bench(Workshop(root, api, server.database(), port), make_site(root))
                made.workshop.commit_to(made.site)
                made.fairlead()
                made.tofu("init", "-input=false")
                made.apply()
                yield made


def main() -> None:
    given = arguments(__doc__, rounds=7).parse_args()
    rounds = Rounds()
    with bench() as made:
        for _ in range(given.rounds):
            rounds.one(made)
    taken = rounds.taken
    show(
        [
            Figure("provision, nothing to do", "s", taken["no-op"], floor=taken["plan"], goal=at_most(1.5)),
            Figure("provision, skipped", "s", taken["skip"], floor=taken["ask"], goal=at_most(0.3, of="value")),
            Figure("provision, a machine made", "s", taken["create"], floor=taken["apply"]),
        ],
        as_json=given.json,
    )


if __name__ == "__main__":
    main()
