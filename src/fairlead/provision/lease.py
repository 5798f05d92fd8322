"""Who may change an environment's machine: a lease per workspace, in the PostgreSQL database that holds the state.

OpenTofu's own lock says neither who holds it nor that it was lost (measured), so it is no fence. The lease is a row in
a schema of our own; all its times are the database's. A holder beats; one that does not for LIFE seconds, or whose
process is seen to be gone, is followed by the next. What a paused holder would still do is stopped twice: its beat
finds the lease lost and ends OpenTofu, and a plan that was made before someone else's apply is refused as stale.

The row also keeps what the last successful apply was made of, so that a run with nothing to do can skip its plan.
"""

import contextlib
import os
import pwd
import select
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString, Self

from fairlead.config.secrets import Secret
from fairlead.errors import Busy, LeaseLost, StateUnreachable, Superseded

if TYPE_CHECKING:
    import psycopg

LIFE = 15.0  # seconds without a beat after which a lease is free
BEAT = 5.0
PATIENCE = 10.0  # seconds to reach the database
_LONGEST = 10_000  # milliseconds for one statement, or for the network to take it: less than a lease lives
_MAKING = 0x666C64  # the advisory lock under which schemas are made: PostgreSQL's IF NOT EXISTS is no protection
# A connection whose other end is gone is closed by the server within 40 s, and its locks with it.
KEEPALIVES = {"tcp_keepalives_idle": 20, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 4}

_TABLE = """
CREATE SCHEMA IF NOT EXISTS fairlead;
CREATE TABLE IF NOT EXISTS fairlead.workspaces (
  app text NOT NULL, workspace text NOT NULL, PRIMARY KEY (app, workspace),
  token uuid, holder text NOT NULL DEFAULT '', process text NOT NULL DEFAULT '', run text NOT NULL DEFAULT '',
  fence bigint NOT NULL DEFAULT 0, since timestamptz, beat timestamptz, clean boolean NOT NULL DEFAULT true,
  applied jsonb, applied_at timestamptz);
"""
_TAKE = """
UPDATE fairlead.workspaces SET token = %(token)s, holder = %(holder)s, process = %(process)s, run = %(run)s,
  fence = %(fence)s, since = clock_timestamp(), beat = clock_timestamp(), clean = false
WHERE app = %(app)s AND workspace = %(workspace)s AND fence <= %(fence)s AND (token IS NULL OR process = %(gone)s
  OR beat < clock_timestamp() - make_interval(secs => %(life)s))
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """What the last successful apply was made of. inputs: digest of code, variables and secrets.

    serial, lineage: of the state afterwards. schema: where the state is.
    """

    inputs: str
    serial: int
    lineage: str
    schema: str
    vm_ip: str
    vm_id: int
    node: str

    def left(self, mark: "StateMark | None") -> bool:
        """Whether the state is still the one that it left."""
        return mark is not None and (mark.serial, mark.lineage) == (self.serial, self.lineage)


@dataclass(frozen=True, slots=True)
class Row:
    """A workspace as the database knows it. held: by someone who beats. clean: its last holder let it go in order.

    age: seconds since the last successful apply or plan without changes; None where there was none.
    """

    held: bool
    holder: str
    process: str
    run: str
    fence: int
    since: str
    clean: bool
    applied: Applied | None
    age: float | None


@dataclass(frozen=True, slots=True)
class StateMark:
    """Which state it is. Also an encrypted state says that."""

    serial: int
    lineage: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the database: the row, and the state that is there of what was applied last."""

    row: Row | None = None
    mark: StateMark | None = None


