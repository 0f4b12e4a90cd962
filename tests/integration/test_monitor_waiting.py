"""Orders that wait cost rows and nothing else: the look for what is overdue does not read them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

import saga_monitor
from saga_monitor import store
from sagakit.migrations import migrate
from sagakit.postgres import engine_for

WAITING, PARTITIONS = 20_000, 6
READ = text(
    "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) "
    "from pg_stat_xact_user_tables where relname = 'saga'"
)


def test_a_look_reads_only_what_is_due(database_url: str) -> None:
    engine = engine_for(database_url)
    migrate(engine, Path(saga_monitor.__file__).parent / "migrations")
    now = datetime.now(UTC)
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into saga (order_id, flow, version, status, next_deadline, partition) "
                "select 'o-' || n, 'order', 1, 'waiting', "
                "cast(:now as timestamptz) + n * interval '1 minute', n % :partitions "
                "from generate_series(1, :waiting) n"
            ),
            {"now": now, "partitions": PARTITIONS, "waiting": WAITING},
        )
    with engine.begin() as connection:
        connection.execute(text("analyze saga"))
    for minutes in (0, 3):
        # Not all partitions are read equally far, as it is when some lag behind.
        through = {p: now + timedelta(minutes=minutes, seconds=p + 1) for p in range(PARTITIONS)}
        with engine.begin() as connection:
            found = store.overdue(connection, through, 200)
            rows_read = connection.execute(READ).scalar_one()
        assert [saga.order_id for saga, _ in found] == [f"o-{n + 1}" for n in range(minutes)]
        assert rows_read <= 10 * (minutes + 1), f"{rows_read} rows read for {minutes} that are due"
    engine.dispose()
