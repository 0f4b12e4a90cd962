"""A service that starts on a database older than its offsets: it says so and what to do."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from sagakit.kafka.inspector import lag
from tests.monitor import EventPublisher, placed
from tests.programs import program
from tests.stack import PATIENCE_S, TestInfra, fresh_database, live_infra, until

SAGA = Path(sys.executable).with_name("saga")
READ = ("order.events", "saga.events")
ROWS = (
    "SELECT key, flow, facts, seen, sent, in_flight FROM inbox ORDER BY key",
    "SELECT * FROM screening ORDER BY saga",
)


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestInfra]:
    """Of its own: the offsets of the service's group and its topic are what is tested."""
    with live_infra(tmp_path_factory.mktemp("infra")) as found:
        yield found


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql.encode()).fetchall()


def copy_of(infra: TestInfra, url: str) -> str:
    """A restored backup of a database that nobody uses."""
    name, original = f"{url.rpartition('/')[2]}_copy", url.rpartition("/")[2]
    with psycopg.connect(infra.database_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{original}"'.encode())
    return f"{url.rpartition('/')[0]}/{name}"


def screen(infra: TestInfra, url: str, log: Path, *orders: str) -> None:
    """Run the service until it has read and published all about these orders."""
    publisher = EventPublisher(infra)
    with program("services.fraud", infra, log, SAGA_DATABASE_URL=url) as fraud:
        publisher.publish_events(*map(placed, orders), flow="order/3")
        done = "SELECT count(*) FROM inbox WHERE sent > 0"
        until(lambda: fraud.wrong("ready") == (200, {}), "it is ready")
        until(lambda: rows(url, done)[0][0] % 2 == 0 and rows(url, done)[0][0], "all are screened")
        until(lambda: rows(url, "SELECT count(*) FROM outbox") == [(0,)], "all is published")
        until(lambda: not lag(infra.bootstrap_servers, "fraud", READ), "all offsets are committed")
        assert fraud.terminate() == 0, log.read_text()
    publisher.close()


def refusal(infra: TestInfra, url: str, log: Path, name: str = "fraud") -> str:
    """What the service says when it ends at its start."""
    settings = {"SAGA_DATABASE_URL": url, "SAGA_KEY_ENCRYPTION_KEY": secrets.token_hex(32)}
    with program(f"services.{name}", infra, log, **settings) as service:
        assert service.process.wait(PATIENCE_S) == 2, log.read_text()
    return log.read_text().splitlines()[-1]


def rebuild(infra: TestInfra, url: str, *words: str) -> None:
    env = {**os.environ, "SAGA_BOOTSTRAP_SERVERS": infra.bootstrap_servers}
    command = [str(SAGA), "rebuild", "fraud", "--into", url, *words]
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=PATIENCE_S)


def test_an_old_backup_and_an_empty_database_are_refused_until_they_are_rebuilt(
    infra: TestInfra, tmp_path: Path
) -> None:
    # Given a database, a copy of it, and what came after the copy
    live, empty = fresh_database(infra), fresh_database(infra)
    screen(infra, live, tmp_path / "before.log", "kept-1", "kept-2")
    backup = copy_of(infra, live)
    screen(infra, live, tmp_path / "after.log", "missed-1", "missed-2")
    # When the service is started on the copy, or on nothing
    for url in (backup, empty):
        printed = refusal(infra, url, tmp_path / "refused.log")
        # Then it does nothing, and names the remedy
        assert "the database of fraud is older than the topics" in printed
        assert "saga rebuild fraud --into DATABASE --from-backup" in printed
    assert rows(backup, ROWS[0]) != rows(live, ROWS[0])
    # And the remedy helps, and the newest database was never in doubt
    rebuild(infra, backup, "--from-backup")
    for sql in ROWS:
        assert rows(backup, sql) == rows(live, sql), sql
    for url in (live, backup):
        screen(infra, url, tmp_path / "again.log")


def test_a_participant_that_reads_its_own_topic_is_refused_too(
    infra: TestInfra, publisher: EventPublisher, tmp_path: Path
) -> None:
    publisher.publish_events(placed("mine"))
    printed = refusal(infra, fresh_database(infra), tmp_path / "order.log", "order")
    assert "the database of order is older than the topics" in printed
    assert "which was published by it" in printed


def test_what_was_parked_or_discarded_is_no_loss(infra: TestInfra, tmp_path: Path) -> None:
    # Given an event whose predecessor is missing, and which is parked
    url, log = fresh_database(infra), tmp_path / "fraud.log"
    rebuild(infra, url)
    publisher = EventPublisher(infra)
    with program("services.fraud", infra, log, SAGA_DATABASE_URL=url) as fraud:
        _, second = publisher.rows(placed("torn"), placed("torn"), flow="order/3")
        publisher.publish([second])
        until(lambda: rows(url, "SELECT count(*) FROM parked") == [(1,)], "it is parked")
        until(lambda: not lag(infra.bootstrap_servers, "fraud", READ), "its offset is committed")
        assert fraud.terminate() == 0, log.read_text()
    # When a person discards it after another start
    with program("services.fraud", infra, log, SAGA_DATABASE_URL=url) as fraud:
        until(lambda: fraud.wrong("ready") == (200, {}), "it starts while the event is parked")
        [(number,)] = rows(url, "SELECT id FROM parked")
        who = {"actor": "kim", "reason": "forged"}
        discarded = httpx2.delete(f"{fraud.url}/admin/parked/{number}", params=who)
        assert discarded.status_code == 200
        assert fraud.terminate() == 0, log.read_text()
    # Then a rebuild from a backup that knows of the discard parks the event no more
    backup, empty = copy_of(infra, url), fresh_database(infra)
    rebuild(infra, backup, "--from-backup")
    assert rows(backup, "SELECT count(*) FROM parked") == [(0,)]
    rebuild(infra, empty)
    assert rows(empty, "SELECT count(*) FROM parked") == [(1,)]
    # And the service starts, as the audit knows the event; without that it would not
    with program("services.fraud", infra, log, SAGA_DATABASE_URL=url) as fraud:
        until(lambda: fraud.wrong("ready") == (200, {}), "it starts after the discard")
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM audit")
    assert "the database of fraud is older than the topics" in refusal(infra, url, log)
    publisher.close()
