"""Passes the rows of a batch to PostgreSQL as one JSON parameter, and reads them in SQL."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

KEYS = "ARRAY(SELECT json_array_elements_text(CAST(:keys AS json)))"
"""The keys of a batch as one parameter, see `as_json`."""


def recordset(table: Table, columns: Sequence[str], parameter: str = "rows") -> str:
    """Return SQL that reads a batch's rows from one JSON parameter, with column types of `table`.

    The SQL is `json_to_recordset(...) AS n (...)`; `rows_of` writes the parameter. One JSON
    document is written and read in C; psycopg would write one array per column, element by element,
    and take thirty times as long (docs/decisions/0010).
    """
    typed = ", ".join(f'"{name}" {_sql_type(table, name)}' for name in columns)
    return f"json_to_recordset(CAST(:{parameter} AS json)) AS n ({typed})"


def driver_sql(sql: str) -> bytes:
    """Return SQL for psycopg itself: parameters are written `%(name)s` there, not `:name`."""
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", sql).encode()


def rows_of(rows: Sequence[Any]) -> dict[str, str]:
    """Return the parameter of a statement over `recordset`.

    Each row is a mapping or a dataclass with the column names. Values are JSON values, dataclasses,
    datetime, UUID or bytes. Raises ValueError for others.
    """
    return {"rows": as_json(rows)}


def as_json(value: Any) -> str:
    """Return JSON text for a parameter. Raises ValueError if the value has no JSON form."""
    try:
        return orjson.dumps(value, default=_plain).decode()
    except orjson.JSONEncodeError as error:
        raise ValueError(f"no JSON for the database: {error}") from error


def _plain(value: Any) -> Any:
    """Convert types that orjson does not know: bytes as bytea text, mappings, frozensets."""
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no value of a column")


def _sql_type(table: Table, column: str) -> str:
    sql = table.c[column].type.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    return str(sql).partition(" COLLATE")[0]
