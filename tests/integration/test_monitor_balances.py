"""Balances in the monitor's database: rows, sums, and what reconciliation reads of them."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text

from saga_monitor.ingest.projection import Projection
from saga_monitor.reconciliation.sources import sagas
from saga_monitor.storage import queries, store
from sagakit.messages.codec import Codec
from schemas import CONTRACT, FLOWS
from schemas.events import PaymentRefundProgressed
from tests.monitor import captured, placed, reserved
from tests.toy_saga import Wire

CODEC = Codec(CONTRACT)
UNITS = ("units", "sku-1", 1, 0)


def rows(engine: Engine, table: str = "balance") -> list[tuple[Any, ...]]:
    query = text(f"SELECT name, kind, added, removed FROM {table} ORDER BY name, kind")
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_the_rows_follow_the_events(engine: Engine) -> None:
    """Given a refund without a currency, as it was written before the schema had one; when the
    capture is read after it; then the refund is of the capture's currency, and its first row is
    gone."""
    projection, wire = Projection(engine, CODEC, FLOWS), Wire(CODEC)
    back = PaymentRefundProgressed(
        order_id="a", refund_id="re-1", amount_minor=200, remaining_minor=300
    )
    projection.apply([wire.record(event) for event in (placed("a"), reserved("a"), back)])
    assert rows(engine) == [("money", "", 0, 200), UNITS]
    projection.apply([wire.record(captured("a"))])
    assert rows(engine) == [("money", "EUR", 500, 200), UNITS]


def test_the_sums_of_many_sagas_and_those_of_the_history_are_found(engine: Engine) -> None:
    """Given three sagas, one in the history; when sums are asked for; then the summary has those of
    the live ones by kind, and reconciliation those of all."""
    projection, wire = Projection(engine, CODEC, FLOWS), Wire(CODEC)
    events = [make(key) for key in "abc" for make in (placed, reserved, captured)]
    projection.apply([wire.record(event) for event in events])
    with engine.begin() as connection:
        store.archive(connection, ["order/c"])
    assert rows(engine, "balance_history") == [("money", "EUR", 500, 0), UNITS]
    with engine.connect() as connection:
        (group,) = queries.summary(connection)
    found = sagas(engine, datetime.now(UTC))
    assert (group["status"], group["sagas"]) == ("running", 2)
    assert [(b["name"], b["kind"], b["held"]) for b in group["balances"]] == [
        ("money", "EUR", 1000),
        ("units", "sku-1", 2),
    ]
    moved = {"money": (500, 0), "units": (1, 0)}
    assert {key: row.balances for key, row in found.items()} == {
        f"order/{saga_id}": moved for saga_id in "abc"
    }
