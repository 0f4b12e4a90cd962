"""Swaps a shadow with the live projection, in one transaction: promoted, and back again.

The tables change schemas; no row moves. Each projection takes along the offsets that its rows stand
for, so the monitor that is started next catches up from there. It has to be stopped before: a
running one would go on at its own offsets and leave out what lies between. A transaction cannot
stop it, but can see that nobody else is connected; and it holds the migration lock, at which every
process that starts waits.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from saga_monitor.replay.target import LOCKS, Shadow, ShadowRefused, ShadowState
from saga_monitor.storage.tables import PROJECTED
from sagakit.store.migrate import MIGRATION_LOCK
from sagakit.store.postgres import engine_for

BETWEEN = "replay_swap"
"""The schema through which the tables go."""
LOCK_STARTS = text("SELECT pg_advisory_xact_lock(:lock)")
LOCK_SHADOW = text("SELECT pg_try_advisory_xact_lock(:locks, hashtext(:schema))")
WAIT_AT_MOST = text("SET LOCAL lock_timeout TO '10s'")
OTHERS = text("""
    SELECT DISTINCT concat_ws(' ', usename, application_name, client_addr, client_port)
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend' ORDER BY 1
""")
OWNERS = text("""
    SELECT c.relname, quote_ident(pg_get_userbyid(c.relowner)) FROM pg_class c
    WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relname = ANY(:tables)
""")
GRANTS = text("""
    SELECT c.relname, a.privilege_type,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
    FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
    WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relname = ANY(:tables)
    AND a.grantee <> c.relowner
""")
TURN = 'UPDATE "{schema}".replay SET former_live = NOT former_live'
TABLES = [table.name for table in PROJECTED]


def promote(shadow: Shadow) -> None:
    """Make the shadow the live projection, and the live one the shadow.

    Raises ShadowRefused if the shadow is not complete or holds a part of the log only, or somebody
    is connected to the database.
    """
    engine = engine_for(shadow.url, pool_size=1)
    try:
        with engine.begin() as connection:
            state = shadow.state_on(connection)
            if state is None:
                raise ShadowRefused(f"there is no shadow {shadow.name}; `saga shadows` lists them")
            _check_whole(shadow.name, state)
            _lock(connection, shadow)
            _swap(connection, shadow.schema)
    finally:
        engine.dispose()


def _check_whole(name: str, state: ShadowState) -> None:
    if state.former_live:
        return
    if state.finished_at is None:
        raise ShadowRefused(f"shadow {name} is not complete; run its replay again first")
    bounds = [key for key in ("saga", "flow", "topics") if state.request.get(key)]
    bounds += ["from"] if state.request.get("from") != "earliest" else []
    if bounds:
        raise ShadowRefused(
            f"shadow {name} holds a part of the log, by --{' and --'.join(bounds)}; replay without"
        )


def _lock(connection: Connection, shadow: Shadow) -> None:
    connection.execute(WAIT_AT_MOST)
    connection.execute(LOCK_STARTS, {"lock": MIGRATION_LOCK})
    wanted = {"locks": LOCKS, "schema": shadow.schema}
    if not connection.execute(LOCK_SHADOW, wanted).scalar_one():
        raise ShadowRefused(f"a replay into shadow {shadow.name} is running; wait for its end")
    if others := connection.execute(OTHERS).scalars().all():
        raise ShadowRefused(
            "the monitor's database is in use; stop every replica of the monitor, and whatever "
            f"else is connected: {'; '.join(others)}"
        )


def _swap(connection: Connection, schema: str) -> None:
    live = str(connection.execute(text("SELECT current_schema()")).scalar_one())
    asked = {"schema": f'"{live}"', "tables": TABLES}
    owners = connection.execute(OWNERS, asked).all()
    grants = connection.execute(GRANTS, asked).all()
    connection.execute(text(f"CREATE SCHEMA {BETWEEN}"))
    _move(connection, live, BETWEEN)
    _move(connection, schema, live)
    _move(connection, BETWEEN, schema)
    connection.execute(text(f"DROP SCHEMA {BETWEEN}"))
    rights = [f'ALTER TABLE "{live}".{table} OWNER TO {owner}' for table, owner in owners]
    rights += [f'GRANT {right} ON "{live}".{table} TO {to}' for table, right, to in grants]
    _execute(connection, rights)
    connection.execute(text(TURN.format(schema=schema)))


def _move(connection: Connection, source: str, to: str) -> None:
    _execute(connection, [f'ALTER TABLE "{source}".{table} SET SCHEMA "{to}"' for table in TABLES])


def _execute(connection: Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        connection.execute(text(statement))
