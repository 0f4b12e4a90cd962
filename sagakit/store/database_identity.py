"""Tells one database from another, whatever its address is."""

from sqlalchemy import Engine, text

IDENTITY = text("""
    SELECT system_identifier, oid FROM pg_control_system(), pg_database
    WHERE datname = current_database()
""")


def identity_of(engine: Engine) -> tuple[int, int]:
    """Return the identity of a database: its server's, which begins with its age, and its own."""
    with engine.connect() as connection:
        server, database = connection.execute(IDENTITY).one()
    return int(server), int(database)
