"""`saga rebuild` on a real log, into an empty database: what was answered, what was lost."""

import os
import random
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sagakit.errors import ConfigurationError
from sagakit.kafka.inspector import LogEnds
from sagakit.recovery.unfinished import refuse_unfinished
from sagakit.store.postgres import engine_for
from tests.monitor import EventPublisher, captured, placed, reserved, whole
from tests.stack import PATIENCE_S, TestInfra, fresh_database, until

SAGA = Path(sys.executable).with_name("saga")
ORDERS, CHUNK = 900, 150
KILLS = 5
PROGRESS = "SELECT coalesce(sum(next_offset), 0) FROM rebuild_span WHERE own = %s"
ROWS = (
    "SELECT saga, phase, charges, refunds FROM payment ORDER BY saga",
    "SELECT key, flow, facts, seen, ids, sent, in_flight, marks, parked FROM inbox ORDER BY key",
    "SELECT saga, key, kind, payload FROM effects ORDER BY saga, key",
    "SELECT topic, key, value FROM outbox WHERE right(topic, 4) <> '.dlt' ORDER BY 1, 2, 3",
    "SELECT saga, why FROM rebuild_lost ORDER BY saga",
)


def start(infra: TestInfra, url: str, *words: str) -> "subprocess.Popen[str]":
    """Start `saga rebuild payment` into a database."""
    env = {**os.environ, "SAGA_BOOTSTRAP_SERVERS": infra.bootstrap_servers}
    command = [str(SAGA), "rebuild", "payment", "--into", url, *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True)


def rebuild(infra: TestInfra, url: str, *words: str, status: int = 0) -> str:
    """What `saga rebuild payment` prints."""
    process = start(infra, url, *words)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == status, f"{out}\n{err}"
    return out + err


def rows(url: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """What is in a database."""
    with psycopg.connect(url) as connection:
        return connection.execute(sql.encode(), values).fetchall()


def progress(url: str, *, own: bool) -> int:
    """How many offsets are read; zero before the first."""
    try:
        return int(rows(url, PROGRESS, own)[0][0])
    except psycopg.errors.UndefinedTable:
        return 0


@pytest.fixture
def prefix(publisher: EventPublisher) -> str:
    """Orders that payment has answered, `PREFIX-d…`, and was asked for, `PREFIX-l…`."""
    prefix = f"rb{uuid.uuid4().hex[:8]}"
    for begin in range(0, ORDERS, CHUNK):
        events: list[Any] = []
        for n in range(begin, begin + CHUNK):
            lost = n % 10 == 0
            order = f"{prefix}-{'l' if lost else 'd'}{n:04}"
            events += (placed(order), reserved(order)) if lost else whole(order)
        publisher.publish_events(*events)
    return prefix


def of(prefix: str, url: str, sql: str) -> list[tuple[Any, ...]]:
    return [row for row in rows(url, sql) if f"/{prefix}-" in row[0]]


def ends(infra: TestInfra) -> Sequence[Any]:
    log = LogEnds(infra.bootstrap_servers)
    topics = ("payment.events", "inventory.events", "order.events", "saga.events")
    return sorted(log.ends(topics).items())


def test_what_was_answered_stays_and_what_was_lost_is_asked_again(
    infra: TestInfra, prefix: str
) -> None:
    url, before = fresh_database(infra), ends(infra)

    output = rebuild(infra, url)

    states = of(prefix, url, "SELECT saga, phase FROM payment ORDER BY saga")
    asked = of(prefix, url, "SELECT saga, key, kind FROM effects ORDER BY saga")
    lost = [f"order/{prefix}-l{n:04}" for n in range(0, ORDERS, 10)]
    assert len(states) == ORDERS - len(lost)
    assert {phase for _, phase in states} == {"captured"}
    assert [(saga, kind) for saga, _, kind in asked] == [(saga, "charge") for saga in lost]
    assert not of(prefix, url, "SELECT '/' || key FROM outbox")
    sent = "SELECT key, sent FROM inbox ORDER BY key"
    assert {(key in lost, count) for key, count in of(prefix, url, sent)} == {(True, 0), (False, 1)}
    assert "payment is rebuilt" in output
    assert ends(infra) == before, "nothing was published"


def test_a_rebuild_that_is_killed_goes_on_and_ends_the_same(infra: TestInfra, prefix: str) -> None:
    whole_run, killed = fresh_database(infra), fresh_database(infra)
    rebuild(infra, whole_run)
    chance = random.Random(18)
    for _ in range(KILLS):
        own = chance.random() < 0.4
        at = chance.uniform(0, progress(whole_run, own=own))
        process = start(infra, killed)
        until(
            lambda p=process, at=at, own=own: (  # type: ignore[misc]
                p.poll() is not None or progress(killed, own=own) >= at
            ),
            "the rebuild has come as far as it is to be killed",
        )
        process.kill()
        process.communicate()
    over = rows(killed, "SELECT finished_at IS NOT NULL FROM rebuild") == [(True,)]
    if not over:
        engine = engine_for(killed)
        with pytest.raises(ConfigurationError, match="not over"):
            refuse_unfinished(engine)
        engine.dispose()
        rebuild(infra, killed)
    assert of(prefix, killed, "SELECT saga FROM payment")
    for sql in ROWS:
        assert rows(killed, sql) == rows(whole_run, sql), sql


def test_what_is_not_empty_or_is_over_is_refused(infra: TestInfra, prefix: str) -> None:
    url, other = fresh_database(infra), fresh_database(infra)
    with psycopg.connect(other) as connection:
        connection.execute("CREATE TABLE mine (n integer)")
    assert "nothing was written" in rebuild(infra, url, "--dry-run")
    assert rows(url, "SELECT to_regclass('rebuild')") == [(None,)]
    assert "not empty" in rebuild(infra, other, status=1)
    rebuild(infra, url)
    assert "was rebuilt into this database" in rebuild(infra, url, status=1)
    engine = engine_for(url)
    refuse_unfinished(engine)
    engine.dispose()
    assert of(prefix, url, "SELECT saga FROM payment")


def test_a_restored_backup_is_brought_up_to_date(
    infra: TestInfra, prefix: str, publisher: EventPublisher
) -> None:
    """An old backup, newer events: those of payment's own topic and those that it is told."""
    backup, fresh = fresh_database(infra), fresh_database(infra)
    assert "no backup of payment" in rebuild(infra, backup, "--from-backup", status=1)
    rebuild(infra, backup)
    answered, new = f"{prefix}-l0010", f"{prefix}-n0001"
    publisher.publish_events(captured(answered), placed(new), reserved(new))

    rebuild(infra, backup, "--from-backup")

    rebuild(infra, fresh)
    for sql in (ROWS[0], "SELECT key, flow, facts, seen, ids, sent, marks FROM inbox ORDER BY key"):
        assert rows(backup, sql) == rows(fresh, sql)
    asked = {saga for (saga,) in of(prefix, backup, "SELECT saga FROM effects")}
    assert f"order/{new}" in asked
    assert f"order/{answered}" in asked, "it was in flight then; its key is the same"


def test_two_rebuilds_do_not_write_side_by_side(infra: TestInfra, prefix: str) -> None:
    url = fresh_database(infra)
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (0x5A6A_0003,))
        assert "another rebuild" in rebuild(infra, url, status=1)
    rebuild(infra, url)
    assert of(prefix, url, "SELECT saga FROM payment")
