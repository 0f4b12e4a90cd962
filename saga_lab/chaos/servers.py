"""Faults of Kafka and PostgreSQL."""

import signal
from dataclasses import dataclass

import psycopg
from psycopg import sql

from saga_lab.chaos.fault import Fault
from saga_lab.chaos.site import Site, until
from saga_lab.devstack.disks import WAL_DISK
from saga_lab.devstack.processes import MONITOR
from saga_lab.devstack.topics import out_of_step

HOT_TABLES = ("inbox", "outbox", "effects")
HOT_TABLES_OF_MONITOR = ("saga", "stream_offset", "outbox")
CUT = sql.SQL(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)

BULKY = sql.SQL(
    "CREATE TEMP TABLE bulky AS SELECT repeat('x', 4000) FROM generate_series(1, 100000)"
)
"""Data that nobody keeps. In a temporary table: it is not in the WAL, and goes with the session."""
KEEP_WAL = sql.SQL(
    "SELECT pg_create_physical_replication_slot('gameday', true)"
    " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'gameday')"
)
WRITE_WAL = sql.SQL(
    "SELECT pg_logical_emit_message(false, 'gameday', repeat('x', 1000000))"
    " FROM generate_series(1, 4000)"
)
LET_WAL_GO = sql.SQL(
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
    " WHERE slot_name = 'gameday'"
)


@dataclass(frozen=True, slots=True)
class AllStopped(Fault):
    """Every broker stopped in good order and gone for a while."""

    def inject(self, site: Site) -> None:
        site.stop(*site.brokers)

    def heal(self, site: Site) -> None:
        site.start(*site.brokers)

    def healed(self, site: Site) -> bool:
        return all(map(site.ready, site.brokers)) and not out_of_step(site.bootstrap_servers)


@dataclass(frozen=True, slots=True)
class BrokerLost(Fault):
    """One broker of several is killed and kept away; then it comes back and catches up."""

    def inject(self, site: Site) -> None:
        site.signal(self.target, signal.SIGKILL)
        site.stop(self.target)  # before the supervisor's next one has done anything

    def heal(self, site: Site) -> None:
        site.start(self.target)

    def healed(self, site: Site) -> bool:
        return site.ready(self.target) and not out_of_step(site.bootstrap_servers)


@dataclass(frozen=True, slots=True)
class LeaderMoved(BrokerLost):
    """A broker stops in good order, so every partition it leads moves to another; when it is back
    and has caught up, the controller elects it again as the leader of those it is preferred for."""

    def inject(self, site: Site) -> None:
        site.stop(self.target)

    def healed(self, site: Site) -> bool:
        return site.ready(self.target) and not out_of_step(site.bootstrap_servers, leaders=True)


@dataclass(frozen=True, slots=True)
class ConnectionsCut(Fault):
    """PostgreSQL ends every connection to a service's database, wherever its transactions are:
    at once, and once more at the end, when all have come back."""

    def inject(self, site: Site) -> None:
        _cut(site, self.target)

    def heal(self, site: Site) -> None:
        _cut(site, self.target)


def _cut(site: Site, service: str) -> None:
    site.hold(service, CUT)
    site.let_go(service)


@dataclass(frozen=True, slots=True)
class TablesLocked(Fault):
    """Somebody else holds an exclusive lock on the tables that every transaction needs."""

    def inject(self, site: Site) -> None:
        tables = HOT_TABLES_OF_MONITOR if self.target == MONITOR else HOT_TABLES
        names = sql.SQL(", ").join(map(sql.Identifier, tables))
        lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names)
        site.hold(self.target, sql.SQL("SET lock_timeout = '5s'"), lock)

    def heal(self, site: Site) -> None:
        site.let_go(self.target)


@dataclass(frozen=True, slots=True)
class DiskFull(Fault):
    """A disk of PostgreSQL without room, and PostgreSQL meets it before time runs: statements that
    need room for data fail; without room for its WAL the server panics, and again on each start.

    The WAL fills as it mostly does in life: a replication slot nobody reads keeps all of it, or
    segments used again would be room for ever.
    """

    def inject(self, site: Site) -> None:
        statement = BULKY
        if self.target == WAL_DISK:
            until(lambda: _done(site, KEEP_WAL), "PostgreSQL keeps its WAL")
            statement = WRITE_WAL

        def met() -> bool:
            site.disk(self.target).fill()  # again: something may have been removed meanwhile
            return not _done(site, statement)

        until(met, f"PostgreSQL finds no room on {self.target}")

    def heal(self, site: Site) -> None:
        site.disk(self.target).free()
        if self.target == WAL_DISK:
            until(lambda: _done(site, LET_WAL_GO), "PostgreSQL lets its WAL go")

    def healed(self, site: Site) -> bool:
        return site.ready("postgres")


def _done(site: Site, statement: sql.SQL) -> bool:
    """False where PostgreSQL is down or has no room, for this or another reason."""
    try:
        site.run(statement)
    except psycopg.OperationalError:
        return False
    return True
