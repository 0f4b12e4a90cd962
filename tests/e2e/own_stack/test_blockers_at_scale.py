"""Ten thousand orders in flight, a hundred of them held in each of twelve ways, on the real stack:
every one of the twelve hundred is given its own cause, and none of the others any."""

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx2
import psycopg
import pytest

from saga_lab.devstack.options import StackOptions
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import OutboxRow
from sagakit.outbox.relay import LEADER_LOCK
from schemas.events import OrderCancelRequested, OrderFacts, OrderLine, OrderPlaced
from tests.e2e.orders import post
from tests.monitor import CODEC, FACTS
from tests.stack import PATIENCE_S, LiveStack, live_stack, until

IN_FLIGHT, A_WAY = 10_000, 100
PATIENT = StackOptions(
    port_base=0,
    env={
        "SAGA_DEADLINES": '{"inventory": "12h", "payment": "12h", "shipping": "12h", '
        '"notification": "12h"}'
    },
)
GARBAGE = b"\xde\xad\xbe\xef"
FAILING = 1_000_000
"""More often than anybody will have asked."""


@dataclass(frozen=True)
class Way:
    """A way to be held: the order's facts, and the cause that has to be named."""

    name: str
    kind: str
    who: str
    text: str
    card: str = "tok_ok"
    ship_to: str = "1 Main Street"
    price_minor: int = 500

    def facts(self) -> OrderFacts:
        """Of an order that is to be held like this."""
        price = self.price_minor
        line = OrderLine(sku=FACTS.lines[0].sku, quantity=1, unit_price_minor=price)
        return replace(
            FACTS,
            total_minor=price,
            lines=(line,),
            card_token=self.card,
            ship_to=self.ship_to,
        )

    def is_named(self, cause: dict[str, Any] | None) -> bool:
        """Whether this is the cause."""
        if cause is None:
            return False
        named = (cause["kind"], cause["who"]) == (self.kind, self.who)
        return named and self.text in cause["description"]


HEALTHY = Way("healthy", "on_time", "payment", "on time, payment awaits", card="tok_async:86400")
REVIEW = Way(
    *("review", "person", "payments-reviewer", "PaymentReviewRequired asks payments-reviewer"),
    price_minor=150_000,
)
CASE = replace(
    HEALTHY, name="case", kind="person", who="a person", text="an intervention is open: manual"
)
PAUSED = replace(HEALTHY, name="paused", kind="paused", who="ada", text="ada paused it")
CHARGE = Way(
    "charge", "gateway", "payment", "times at charge, last error:", card=f"tok_500:{FAILING}"
)
REFUND = Way(
    *("refund", "gateway", "payment", "times at refund, last error:"),
    card=f"tok_refund_500:{FAILING}",
    ship_to="1 Main Street [refuse]",
)
CARRIER = Way(
    *("carrier", "gateway", "shipping", "times at label, last error:"),
    ship_to=f"1 Main Street [500:{FAILING}]",
)
PARKED = Way("parked", "parked", "payment", "payment parked inventory.events/")
BEHIND = Way("behind", "parked", "inventory", "; 1 more queue behind it")
UNREADABLE = Way("unreadable", "parked", "saga_monitor", "the monitor cannot read order.events/")
NO_START = Way("no_start", "overdue", "whoever placed it", "but not the start event of order/1")
SILENT = Way("silent", "silent", "notification", "does not answer")
LAG = Way("lag", "lag", "shipping", "shipping has not read payment.events/")
OUTBOX = Way("outbox", "outbox", "inventory", "has not published 1 of its events")
WAYS = (
    *(REVIEW, CASE, PAUSED, CHARGE, REFUND, CARRIER, PARKED, BEHIND, UNREADABLE, NO_START),
    *(SILENT, LAG, OUTBOX),
)


