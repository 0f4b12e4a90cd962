"""Refused requests in the table `audit`: counted, bounded, not lost while it is away."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from sagakit.stop_signal import StopSignal
from sagakit.store.postgres import engine_for
from sagakit.web.identity.audit import MOST_KINDS, OTHERS, RefusalAudit
from sagakit.web.identity.requires import RefusedRequest
from tests.toy_saga import create_tables

FORBIDDEN = RefusedRequest(403, "ada", "10.0.0.7", "POST /verdicts", "ada has not the scope decide")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url)
    create_tables(engine)
    yield engine
    engine.dispose()


def rows(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT * FROM audit ORDER BY id"))
        return [dict(row._mapping) for row in found]


def test_equal_refusals_are_one_row_with_their_number(engine: Engine) -> None:
    audit = RefusalAudit(engine)
    for _ in range(3):
        audit.note(FORBIDDEN)
    assert audit.write() == 1
    (row,) = rows(engine)
    assert (row["action"], row["actor"], row["address"]) == ("refused", "ada", "10.0.0.7")
    assert (row["subjects"], row["reason"]) == (["POST /verdicts"], FORBIDDEN.reason)
    assert row["detail"] == {"status": 403, "count": 3}
    assert audit.write() == 0


def test_a_flood_of_refusals_is_counted_in_few_rows(engine: Engine) -> None:
    audit = RefusalAudit(engine)
    for number in range(MOST_KINDS + 500):
        audit.note(RefusedRequest(401, "", f"10.0.0.{number}", "GET /sagas", "nobody is logged in"))
    assert audit.write() == MOST_KINDS + 1
    found = rows(engine)
    assert sum(row["detail"]["count"] for row in found) == MOST_KINDS + 500
    assert found[-1]["reason"] == OTHERS.reason
    assert found[-1]["detail"]["count"] == 500


def test_refusals_wait_while_the_database_is_away(engine: Engine) -> None:
    # Given a refusal, and a database that does not answer
    away = engine_for("postgresql://nobody@127.0.0.1:9/none")
    audit = RefusalAudit(away)
    audit.note(FORBIDDEN)
    assert audit.write() == 0
    # When another is refused, and the database answers
    audit.note(FORBIDDEN)
    audit._engine = engine
    assert audit.write() == 1
    # Then both are there
    assert rows(engine)[0]["detail"]["count"] == 2
    away.dispose()


def test_what_is_kept_is_written_at_the_stop(engine: Engine) -> None:
    audit, stop = RefusalAudit(engine), StopSignal()
    audit.note(FORBIDDEN)
    stop.set()
    audit.run(stop)
    assert len(rows(engine)) == 1
