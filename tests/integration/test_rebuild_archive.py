"""`saga rebuild --archive`: what the topics dropped is read from an archive of them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sagakit.kafka.inspector import LogEnds
from schemas import CONTRACT
from tests.kafka import delete_records
from tests.monitor import EventPublisher, placed, reserved, whole
from tests.stack import PATIENCE_S, TestInfra, fresh_database, live_infra

SAGA = Path(sys.executable).with_name("saga")
ANSWERED, ASKED, NEW = 60, 20, 10
ROWS = (
    "SELECT saga, phase, charges, refunds FROM payment ORDER BY saga",
    "SELECT key, flow, facts, seen, ids, sent, in_flight, marks, parked FROM inbox ORDER BY key",
    "SELECT saga, key, kind, payload FROM effects ORDER BY saga, key",
    "SELECT topic, key, value FROM outbox ORDER BY 1, 2, 3",
    "SELECT saga, why FROM rebuild_lost ORDER BY saga",
)


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestInfra]:
    """Of its own: records are deleted from the topics of the contract."""
    with live_infra(tmp_path_factory.mktemp("infra")) as found:
        yield found


def saga(infra: TestInfra, *words: str, status: int = 0) -> str:
    """What `saga` prints."""
    settings = {"SAGA_DATABASE_URL": infra.database_url, "SAGA_CONTRACT": "schemas"}
    env = {**os.environ, "SAGA_BOOTSTRAP_SERVERS": infra.bootstrap_servers, **settings}
    command = [str(SAGA), *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_a_rebuild_of_archive_and_topics_is_that_of_the_whole_log(
    infra: TestInfra, publisher: EventPublisher, tmp_path: Path
) -> None:
    # Given a log that is archived, goes on, and is rebuilt from while it is whole
    folder = str(tmp_path / "archive")
    into = {name: fresh_database(infra) for name in ("whole", "archived", "alone")}
    publisher.publish_events(*(e for n in range(ANSWERED) for e in whole(f"answered-{n:03}")))
    asked = [event for n in range(ASKED) for event in (placed(f"a-{n:03}"), reserved(f"a-{n:03}"))]
    publisher.publish_events(*asked)
    saga(infra, "archive", folder)
    archived = LogEnds(infra.bootstrap_servers).readable_ends(CONTRACT.topics)
    publisher.publish_events(*(e for n in range(NEW) for e in whole(f"new-{n:03}")))
    saga(infra, "rebuild", "payment", "--into", into["whole"])
    # When the topics have dropped what is archived
    dropped = {place: end for place, end in archived.items() if end}
    delete_records(infra.bootstrap_servers, dropped)
    refused = saga(infra, "rebuild", "payment", "--into", into["alone"], status=1)
    saga(infra, "rebuild", "payment", "--into", into["archived"], "--archive", folder)
    # Then the topics alone are refused with what helps, and both together give the same rows
    assert "give --archive" in refused
    assert len(rows(into["archived"], ROWS[0])) == ANSWERED + NEW
    assert len(rows(into["archived"], ROWS[2])) == ASKED
    for sql in ROWS:
        assert rows(into["archived"], sql) == rows(into["whole"], sql), sql
    # And a gap between them is refused
    delete_records(infra.bootstrap_servers, LogEnds(infra.bootstrap_servers).ends(CONTRACT.topics))
    gap = saga(infra, "rebuild", "payment", "--into", into["alone"], "--archive", folder, status=1)
    assert "has a gap: offsets " in gap