class Shop:
    """Orders on a stack, and how each was made."""

    def __init__(self, stack: LiveStack) -> None:
        self.stack = stack
        self.ways: dict[str, Way] = {}
        self._run = uuid.uuid4().hex[:6]
        self._publisher = Publisher(stack.json["bootstrap_servers"], "hundreds")

    def close(self) -> None:
        """Say nothing any more."""
        self._publisher.discard()

    def name(self, way: Way, count: int) -> list[str]:
        """Ids of that many orders of a way, not placed yet."""
        first = len(self.ways)
        ids = [f"h{self._run}-{first + n:05d}-{way.name}" for n in range(count)]
        self.ways |= dict.fromkeys(ids, way)
        return ids

    def place(self, way: Way, count: int = A_WAY) -> list[str]:
        """As an order system from outside does."""
        ids = self.name(way, count)
        self.place_these(way, ids)
        return ids

    def place_these(self, way: Way, ids: Sequence[str]) -> None:
        """The same for orders that have their names."""
        facts, now = way.facts(), datetime.now(UTC)
        self._say(OrderPlaced(order_id=id_, order=facts, placed_at=now) for id_ in ids)

    def publish_unreadable(self, topic: str, ids: Sequence[str]) -> None:
        """Bytes that nobody can read, on these orders' keys."""
        self._publish(OutboxRow(topic, id_, (), GARBAGE) for id_ in ids)

    def cancel_unplaced(self, ids: Sequence[str]) -> None:
        """What somebody outside may say of orders that were never placed."""
        why = {"actor": "ada", "reason": "ordered twice"}
        self._say(OrderCancelRequested(order_id=id_, **why) for id_ in ids)

    def _say(self, events: Iterable[OrderPlaced | OrderCancelRequested]) -> None:
        flow = (("flow", b"order/1"),)
        self._publish(OutboxRow("order.events", e.order_id, flow, CODEC.body(e)) for e in events)

    def _publish(self, rows: Iterable[OutboxRow]) -> None:
        self._publisher.publish([replace(row, id=n) for n, row in enumerate(rows, 1)])

    def blockers(self) -> dict[str, dict[str, Any] | None]:
        """Order id -> what blocks it, of all in flight."""
        url = f"{self.stack.url('monitor')}/blocked"
        began = time.perf_counter()
        answer = httpx2.get(
            url,
            params={"limit": IN_FLIGHT},
            headers=self.stack.headers,
            timeout=PATIENCE_S,
            trust_env=False,
        )
        rows = answer.raise_for_status().json()
        print(f"GET /blocked: {len(rows)} orders in {time.perf_counter() - began:.2f} s")
        return {row["id"]: row["blocked_by"] for row in rows}

    def settle(self, *ways: Way) -> None:
        """Wait until every order of these ways (none: of all) is given its cause."""
        wanted = {id_: way for id_, way in self.ways.items() if not ways or way in ways}
        wrong: dict[str, list[str]] = defaultdict(list)

        def named() -> bool:
            found = self.blockers()
            wrong.clear()
            for id_, way in wanted.items():
                if not way.is_named(found.get(id_)):
                    wrong[way.name].append(f"{id_}: {found.get(id_, 'not in flight')}")
            print(f"told another cause: { {name: len(ids) for name, ids in wrong.items()} }")
            return not wrong

        try:
            until(named, f"causes of {len(wanted)} orders")
        finally:
            for ids in wrong.values():
                print(f"for example {ids[0]}")


@contextmanager
def holding(url: str, statement: str, *parameters: Any) -> Iterator[None]:
    """A transaction of somebody else that does not end, and what it has locked."""
    with psycopg.connect(url) as connection:
        connection.execute(statement, parameters)
        yield
        connection.rollback()


def waits_for_a_lock(url: str) -> Callable[[], bool]:
    """Whether anybody on this database does."""

    def look() -> bool:
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
        return found is not None

    return look


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """On a stack of its own, where no deadline passes by itself."""
    with live_stack(tmp_path_factory.mktemp("hundreds"), PATIENT) as stack:
        found = Shop(stack)
        yield found
        found.close()


def place_what_everybody_reads(shop: Shop) -> None:
    """All ways that leave the participants running. Notification is down: that is one of them."""
    stock = {"sku": FACTS.lines[0].sku, "quantity": 10 * IN_FLIGHT, "id": str(uuid.uuid4())}
    why = {"actor": "ada", "reason": "stock for the orders to come"}
    post(shop.stack, "inventory", "/stock", {**stock, **why}).raise_for_status()
    shop.stack.stop("notification")
    parked, behind = shop.name(PARKED, A_WAY), shop.name(BEHIND, A_WAY)
    unreadable, no_start = shop.name(UNREADABLE, A_WAY), shop.name(NO_START, A_WAY)
    shop.publish_unreadable("inventory.events", parked)
    shop.publish_unreadable("order.events", [*behind, *unreadable])
    shop.place_these(PARKED, parked)
    shop.place_these(BEHIND, behind)
    shop.cancel_unplaced([*unreadable, *no_start])
    for way in (REVIEW, CHARGE, REFUND, CARRIER, SILENT):
        shop.place(way)
    cases, paused = shop.place(CASE), shop.place(PAUSED)
    shop.place(HEALTHY, IN_FLIGHT - len(WAYS) * A_WAY)
    ids = {*cases, *paused}
    until(lambda: ids <= shop.blockers().keys(), "the orders that people speak of")
    for id_ in sorted(ids):
        who = {"saga": f"order/{id_}", "actor": "ada", "reason": "the customer called"}
        path = "/interventions/open" if id_ in cases else "/pauses"
        post(shop.stack, "monitor", path, who).raise_for_status()


def test_of_ten_thousand_in_flight_each_reports_what_blocks_it(
    shop: Shop, tell: Callable[[str], None]
) -> None:
    place_what_everybody_reads(shop)
    shop.settle()
    shipping = shop.stack.database_url("shipping")
    first, *others = shop.name(LAG, A_WAY)
    with holding(shipping, "INSERT INTO inbox (key) VALUES (%s)", f"order/{first}"):
        shop.place_these(LAG, [first])
        until(waits_for_a_lock(shipping), "shipping's consumer stands still")
        shop.place_these(LAG, others)
        shop.settle(LAG)
        inventory = shop.stack.database_url("inventory")
        shop.stack.stop("inventory")
        with holding(inventory, "SELECT pg_advisory_lock(%s)", LEADER_LOCK):
            shop.stack.start("inventory")
            shop.place(OUTBOX)
            shop.settle()
            began = time.perf_counter()
            found = shop.blockers()
            took_s = time.perf_counter() - began
    assert len(found) == IN_FLIGHT
    assert found.keys() == shop.ways.keys()
    wrong = {id_: cause for id_, cause in found.items() if not shop.ways[id_].is_named(cause)}
    assert not wrong
    tell(f"{len(WAYS)} ways of {A_WAY}, {len(found)} in flight, all named; asked in {took_s:.1f} s")
