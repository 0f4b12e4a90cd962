"""An event that somebody else publishes under an id of the monitor hides none of the monitor."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from saga_monitor.saga.facts import emission_id
from sagakit.messages.envelope import OutboxRow
from schemas.events import OrderRejected
from tests.kafka import read
from tests.monitor import (
    EventPublisher,
    MonitorProcess,
    keys_of,
    known_rows,
    monitor,
    placed,
    reserved,
    whole,
)
from tests.stack import TestInfra, fresh_database, until

ADA = {"actor": "ada", "reason": "the customer rang"}


def under_id(row: OutboxRow, id_: uuid.UUID) -> OutboxRow:
    """The record of an outside publisher, which counts nothing, under an id that it chose."""
    left = [(k, v) for k, v in row.headers if k not in ("ce_id", "ce_sequence", "ce_source")]
    return replace(row, headers=(*left, ("ce_source", b"shop"), ("ce_id", str(id_).encode())))


def publish_foreign(publisher: EventPublisher, order: str, id_: uuid.UUID) -> None:
    [row] = publisher.rows(OrderRejected(order_id=order, code="conflict", reason="other content"))
    publisher.publish([under_id(row, id_)])


def requests(infra: TestInfra, order: str) -> Sequence[str]:
    """The ids of the requests to undo an order that are in the log."""
    records = read(infra.bootstrap_servers, "saga.events")
    headers = [dict(record.headers) for record in records if record.key == order.encode()]
    return [h["ce_id"].decode() for h in headers if h["ce_type"] == b"CompensationRequested"]


def is_undoing(process: MonitorProcess, order: str) -> bool:
    saga = process.saga(order)
    return saga is not None and bool(saga["undoing"])


def conflict_of(process: MonitorProcess, order: str) -> str:
    """The reason of the case about an order; empty if there is none."""
    saga = process.saga(order) or {"interventions": ()}
    return next((c["reason"] for c in saga["interventions"] if c["code"] == "conflict"), "")


def test_a_cancellation_is_carried_out_under_an_id_that_somebody_else_has_used(
    infra: TestInfra,
    running: MonitorProcess,
    publisher: EventPublisher,
    database_url: str,
    tmp_path: Path,
) -> None:
    # Given an order, and an event of another topic under the id of the operator's request
    first, healthy = (f"i-{uuid.uuid4().hex[:8]}-{n}" for n in range(2))
    [key] = keys_of([first])
    id_ = emission_id(key, "operator", "")
    publisher.publish_events(placed(first), reserved(first))
    publish_foreign(publisher, first, id_)
    until(lambda: "OrderRejected" in running.types(first), "the foreign event is read")
    # When the operator cancels the order
    answer = running.post("/cancellations", {"saga": key, **ADA})
    assert (answer.status_code, answer.json()["id"]) == (202, str(id_))
    # Then the request is in the log, and the order is being undone
    until(lambda: requests(infra, first) == [str(id_)], "the request is published")
    until(lambda: is_undoing(running, first), "the order is being undone")
    # And the foreign event is a case
    reason = until(lambda: conflict_of(running, first), "a case is open")
    assert f"has the id {id_} of CompensationRequested" in reason
    # And a monitor that reads the log later writes the same rows
    publisher.publish_events(*whole(healthy))
    until(lambda: running.status(healthy) == "completed", "all is read")
    group = f"saga-monitor-{uuid.uuid4().hex[:8]}"
    other_url = fresh_database(infra)
    with monitor(infra, other_url, tmp_path / "other.log", group=group) as other:
        other.start()
        until(lambda: other.status(healthy) == "completed", "the other has read all")
        until(lambda: conflict_of(other, first), "the other has read the case")
        both = [first, healthy]
        # The first order is asked again now and then, and each monitor reads that by itself.
        until(
            lambda: known_rows(other_url, both) == known_rows(database_url, both),
            "both monitors have the same rows",
        )


def test_a_passed_deadline_is_judged_under_an_id_that_somebody_else_has_used(
    infra: TestInfra, publisher: EventPublisher, database_url: str, group: str, tmp_path: Path
) -> None:
    # Given an order, and an event of another topic under the id of the request to undo it
    order = f"i-{uuid.uuid4().hex[:8]}"
    [key] = keys_of([order])
    id_ = emission_id(key, "deadline", "payment", 1)
    publisher.publish_events(placed(order), reserved(order))
    publish_foreign(publisher, order, id_)
    deadlines = json.dumps({"payment": "2s"})
    with monitor(
        infra, database_url, tmp_path / "monitor.log", group=group, deadlines=deadlines
    ) as process:
        # When its deadline passes
        process.start()
        # Then it is undone, and the foreign event is a case
        until(lambda: str(id_) in requests(infra, order), "the request is published")
        until(lambda: conflict_of(process, order), "a case is open")
        assert is_undoing(process, order)
