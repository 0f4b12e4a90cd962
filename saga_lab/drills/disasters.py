"""Disasters: faults whose heal is a recovery; and the losses of databases among them."""

import re
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import httpx2
from psycopg import sql

from saga_lab.application import MONITOR
from saga_lab.chaos.fault import Fault, Violation
from saga_lab.chaos.site import Site, until
from saga_lab.devstack.processes import is_instance_of
from saga_lab.devstack.stack import addresses_of
from saga_lab.invariants.gather import unread_by_monitor
from sagakit.flow.routing import topics_of
from sagakit.kafka.group_guard import GroupGuard
from sagakit.kafka.inspector import lag

BACKUP_AGE_S = 20.0
"""So long goes traffic on between a backup and the loss."""


class RecoveryFailed(Violation):
    """A recovery ended with an error; the message says which."""


class RecoveryCommands(Protocol):
    """The commands that a recovery gives. Each raises RecoveryFailed."""

    def rebuild(self, participant: str, url: str, *, from_backup: bool) -> Sequence[str]:
        """Rebuild a participant's database; return what was not recovered."""
        ...

    def archive(self) -> None:
        """Archive all topics in a folder of the drill's own."""
        ...

    def restore(self) -> None:
        """Fill the empty topics from that folder."""
        ...


@dataclass(slots=True)
class RecoveryNotes:
    """Notes when a target was lost and came back, in seconds since the load began.

    detected_at: when its probe told; restored_at: when its database was whole again;
    not_recovered: what nothing brings back.
    """

    target: str
    struck_at: float | None = None
    detected_at: float | None = None
    restored_at: float | None = None
    not_recovered: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Recoveries:
    """How each target of a drill came back, and the commands that brought it back."""

    commands: RecoveryCommands
    of: dict[str, RecoveryNotes] = field(default_factory=dict)

    def begin(self, target: str) -> RecoveryNotes:
        """Begin the notes of a target."""
        self.of[target] = RecoveryNotes(target)
        return self.of[target]


@dataclass(frozen=True, slots=True)
class Disaster(Fault):
    """Something of a process is lost while the process runs, and is recovered."""

    recoveries: Recoveries

    def inject(self, site: Site) -> None:
        """Let it happen, and return once somebody could know."""
        self.before(site)
        notes = self.recoveries.begin(self.target)
        notes.struck_at = site.load.pace.past_s
        self.strike(site)
        until(lambda: self.is_seen(site), f"{self.target} says what is lost")
        notes.detected_at = site.load.pace.past_s

    def heal(self, site: Site) -> None:
        """Stop every replica, recover what was lost, and start them again."""
        notes = self.recoveries.of[self.target]
        processes = self.processes(site)
        site.stop(*processes)
        try:
            notes.not_recovered += self.recover(site)
            notes.restored_at = site.load.pace.past_s
        finally:
            site.start(*processes)

    def processes(self, site: Site) -> list[str]:
        """Return the processes that stand still while it is recovered: by default the replicas."""
        return replicas_of(site, self.target)

    def before(self, site: Site) -> None:
        """Prepare what the recovery needs. By default nothing."""

    @abstractmethod
    def strike(self, site: Site) -> None:
        """Lose it."""

    @abstractmethod
    def is_seen(self, site: Site) -> bool:
        """Return True once the process tells an operator of the loss."""

    @abstractmethod
    def recover(self, site: Site) -> Sequence[str]:
        """Recover it while no replica runs; return what was not recovered."""


