"""Fills databases with millions of orders: PostgreSQL copies the rows of orders that really ran.

Every copy has the rows of its template in every table of every database. It has an id and times of
its own. Events and amounts are those of the template. The topics do not hold the copies.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
from psycopg import sql

from benchmarks.testbed import Testbed

SENT, FLOW = "outbox_sent", "order/"
TABLES: Mapping[str, Mapping[str, str]] = {
    "order": {"inbox": "key", "orders": "saga", SENT: "key"},
    "inventory": {"inbox": "key", "reservation": "saga", SENT: "key"},
    "payment": {"inbox": "key", "payment": "saga", SENT: "key"},
    "shipping": {"inbox": "key", "shipment": "saga", SENT: "key"},
    "notification": {"inbox": "key", "mailing": "saga", SENT: "key"},
    "monitor": {"saga": "saga", "timeline": "saga"},
}
"""Database -> its tables with one or more rows per order, and the column with the saga key.

In SENT it is the record key, which is the bare id.
"""
SENT_DAYS = 30
"""Days before today that the published events cover. Each day has one partition."""
HISTORY_DAYS = 60
"""Age in days of the orders in the history. By that age the monitor has moved them there."""
ROWS_PER_STATEMENT = 100_000
CUSTOMERS = 100_000
Copied = dict[str, dict[str, int]]
"""Database -> table -> rows."""


@dataclass(frozen=True)
class Copies:
    """Describes `count` copies of the orders `templates`. Their ids begin with `prefix`.

    `history`: the copies are in the monitor's history.
    """

    templates: Sequence[str]
    count: int
    prefix: str
    history: bool = False

    def target(self, database: str, table: str) -> str:
        """Return the table that receives the copies of a table's rows."""
        return f"{table}_history" if self.history and database == "monitor" else table


def fill(testbed: Testbed, copies: Copies) -> Copied:
    """Insert the copies in every database. The services must not run.

    Then it vacuums, analyses and checkpoints each database. PostgreSQL would have done this if the
    orders had come over months.
    """
    with ThreadPoolExecutor(len(TABLES)) as threads:
        found = {
            database: threads.submit(_fill_database, testbed.database(database), database, copies)
            for database in TABLES
        }
        return {database: rows.result() for database, rows in found.items()}


def _fill_database(url: str, database: str, copies: Copies) -> dict[str, int]:
    rows: dict[str, int] = {}
    with psycopg.connect(url, autocommit=True) as connection:
        if SENT in TABLES[database]:
            _make_days(connection)
        for table, key in TABLES[database].items():
            target = copies.target(database, table)
            statement = _copy(connection, table, target, key, copies.history)
            rows[target] = sum(
                connection.execute(statement, part).rowcount for part in _parts(copies)
            )
        connection.execute("vacuum (analyze)")
        connection.execute("checkpoint")
    return rows


def _parts(copies: Copies) -> list[dict[str, object]]:
    """Return the parameters of each statement, one per `ROWS_PER_STATEMENT` copies."""
    return [
        {
            "ids": list(copies.templates),
            "many": len(copies.templates),
            "prefix": copies.prefix,
            "first": first,
            "last": min(first + ROWS_PER_STATEMENT, copies.count) - 1,
        }
        for first in range(0, copies.count, ROWS_PER_STATEMENT)
    ]


def _copy(
    connection: psycopg.Connection, table: str, target: str, key: str, history: bool
) -> sql.Composed:
    """Return the statement that inserts the rows of one part of the copies."""
    flow = sql.Literal("" if table == SENT else FLOW)
    names = [column.name for column in connection.execute(_columns_of(table)).description or ()]
    return sql.SQL(
        "with template as materialized (select x.nth, t.* from unnest(%(ids)s::text[]) "
        "with ordinality x (id, nth) join {table} t on t.{key} = {flow} || x.id) "
        "insert into {target} ({columns}) select {values} "
        "from generate_series(%(first)s::bigint, %(last)s::bigint) n "
        "join template t on t.nth = 1 + n %% %(many)s"
    ).format(
        table=sql.Identifier(table),
        key=sql.Identifier(key),
        flow=flow,
        target=sql.Identifier(target),
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join(_value(name, key, flow, history) for name in names),
    )


def _value(column: str, key: str, flow: sql.Literal, history: bool) -> sql.Composable:
    """Return the SQL for a column of a copy: the template's value, unless orders differ in it."""
    if column == key:
        return flow + sql.SQL(" || %(prefix)s || lpad(n::text, 8, '0')")
    own = sql.SQL("t.") + sql.Identifier(column)
    match column:
        case "customer_id":
            return own + sql.SQL(f" || '-' || n %% {CUSTOMERS}")
        case "sent_at":
            return own + sql.SQL(f" - (1 + n %% {SENT_DAYS}) * interval '1 day'")
        case "next_deadline":
            return own + sql.SQL(" + n * interval '1 ms'")
        case "at" | "started_at" | "ended_at" | "updated_at" if history:
            return own + sql.SQL(f" - interval '{HISTORY_DAYS} days' - n * interval '1 s'")
        case "started_at" | "ended_at" | "updated_at":  # no two alike, as in a shop
            return own + sql.SQL(" - n * interval '1 ms'")
    return own


def _columns_of(table: str) -> sql.Composed:
    return sql.SQL("select * from {} limit 0").format(sql.Identifier(table))


def _make_days(connection: psycopg.Connection) -> None:
    connection.execute(f"""
        do $$ declare day date; begin
            for day in select generate_series(
                current_date - {SENT_DAYS + 1}, current_date, interval '1 day') loop
                execute format('create table if not exists {SENT}_%s partition of {SENT} '
                    'for values from (%L) to (%L)', to_char(day, 'YYYYMMDD'), day, day + 1);
            end loop;
        end $$
    """)