@dataclass
class Lease:
    """A workspace, held. abnormal: the holder before did not let it go in order.

    lost: a descriptor that becomes readable when the lease is lost; `process.run` stops its program then.
    """

    ledger: "Ledger"
    token: uuid.UUID
    abnormal: bool
    lost: int
    _ended: threading.Event

    def require(self) -> None:
        """Raise LeaseLost unless it is still ours, asked of the database now."""
        if not self.ledger.beat(self.token):
            os.eventfd_write(self.lost, 1)
            raise lease_lost(self.ledger.workspace)

    def applied(self, applied: Applied) -> None:
        """Note what was applied, or found to need nothing. Raises LeaseLost."""
        if not self.ledger.note(self.token, applied):
            raise lease_lost(self.ledger.workspace)

    def keep_alive(self) -> None:
        """Beat until the end; runs in a thread of its own. Whatever else ends it, the lease is lost."""
        alive = time.monotonic()
        try:
            while not self._ended.wait(BEAT):
                try:
                    if not self.ledger.beat(self.token):
                        break
                    alive = time.monotonic()
                except StateUnreachable:
                    if time.monotonic() - alive > LIFE:
                        break
        finally:
            if not self._ended.is_set():
                os.eventfd_write(self.lost, 1)


@dataclass(frozen=True)
class Ledger:
    """The row of one workspace. address: PG_CONN_STR. Every method raises StateUnreachable."""

    address: Secret
    app: str
    workspace: str
    _kept: "list[psycopg.Connection[Any]]" = field(default_factory=list, repr=False, compare=False)

    def read(self) -> Row | None:
        """The row; None before the first lease."""
        import psycopg  # noqa: PLC0415

        query = """
            SELECT token IS NOT NULL AND beat >= clock_timestamp() - make_interval(secs => %s), holder, process, run,
              fence, to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC'), clean, applied,
              extract(epoch FROM clock_timestamp() - applied_at)::float8
            FROM fairlead.workspaces WHERE app = %s AND workspace = %s"""
        with self.connected() as connection:
            try:
                found = connection.execute(query, (LIFE, self.app, self.workspace)).fetchone()
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                return None
        if found is None:
            return None
        held, holder, process, run, fence, since, clean, applied, age = found
        return Row(held, holder, process, run, fence, since, clean, Applied(**applied) if applied else None, age)

    def look(self) -> Seen:
        """The row, and the state's mark."""
        row = self.read()
        return Seen(row, self.mark(row.applied.schema) if row and row.applied else None)

    def mark(self, schema: str) -> StateMark | None:
        """Which state OpenTofu has in this workspace now; None: none yet."""
        import psycopg  # noqa: PLC0415
        from psycopg import sql  # noqa: PLC0415

        query = sql.SQL("SELECT data::json->>'serial', data::json->>'lineage' FROM {}.states WHERE name = %s").format(
            sql.Identifier(schema)
        )
        with self.connected() as connection:
            try:
                found = connection.execute(query, (self.workspace,)).fetchone()
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                return None
        return StateMark(int(found[0]), found[1] or "") if found and found[0] else None

    @contextlib.contextmanager
    def hold(self, run: str, fence: int) -> Iterator[Lease]:
        """Hold the workspace until the end of the block. Raises Busy, which names the holder; Superseded."""
        lost = os.eventfd(0)
        lease = Lease(self, uuid.uuid4(), False, lost, threading.Event())
        try:
            lease.abnormal = self._take(lease.token, run, fence)
            beating = threading.Thread(target=lease.keep_alive, daemon=True)
            beating.start()
            clean = False
            try:
                yield lease
                clean = True
            finally:
                lease._ended.set()
                beating.join()
                with contextlib.suppress(StateUnreachable):  # then it runs out by itself
                    self._let_go(lease.token, clean=clean)
        finally:
            os.close(lost)

    def beat(self, token: uuid.UUID) -> bool:
        """A sign of life. False: the lease is not ours any more."""
        query = (
            "UPDATE fairlead.workspaces SET beat = clock_timestamp() WHERE app = %s AND workspace = %s AND token = %s"
        )
        return self._changes(query, self.app, self.workspace, token)

    def note(self, token: uuid.UUID, applied: Applied) -> bool:
        """Keep what was applied."""
        from psycopg.types.json import Jsonb  # noqa: PLC0415

        query = """UPDATE fairlead.workspaces SET applied = %s, applied_at = clock_timestamp()
            WHERE app = %s AND workspace = %s AND token = %s"""
        return self._changes(query, Jsonb(asdict(applied)), self.app, self.workspace, token)

    def confirm(self, applied: Applied, fence: int) -> bool:
        """Note that what was applied last has been found unchanged. False: somebody works there, or has been there."""
        from psycopg.types.json import Jsonb  # noqa: PLC0415

        query = """UPDATE fairlead.workspaces SET applied_at = clock_timestamp(), fence = %s
            WHERE fence <= %s AND clean AND applied = %s AND app = %s AND workspace = %s AND token IS NULL"""
        return self._changes(query, fence, fence, Jsonb(asdict(applied)), self.app, self.workspace)

    @contextlib.contextmanager
    def connecting(self) -> Iterator[None]:
        """Connect while the block runs: with the client's import it takes as long as a third of a plan (measured)."""
        ahead = threading.Thread(target=self._connect_ahead)
        ahead.start()
        try:
            yield
        finally:
            ahead.join()

    def _connect_ahead(self) -> None:
        with contextlib.suppress(StateUnreachable), self.connected():
            pass

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other process makes schemas meanwhile: OpenTofu's, made twice at once, would fail."""
        with self.connected() as connection:  # no transaction: a server may end one that is idle for so long
            connection.execute("SET statement_timeout = 0")
            connection.execute("SELECT pg_advisory_lock(%s)", (_MAKING,))
            try:
                yield
            finally:
                connection.close()  # and with it the lock

    def locker(self, schema: str) -> str:
        """Who holds OpenTofu's own lock of the workspace, as PostgreSQL knows it; "" for nobody."""
        from psycopg import sql  # noqa: PLC0415

        query = sql.SQL(
            "SELECT a.application_name, a.client_addr::text, a.backend_start::timestamptz(0)::text FROM {}.states s "
            "JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objid = s.id "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "JOIN pg_stat_activity a ON a.pid = l.pid WHERE s.name = %s"
        ).format(sql.Identifier(schema))
        with self.connected() as connection:
            found = connection.execute(query, (self.workspace,)).fetchone()
        return f"{found[0] or 'a client'} at {found[1] or 'this machine'} since {found[2]}" if found else ""

    @contextlib.contextmanager
    def connected(self) -> Iterator["psycopg.Connection[Any]"]:
        """A connection, each statement by itself; one is kept for the next caller, until `close`."""
        import psycopg  # noqa: PLC0415

        try:
            connection = self._taken() or self._connect()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            if self._kept or connection.closed:
                connection.close()
            else:
                self._kept.append(connection)
        except psycopg.OperationalError as error:
            raise StateUnreachable(
                "The PostgreSQL database of OpenTofu's state (PG_CONN_STR) does not answer",
                why=" ".join(str(error).split())[:300],
                remedy="psql \"$PG_CONN_STR\" -c 'select 1' tries it; then run the command again",
            ) from error
        except psycopg.Error as error:
            raise StateUnreachable(
                "The PostgreSQL database of OpenTofu's state (PG_CONN_STR) refuses the lease",
                why=" ".join(str(error).split())[:300],
                remedy="The role needs CREATE on the database, which is no standby: GRANT CREATE ON DATABASE … TO …",
            ) from error

    def close(self) -> None:
        """End the connection that is kept."""
        while self._kept:
            self._kept.pop().close()

    def _taken(self) -> "psycopg.Connection[Any] | None":
        """The kept connection, if the server has not ended it meanwhile: then its socket has something to read."""
        kept = self._kept.pop() if self._kept else None
        if kept and (kept.closed or select.select([kept.fileno()], [], [], 0)[0]):
            kept.close()
            return None
        return kept

    def _connect(self) -> "psycopg.Connection[Any]":
        import psycopg  # noqa: PLC0415

        options = {"connect_timeout": int(PATIENCE), "keepalives_idle": 20, "application_name": "fairlead"}
        options |= {"tcp_user_timeout": _LONGEST}
        connection = psycopg.connect(self.address.reveal(), autocommit=True, **options)  # type: ignore[arg-type]
        connection.execute(f"SET statement_timeout = {_LONGEST}")
        return connection

    def _take(self, token: uuid.UUID, run: str, fence: int) -> bool:
        """Take the lease; whether the holder before did not let it go in order."""
        row = self._made()
        gone = row.process if row.held and is_gone(row.process) else ""
        values = {"token": token, "holder": _holder(), "process": _process(), "run": run, "fence": fence, "gone": gone}
        values |= {"app": self.app, "workspace": self.workspace, "life": LIFE}
        with self.connected() as connection:
            if connection.execute(_TAKE, values).rowcount == 1:
                return not row.clean
        raise self._refusal(fence)

    def _made(self) -> Row:
        """The row, made if need be."""
        if row := self.read():
            return row
        with self.alone(), self.connected() as connection:
            connection.execute(_TABLE)
            insert = "INSERT INTO fairlead.workspaces (app, workspace) VALUES (%s, %s) ON CONFLICT DO NOTHING"
            connection.execute(insert, (self.app, self.workspace))
        row = self.read()
        assert row is not None
        return row

    def _refusal(self, fence: int) -> Busy | Superseded:
        row = self.read()
        if row is None or (not row.held and row.fence > fence):
            newest = row.fence if row else 0
            forget = """psql "$PG_CONN_STR" -c "UPDATE fairlead.workspaces SET fence = 0" """.strip()
            return Superseded(
                f"{self.workspace}: commit number {fence} of the branch is not provisioned: number {newest} has been",
                why="Infrastructure never goes back by itself",
                remedy=f"fairlead provision -e {self.workspace}; was history rewritten on purpose: {forget}",
            )
        return Busy(
            f"{self.workspace}: {row.holder} provisions it since {row.since}, run {row.run}, fence {row.fence}",
            why=f"Only one at a time changes a machine; a holder that is gone loses its lease after {LIFE:g} s",
            remedy="Wait for it, then run the command again",
        )

    def _changes(self, query: LiteralString, *values: object) -> bool:
        """Whether a query changes the row; it says under which conditions, such as the token that we hold it by."""
        with self.connected() as connection:
            return connection.execute(query, values).rowcount == 1

    def _let_go(self, token: uuid.UUID, *, clean: bool) -> None:
        query = """UPDATE fairlead.workspaces SET token = NULL, process = '', clean = %s
            WHERE app = %s AND workspace = %s AND token = %s"""
        self._changes(query, clean, self.app, self.workspace, token)


