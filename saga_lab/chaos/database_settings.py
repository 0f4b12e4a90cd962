"""Faults of a PostgreSQL server that runs, and does not let a service work."""

from dataclasses import dataclass

from psycopg import sql

from saga_lab.chaos.fault import Fault
from saga_lab.chaos.servers import cut_connections
from saga_lab.chaos.site import Site

RELOAD = sql.SQL("SELECT pg_reload_conf()")
BOUNDS = {
    "statement_timeout": "50ms",
    "transaction_timeout": "200ms",
    "idle_in_transaction_session_timeout": "20ms",
}
FOR_OWNER = """
    DO $$ DECLARE owner text := (
        SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database());
    BEGIN EXECUTE format({}, owner); END $$
"""
"""Runs a statement in which %1$I stands for the role of the service, who owns its database."""


@dataclass(frozen=True, slots=True)
class ReadOnly(Fault):
    """Make every transaction of the server read-only, as on a primary that is a standby now."""

    def inject(self, site: Site) -> None:
        site.settle(None, sql.SQL("ALTER SYSTEM SET default_transaction_read_only = on"), RELOAD)

    def heal(self, site: Site) -> None:
        site.settle(None, sql.SQL("ALTER SYSTEM RESET default_transaction_read_only"), RELOAD)


@dataclass(frozen=True, slots=True)
class RightsRevoked(Fault):
    """Revoke a service's rights to write its tables, and grant them again later."""

    def inject(self, site: Site) -> None:
        rights = "INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
        site.settle(self.target, _for_owner(f"REVOKE {rights} FROM %1$I"))

    def heal(self, site: Site) -> None:
        grant = "GRANT ALL ON ALL TABLES IN SCHEMA public TO %1$I"
        site.settle(self.target, _for_owner(grant))


@dataclass(frozen=True, slots=True)
class TightTimeouts(Fault):
    """Let the server end a service's statements, transactions and sessions after a moment."""

    def inject(self, site: Site) -> None:
        set_ = [_for_owner(f"ALTER ROLE %1$I SET {n} = '{bound}'") for n, bound in BOUNDS.items()]
        site.settle(self.target, *set_)
        cut_connections(site, self.target)  # new sessions have them

    def heal(self, site: Site) -> None:
        site.settle(self.target, *(_for_owner(f"ALTER ROLE %1$I RESET {name}") for name in BOUNDS))
        cut_connections(site, self.target)


def _for_owner(statement: str) -> sql.Composed:
    return sql.SQL(FOR_OWNER).format(sql.Literal(statement))
