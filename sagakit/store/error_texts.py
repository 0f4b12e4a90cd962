"""Takes the data out of the texts of database errors, which are logged, kept and answered.

PostgreSQL quotes what was written: `DETAIL: Failing row contains (...)`, `Key (id)=(...)`, the line
of a COPY, the value that is no number. An address or a password would stay for good.
"""

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

_OF_DATA = ("22", "23")
"""Classes of SQLSTATE whose errors are about values: data exception, integrity violation."""


def hide_data(error: BaseException | None) -> None:
    """Leave in an error of psycopg the message alone; of one about data its constraint alone."""
    if not isinstance(error, psycopg.Error) or not error.sqlstate:
        return  # of the connection, not of the server
    diagnosis = error.diag
    kind = type(error).__name__
    if error.sqlstate.startswith(_OF_DATA):
        where = diagnosis.constraint_name or diagnosis.column_name or diagnosis.table_name
        text = f"{kind} ({error.sqlstate})" + (f" at {where}" if where else "")
    else:
        text = diagnosis.message_primary or kind
    error.args = (text,)


def hide_data_in_errors(engine: Engine) -> None:
    """Make all errors of an engine say what failed without the data."""

    def hide(context: ExceptionContext) -> None:
        hide_data(context.original_exception)
        if context.sqlalchemy_exception is not None:
            kind = type(context.original_exception)
            text = f"({kind.__module__}.{kind.__qualname__}) {context.original_exception}"
            context.sqlalchemy_exception.args = (text,)

    event.listen(engine, "handle_error", hide)
