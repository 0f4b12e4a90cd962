"""Defines the order's steps as SQL, the same for every peer.

A step is a generator. It yields statements, receives the rows of each, and returns the name of its
event. So blocking and asynchronous peers, with or without SQLAlchemy, run the same statements. The
caller's transaction makes a step atomic.
"""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

Order = Mapping[str, Any]
"""An order as JSON: `order_id` and the facts of the shop's order."""
Statement = tuple[str, Sequence[Any]]
Rows = Sequence[tuple[Any, ...]]
Step = Generator[Statement, Rows, str]

RESERVED, REJECTED, RELEASED = "InventoryReserved", "InventoryRejected", "InventoryReleased"
CAPTURED, DECLINED = "PaymentCaptured", "PaymentDeclined"
LABELLED, PICKED_UP = "ShipmentCreated", "ShipmentPickedUp"
MAIL_SENT = "ShippedMailSent"
PLACED, REPEATED, CONFLICT = "OrderPlaced", "repeated", "conflict"
ENDS = {MAIL_SENT: "plain", RELEASED: "declined", REJECTED: "out_of_stock"}
"""The last events of an order, and the kind of order that ends with each."""


def place(order: Order) -> Step:
    """Note a new order. Return REPEATED for one that is there, CONFLICT if it has other content."""
    facts = json.dumps(order)
    new = yield (
        "insert into placed (order_id, facts) values (%s, %s) on conflict do nothing returning 1",
        (order["order_id"], facts),
    )
    if new:
        return PLACED
    same = yield (
        "select 1 from placed where order_id = %s and facts = %s::jsonb",
        (order["order_id"], facts),
    )
    return REPEATED if same else CONFLICT


def reserve(order: Order) -> Step:
    """Reserve every line of the order, or none."""
    lines = {line["sku"]: line["quantity"] for line in order["lines"]}
    # All orders lock the rows sorted by SKU, so that no two of them deadlock.
    stock = yield (
        "select sku, on_hand from stock where sku = any(%s) order by sku for update",
        (list(lines),),
    )
    on_hand: dict[str, int] = dict(stock)
    enough = all(on_hand.get(sku, 0) >= units for sku, units in lines.items())
    if enough:
        yield (
            "update stock set on_hand = on_hand - quantity, reserved = reserved + quantity "
            "from unnest(%s::text[], %s::bigint[]) line(name, quantity) where sku = name",
            (list(lines), list(lines.values())),
        )
    yield (
        "insert into reservation (order_id, phase, lines) values (%s, %s, %s)",
        (order["order_id"], "reserved" if enough else "rejected", json.dumps(order["lines"])),
    )
    return RESERVED if enough else REJECTED


def release(order: Order) -> Step:
    """Return the reserved units to the stock."""
    lines = {line["sku"]: line["quantity"] for line in order["lines"]}
    yield (
        "update reservation set phase = 'released' where order_id = %s and phase = 'reserved'",
        (order["order_id"],),
    )
    yield (
        "select sku, on_hand from stock where sku = any(%s) order by sku for update",
        (list(lines),),
    )
    yield (
        "update stock set on_hand = on_hand + quantity, reserved = reserved - quantity "
        "from unnest(%s::text[], %s::bigint[]) line(name, quantity) where sku = name",
        (list(lines), list(lines.values())),
    )
    return RELEASED


def charge(order: Order) -> Step:
    """Charge the card. The provider answers at once; the card token decides its answer."""
    return charged(order, order["card_token"] != "tok_declined")


def charged(order: Order, captured: bool) -> Step:
    """Note the provider's answer."""
    if not captured:
        return DECLINED
    yield (
        "insert into ledger (order_id, kind, amount_minor, currency) values (%s, %s, %s, %s)",
        (order["order_id"], "charge", order["total_minor"], order["currency"]),
    )
    return CAPTURED


def ship(order: Order) -> Step:
    """Ship the order. The carrier picks it up at once."""
    yield (
        "insert into shipment (order_id, ship_to, tracking) values (%s, %s, %s)",
        (order["order_id"], order["ship_to"], f"T-{order['order_id']}"),
    )
    return PICKED_UP


def labelled(order: Order, tracking: str) -> Step:
    """Note the label, and keep the order's facts for the event of its pickup."""
    yield (
        "insert into shipment (order_id, ship_to, tracking, picked_up, facts) "
        "values (%s, %s, %s, false, %s)",
        (order["order_id"], order["ship_to"], tracking, json.dumps(order)),
    )
    return LABELLED


def picked_up(order: Order) -> Step:
    """Note that the carrier has the parcel."""
    yield ("update shipment set picked_up = true where order_id = %s", (order["order_id"],))
    return PICKED_UP


def notify(order: Order) -> Step:
    """Mail the customer. The mail server accepts the mail at once."""
    return mailed(order, "shipped", MAIL_SENT)


def mailed(order: Order, kind: str, answer: str) -> Step:
    """Note a mail that the mail server has accepted."""
    yield (
        "insert into mail (order_id, kind, address) values (%s, %s, %s)",
        (order["order_id"], kind, order["email"]),
    )
    return answer


def once(key: str, step: Step) -> Step:
    """Run the step once per key; if the key is done already, return the stored answer."""
    done = yield ("select answer from done where key = %s", (key,))
    if done:
        step.close()
        return str(done[0][0])
    answer = yield from step
    yield ("insert into done (key, answer) values (%s, %s)", (key, answer))
    return answer


BY_NAME: Mapping[str, Callable[[Order], Step]] = {
    step.__name__: step for step in (reserve, release, charge, ship, notify)
}


def run(cursor: Any, step: Step) -> str:
    """Run a step with a psycopg cursor and return its event's name. The caller commits."""
    try:
        statement, values = next(step)
        while True:
            cursor.execute(statement, values)
            statement, values = step.send(cursor.fetchall() if cursor.description else ())
    except StopIteration as done:
        return str(done.value)


async def run_async(cursor: Any, step: Step) -> str:
    """Run a step with an asynchronous psycopg cursor, as `run` does. The caller commits."""
    try:
        statement, values = next(step)
        while True:
            await cursor.execute(statement, values)
            rows = await cursor.fetchall() if cursor.description else ()
            statement, values = step.send(rows)
    except StopIteration as done:
        return str(done.value)
