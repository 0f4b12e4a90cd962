"""Faults of Kafka and PostgreSQL."""

import signal
from dataclasses import dataclass

import psycopg
from psycopg import sql

from saga_lab.application import MONITOR
from saga_lab.chaos.fault import Fault
from saga_lab.chaos.site import Site, until
from saga_lab.devstack.disks import WAL_DISK
from saga_lab.devstack.topics import first_unhealthy_partition

HOT_TABLES = ("inbox", "outbox", "effects")
HOT_TABLES_OF_MONITOR = ("saga", "stream_offset", "outbox")
TERMINATE_OTHERS = sql.SQL(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)

FILL_DISK = sql.SQL(
    "CREATE TEMP TABLE filler AS SELECT repeat('x', 4000) FROM generate_series(1, 100000)"
)
"""Throwaway data in a temporary table: not in the WAL, and dropped with the session."""
RETAIN_WAL = sql.SQL(
    "SELECT pg_create_physical_replication_slot('chaos', true)"
    " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'chaos')"
)
FILL_WAL = sql.SQL(
    "SELECT pg_logical_emit_message(false, 'chaos', repeat('x', 1000000))"
    " FROM generate_series(1, 4000)"
)
RELEASE_WAL = sql.SQL(
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'chaos'"
)


@dataclass(frozen=True, slots=True)
class BrokerShutdown(Fault):
    """Shut down every broker cleanly, and start them again later."""

    def inject(self, site: Site) -> None:
        site.stop(*site.brokers)

    def heal(self, site: Site) -> None:
        site.start(*site.brokers)

    def healed(self, site: Site) -> bool:
        return all(map(site.ready, site.brokers)) and not first_unhealthy_partition(
            site.bootstrap_servers
        )


@dataclass(frozen=True, slots=True)
class BrokerLoss(Fault):
    """Kill one broker of several and keep it down; later it restarts and catches up."""

    def inject(self, site: Site) -> None:
        site.signal(self.target, signal.SIGKILL)
        site.stop(self.target)  # before the restarted process does anything

    def heal(self, site: Site) -> None:
        site.start(self.target)

    def healed(self, site: Site) -> bool:
        return site.ready(self.target) and not first_unhealthy_partition(site.bootstrap_servers)


@dataclass(frozen=True, slots=True)
class LeaderMove(BrokerLoss):
    """Shut one broker down cleanly, so that leadership of its partitions moves to the others.

    Once it is back and in sync, the controller re-elects it where it is the preferred leader.
    """

    def inject(self, site: Site) -> None:
        site.stop(self.target)

    def healed(self, site: Site) -> bool:
        return site.ready(self.target) and not first_unhealthy_partition(
            site.bootstrap_servers, leaders=True
        )


@dataclass(frozen=True, slots=True)
class RegistryShutdown(Fault):
    """Shut the schema registry down, and start it again later."""

    def inject(self, site: Site) -> None:
        site.stop(self.target)

    def heal(self, site: Site) -> None:
        site.start(self.target)


@dataclass(frozen=True, slots=True)
class ConnectionCut(Fault):
    """Terminate every connection to a service's database, in the middle of transactions.

    It happens on inject, and again on heal, when the clients have reconnected.
    """

    def inject(self, site: Site) -> None:
        cut_connections(site, self.target)

    def heal(self, site: Site) -> None:
        cut_connections(site, self.target)


def cut_connections(site: Site, service: str) -> None:
    """End all sessions in the database of a service."""
    site.open_transaction(service, TERMINATE_OTHERS)
    site.release(service)


@dataclass(frozen=True, slots=True)
class TableLock(Fault):
    """Hold an exclusive lock on the tables that every transaction needs."""

    def inject(self, site: Site) -> None:
        tables = HOT_TABLES_OF_MONITOR if self.target == MONITOR else HOT_TABLES
        names = sql.SQL(", ").join(map(sql.Identifier, tables))
        lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names)
        site.open_transaction(self.target, sql.SQL("SET lock_timeout = '5s'"), lock)

    def heal(self, site: Site) -> None:
        site.release(self.target)


@dataclass(frozen=True, slots=True)
class DiskFull(Fault):
    """Fill one of PostgreSQL's disks, and wait until PostgreSQL fails for lack of space.

    On the data disk, statements that need space fail. On the WAL disk the server panics, and again
    on each start. The WAL grows as it usually does in production: an unread replication slot
    retains every segment. Without the slot PostgreSQL would recycle segments and never run out.
    """

    def inject(self, site: Site) -> None:
        statement = FILL_DISK
        if self.target == WAL_DISK:
            until(lambda: _succeeds(site, RETAIN_WAL), "PostgreSQL creates a replication slot")
            statement = FILL_WAL

        def out_of_space() -> bool:
            site.disk(self.target).fill()  # on each attempt: files may have been removed meanwhile
            return not _succeeds(site, statement)

        until(out_of_space, f"PostgreSQL runs out of space on {self.target}")

    def heal(self, site: Site) -> None:
        site.disk(self.target).free()
        if self.target == WAL_DISK:
            until(lambda: _succeeds(site, RELEASE_WAL), "PostgreSQL drops the replication slot")

    def healed(self, site: Site) -> bool:
        return site.ready("postgres")


def _succeeds(site: Site, statement: sql.SQL) -> bool:
    """Run a statement; return False if PostgreSQL is down or out of space."""
    try:
        site.run(statement)
    except psycopg.OperationalError:
        return False
    return True
