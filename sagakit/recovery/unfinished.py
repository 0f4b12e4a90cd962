"""Keeps a service from starting on a database whose rebuild is not over.

Apart from `target`: every process asks it at its start, and needs nothing else of a rebuild.
"""

from sqlalchemy import Engine, text

from sagakit.errors import ConfigurationError

HAS_REBUILD = text("SELECT to_regclass('public.rebuild') IS NOT NULL")
UNFINISHED = text("SELECT participant FROM rebuild WHERE finished_at IS NULL")


def refuse_unfinished(engine: Engine) -> None:
    """Raise ConfigurationError if the rebuild of this database is not over."""
    with engine.connect() as connection:
        if not connection.execute(HAS_REBUILD).scalar_one():
            return
        if participant := connection.execute(UNFINISHED).scalar():
            raise ConfigurationError(
                f"the rebuild of {participant} into this database is not over; give the same "
                "`saga rebuild` again, it goes on where it stopped"
            )
