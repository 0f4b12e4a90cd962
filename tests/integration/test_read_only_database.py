"""A database that is read-only for a while, or locked: every process waits, and says so."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from tests.monitor import EventPublisher, placed
from tests.programs import Program, program
from tests.stack import PATIENCE_S, TestInfra, fresh_database, live_infra, until

ORDER = {
    "customer_id": "c-1",
    "email": "ada@customer.example",
    "currency": "EUR",
    "lines": [{"sku": "TEA-100", "quantity": 1, "unit_price_minor": 500}],
    "card_token": "tok_ok",
    "ship_to": "1 Main Street, Springfield",
}


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestInfra]:
    """Of its own: a service refuses an empty database where others have published in its name."""
    with live_infra(tmp_path_factory.mktemp("infra")) as found:
        yield found


@pytest.fixture
def owner(infra: TestInfra) -> Iterator[psycopg.Connection[Any]]:
    """A session of the server's owner, who may always write."""
    with psycopg.connect(infra.database_url, autocommit=True) as session:
        session.execute("SET default_transaction_read_only = off")
        yield session
        session.execute("ALTER SYSTEM RESET default_transaction_read_only")
        session.execute("SELECT pg_reload_conf()")


def is_read_only(process: Program) -> bool:
    """Whether a process is not ready for that reason."""
    found = process.wrong("ready")
    return found is not None and "read-only" in found[1].get("database", "")


def test_front_door_and_monitor_wait_for_a_database_that_takes_writes_again(
    infra: TestInfra,
    owner: psycopg.Connection[Any],
    publisher: EventPublisher,
    order: str,
    group: str,
    tmp_path: Path,
) -> None:
    def place() -> httpx2.Response:
        body = {**ORDER, "order_id": f"{group}-{order}"}
        return httpx2.post(f"{front.url}/orders", json=body, timeout=PATIENCE_S)

    def started(module: str) -> Any:
        name = f"{group}-{module}"
        log = tmp_path / f"{name}.log"
        key = {"SAGA_KEY_ENCRYPTION_KEY": secrets.token_hex(32)}
        return program(module, infra, log, SAGA_DATABASE_URL=fresh_database(infra), **key)

    with started("services.order") as front, started("saga_monitor") as monitor:
        both = (front, monitor)
        until(lambda: all(p.wrong("ready") == (200, {}) for p in both), "both are ready")

        owner.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        owner.execute("SELECT pg_reload_conf()")
        until(lambda: all(map(is_read_only, both)), "neither is ready")
        refused = place()
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "2"
        publisher.publish_events(placed(f"{group}-seen"))
        until(lambda: "ReadOnlySqlTransaction" in monitor.log.read_text(), "the monitor waits")
        until(lambda: "transactions" in (monitor.wrong("ready") or (0, {}))[1], "it says so")
        assert "\nsaga_database_up{" in httpx2.get(f"{front.url}/metrics").text

        owner.execute("ALTER SYSTEM RESET default_transaction_read_only")
        owner.execute("SELECT pg_reload_conf()")
        until(lambda: all(p.wrong("ready") == (200, {}) for p in both), "both are ready again")
        assert place().status_code in (200, 201)
        seen = f"{monitor.url}/sagas/order/{group}-seen"
        until(lambda: httpx2.get(seen, timeout=PATIENCE_S).status_code == 200, "the saga is seen")


def test_a_consumer_that_stands_on_a_lock_is_alive_and_not_ready(
    infra: TestInfra, publisher: EventPublisher, order: str, group: str, tmp_path: Path
) -> None:
    url = fresh_database(infra)
    log = tmp_path / f"{group}-lock.log"
    with program("services.fraud", infra, log, SAGA_DATABASE_URL=url) as fraud:
        until(lambda: fraud.wrong("ready") == (200, {}), "it is ready")
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            publisher.publish_events(placed(f"{group}-{order}"), flow="order/3")
            stands = "stands in one transaction"
            until(
                lambda: stands in (fraud.wrong("ready") or (0, {}))[1].get("consumer", ""),
                "the consumer stands",
            )
            assert fraud.wrong("live") == (200, {})
            known = httpx2.get(f"{fraud.url}/metrics", timeout=PATIENCE_S).text
            assert '\nsaga_loop_age_s{loop="consumer"}' in known
        until(lambda: fraud.wrong("ready") == (200, {}), "it goes on")