@dataclass(frozen=True, slots=True)
class DatabaseLoss(Disaster):
    """The database of a process is dropped while the process runs, and is recovered.

    Healed is the process once it is ready and has read all that the log holds.
    """

    def strike(self, site: Site) -> None:
        """Drop the database."""
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(_name_of(site, self.target))
        site.settle(None, drop)

    def is_seen(self, site: Site) -> bool:
        return not site.ready(self.target)

    def recover(self, site: Site) -> Sequence[str]:
        """Restore the database as soon as no replica is in the consumer group any more."""
        if self.target != MONITOR:
            until_left(site, self.target)
        return self.restore(site)

    def healed(self, site: Site) -> bool:
        return has_read_all(site, self.target)

    @abstractmethod
    def restore(self, site: Site) -> Sequence[str]:
        """Restore the database; return what was not recovered."""

    def _rebuild(self, site: Site, *, from_backup: bool) -> Sequence[str]:
        if self.target == MONITOR:  # it reads the topics itself when it starts
            return ()
        url = _own_url(site, self.target)
        return self.recoveries.commands.rebuild(self.target, url, from_backup=from_backup)


@dataclass(frozen=True, slots=True)
class LostDatabase(DatabaseLoss):
    """Nothing is left of the database: it is rebuilt from the topics."""

    def restore(self, site: Site) -> Sequence[str]:
        """Rebuild it; the monitor rebuilds its own when it starts."""
        _create(site, self.target)
        return self._rebuild(site, from_backup=False)


@dataclass(frozen=True, slots=True)
class OldBackup(DatabaseLoss):
    """A backup is left, older than the offsets of its consumer group: it is brought up to date."""

    def before(self, site: Site) -> None:
        """Back the database up, and let traffic go on."""
        replicas = replicas_of(site, self.target)
        site.stop(*replicas)
        _create(site, self.target, backup=_name_of(site, self.target), name=self._backup(site))
        site.start(*replicas)
        until(lambda: site.ready(self.target), f"{self.target} is ready after its backup")
        time.sleep(BACKUP_AGE_S)

    def restore(self, site: Site) -> Sequence[str]:
        """Restore the backup and read the tail; the monitor reads it when it starts."""
        _create(site, self.target, backup=self._backup(site))
        return self._rebuild(site, from_backup=True)

    def _backup(self, site: Site) -> sql.Identifier:
        return sql.Identifier(f"{_database_of(site, self.target)}_backup")


def until_left(site: Site, group: str) -> None:
    """Wait until a consumer group has no member. Raises NotReached."""
    guard = GroupGuard(site.bootstrap_servers, group, 0)
    until(lambda: not guard.clients(), f"the consumer group {group} is left")


def replicas_of(site: Site, target: str) -> list[str]:
    """Return the names of the processes of a participant or of the monitor."""
    return [name for name in site.stack.supervisor.processes() if is_instance_of(name, target)]


def has_read_all(site: Site, target: str) -> bool:
    """Return True if a participant or the monitor is ready and has read all that the log holds."""
    if not site.ready(target):
        return False
    if target == MONITOR:
        return not unread_by_monitor(site.content)
    return not lag(site.bootstrap_servers, target, topics_of(site.contract.flows, target))


def metric_of(site: Site, process: str, metric: re.Pattern[str]) -> list[str]:
    """Return what a pattern finds in the metrics of a process, nothing while it does not answer."""
    try:
        return metric.findall(site.request("GET", process, "/metrics").text)
    except httpx2.TransportError:
        return []


def _database_of(site: Site, target: str) -> str:
    return str(site.content["databases"][target]).rpartition("/")[2]


def _name_of(site: Site, target: str) -> sql.Identifier:
    return sql.Identifier(_database_of(site, target))


def _own_url(site: Site, target: str) -> str:
    """Return the URL under which a service reaches its database: the tables belong to its role."""
    return addresses_of(site.stack.home, site.stack.application, site.content).database_for(target)


def _create(
    site: Site,
    target: str,
    *,
    backup: sql.Identifier | None = None,
    name: sql.Identifier | None = None,
) -> None:
    """Create a database that belongs to the role of a service, empty or as a copy of `backup`."""
    database = name or _name_of(site, target)
    role = sql.Identifier(urlsplit(_own_url(site, target)).username or "")
    create = sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role)
    if backup is not None:
        create += sql.SQL(" TEMPLATE {}").format(backup)
    revoke = sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(database)
    site.settle(None, create, revoke)
