"""Find how sagas are related: which led to which, and which came in one batch.

An OrderPlaced may name the saga that led to it (`caused_by`) and its batch (`batch_id`). Neither is
checked: the named saga may not exist, or the chain may be a circle. No saga is returned twice.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from saga_monitor.storage.tables import live_and_history

MAX_TREE = 1_000
"""A tree with this many sagas is extended no further."""
_EVENTS = live_and_history("timeline", "order_id, type, at, detail")
_ORDERS = live_and_history("saga", "order_id, flow, version, status, awaited, started_at, ended_at")
PARENTS = text(f"""
    SELECT DISTINCT ON (order_id) order_id, detail->>'caused_by' FROM {_EVENTS}
    WHERE order_id = ANY(:orders) AND detail->>'caused_by' IS NOT NULL ORDER BY order_id, at
""")
CHILDREN = text(f"""
    SELECT DISTINCT ON (order_id) order_id, detail->>'caused_by' FROM {_EVENTS}
    WHERE detail->>'caused_by' = ANY(:orders) ORDER BY order_id, at LIMIT :most
""")
STATES = text(f"SELECT order_id, status FROM {_ORDERS} WHERE order_id = ANY(:orders)")
BATCH = text(f"""
    SELECT * FROM {_ORDERS}
    WHERE order_id IN (SELECT order_id FROM {_EVENTS} WHERE detail->>'batch_id' = :batch_id)
    ORDER BY order_id
""")
OF_ORDER = text(f"""
    SELECT detail->>'batch_id', detail->>'caused_by' FROM {_EVENTS}
    WHERE order_id = :order_id AND type = 'OrderPlaced' ORDER BY at LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Link:
    """A saga in a tree, below the one that led to it. status: None if no event of it was read."""

    order_id: str
    caused_by: str | None
    status: str | None


def of_order(connection: Connection, order_id: str) -> dict[str, Any]:
    """Return a saga's batch, the saga that led to it, and those it led to."""
    batch_id, caused_by = (
        connection.execute(OF_ORDER, {"order_id": order_id}).first() or (None,) * 2
    )
    led_to = [found for found, _ in _led_to(connection, [order_id])]
    return {"batch_id": batch_id, "caused_by": caused_by, "led_to": led_to}


def batch(connection: Connection, batch_id: str) -> dict[str, Any] | None:
    """Return the sagas of a batch and their number by status; None for an unknown batch."""
    orders = [dict(row._mapping) for row in connection.execute(BATCH, {"batch_id": batch_id})]
    counts = Counter(order["status"] for order in orders)
    return {"batch_id": batch_id, "counts": counts, "orders": orders} if orders else None


def tree(connection: Connection, order_id: str) -> list[Link]:
    """Return all sagas related to this one, each after the one that led to it."""
    root, visited = order_id, {order_id}
    while parent := dict(_pairs(connection, PARENTS, [root])).get(root):
        if parent in visited:
            break
        visited.add(parent)
        root = parent
    parents: dict[str, str | None] = {root: None}
    level = [root]
    while level and len(parents) < MAX_TREE:
        found = [(o, by) for o, by in _led_to(connection, level) if o not in parents]
        parents.update(found)
        level = [o for o, _ in found]
    states: dict[str, str] = dict(_pairs(connection, STATES, list(parents)))
    return [Link(order, by, states.get(order)) for order, by in parents.items()]


def mermaid(links: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the tree as a Mermaid flowchart, line by line."""
    number = {link["order_id"]: f"o{n}" for n, link in enumerate(links)}
    yield "flowchart LR"
    for link in links:
        name = link["order_id"].replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        yield f'    {number[link["order_id"]]}["{name}<br>{link["status"] or "not seen"}"]'
    for link in links:
        if link["caused_by"]:
            yield f"    {number[link['caused_by']]} --> {number[link['order_id']]}"


def _led_to(connection: Connection, orders: Sequence[str]) -> list[tuple[str, str]]:
    return _pairs(connection, CHILDREN, orders, most=MAX_TREE)


def _pairs(
    connection: Connection, query: Any, orders: Sequence[str], **more: Any
) -> list[tuple[str, str]]:
    rows = connection.execute(query, {"orders": list(orders), **more})
    return [(first, second) for first, second in rows]