def lease_lost(workspace: str) -> LeaseLost:
    """The error of a holder that was followed by another."""
    return LeaseLost(
        f"{workspace}: the lease of the workspace was lost",
        why="This process was paused, or did not reach the database, for longer than a lease lives",
        remedy="Run the command again: it begins with what is there",
    )


@dataclass(frozen=True, slots=True)
class _Process:
    """A process of this machine, as nobody else's is written: boot, process namespace, pid, start time (proc(5))."""

    boot: str
    namespace: str
    pid: str
    started: str

    @classmethod
    def of(cls, pid: int) -> Self:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *fields = stat.rpartition(")")[2].split()
        started = "" if state in "ZX" else fields[18]  # of a zombie nothing is left but its name
        return cls(boot, Path("/proc/self/ns/pid").readlink().name, str(pid), started)

    def __str__(self) -> str:
        return " ".join((self.boot, self.namespace, self.pid, self.started))


def is_gone(process: str) -> bool:
    """Whether the process was one of this machine, seen from here, and has ended."""
    here, words = _Process.of(os.getpid()), process.split()
    if len(words) != 4 or words[:2] != [here.boot, here.namespace]:
        return False
    try:
        return str(_Process.of(int(words[2]))) != process
    except OSError:
        return True


def _process() -> str:
    return str(_Process.of(os.getpid()))


def _holder() -> str:
    """For people: user@host."""
    return f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()} (pid {os.getpid()})"
