"""A scrape tells what the process knows, whatever the database does, and who keeps dead rows."""

import psycopg
import pytest
from sqlalchemy import Engine

from sagakit.store.postgres import engine_for
from sagakit.telemetry import metrics
from tests.toy_saga import create_tables

NOWHERE = "postgresql://nobody@127.0.0.1:9/none"


def scraped(engine: Engine) -> dict[str, tuple[dict[str, str], float]]:
    """Metric -> labels and value, of one scrape."""
    found = metrics.TableGauges(engine, "counter").collect()
    return {family.name: (s.labels, s.value) for family in found for s in family.samples}


@pytest.fixture
def engine(database_url: str) -> Engine:
    """An engine on the kit's tables."""
    engine = engine_for(database_url)
    create_tables(engine)
    return engine


def test_a_scrape_without_a_database_says_that_there_is_none() -> None:
    engine = engine_for(NOWHERE)
    assert scraped(engine) == {"saga_database_up": ({"participant": "counter"}, 0.0)}


def test_a_scrape_does_not_wait_for_a_lock(engine: Engine, database_url: str) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
        assert scraped(engine) == {"saga_database_up": ({"participant": "counter"}, 0.0)}
    assert scraped(engine)["saga_database_up"][1] == 1.0
    engine.dispose()


def test_a_held_snapshot_is_named_once_it_is_old(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database_url, application_name="report") as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("SELECT count(*) FROM outbox")
        labels, age_s = scraped(engine)[metrics.SNAPSHOT]
        assert labels["holder"] == ""
        assert age_s > 0
        monkeypatch.setattr(metrics, "NAMED_S", 0.0)
        user, pid = other.info.user, other.info.backend_pid
        labels, _ = scraped(engine)[metrics.SNAPSHOT]
        assert labels["holder"] == f"session {pid} of {user}, report"
    engine.dispose()
