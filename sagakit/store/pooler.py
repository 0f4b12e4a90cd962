"""Refuses a pooler that gives each transaction another session of the server."""

from sqlalchemy import Connection, Engine, text

from sagakit.errors import ConfigurationError

PID = text("SELECT pg_backend_pid()")
TRIES = 3
"""How often a busy pooler is tried: other clients may take the session that would tell."""


def refuse_transaction_pooler(engine: Engine) -> None:
    """Raise ConfigurationError if two connections share a session of the server.

    The relay's lock, its notifications and prepared statements belong to a session. Without
    a pooler, or with one in session mode, each connection keeps its own.
    """
    with engine.connect() as first:
        driver = first.connection.driver_connection
        assert driver is not None
        own = _session(first)
        if driver.info.backend_pid == own:
            return  # the server itself has answered: a pooler gives a number of its own
        for _ in range(TRIES):
            with engine.connect() as second:
                other = second.execute(PID).scalar_one()  # its transaction stays open
                if other == own or _session(first) != own:
                    raise ConfigurationError(
                        "SAGA_DATABASE_URL leads to a pooler in transaction mode, where leader "
                        "locks, notifications and prepared statements get lost; set its pool_mode "
                        "to session, or name PostgreSQL's own address"
                    )


def _session(connection: Connection) -> int:
    """Return the process id of the session that serves a connection, between transactions."""
    found: int = connection.execute(PID).scalar_one()
    connection.rollback()
    return found
