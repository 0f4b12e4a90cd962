"""Opens the database of a service of the stack, with an error that says what to do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Engine, exc

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.stack_file import default_home, read_manifest
from sagakit.store.postgres import engine_for


def databases() -> Mapping[str, str]:
    """Return service -> URL of its database. Raises StackError."""
    found: Mapping[str, str] | None = read_manifest(default_home()).get("databases")
    if not found:
        raise StackError(f"there is no stack in {default_home()}; set SAGA_HOME to the home of one")
    return found


@contextmanager
def database_of(service: str) -> Iterator[Engine]:
    """Yield the engine of a service's database, disposed of at the end. Raises StackError."""
    known = databases()
    if service not in known:
        raise StackError(
            f"the stack in {default_home()} has no database of {service}; set SAGA_HOME to the "
            "home of one that has"
        )
    try:
        engine = engine_for(known[service])
    except (ValueError, exc.ArgumentError) as error:
        raise StackError(
            f"{default_home()} has no usable address of the database of {service} "
            f"({type(error).__name__}); start the stack again, which writes it"
        ) from error
    try:
        yield engine
    except exc.DBAPIError as error:
        raise StackError(
            f"the database of {service} does not answer: {error.orig}. Is PostgreSQL up?"
        ) from error
    finally:
        engine.dispose()
