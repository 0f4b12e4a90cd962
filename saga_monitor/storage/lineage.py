"""Find how sagas are related: which led to which, and which came in one batch.

A start event may have the fields `caused_by`, which names the saga of the same flow that led to it,
and `batch_id`. Neither is checked: the named saga may not exist, or the chain may be a circle. No
saga is returned twice.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from saga_monitor.storage.queries import saga_row
from saga_monitor.storage.tables import live_and_history
from sagakit.identity import saga_key, split_key

MAX_TREE = 1_000
"""A tree with this many sagas is extended no further."""
_EVENTS = live_and_history("timeline", "saga, type, at, read_at, detail")
_UP_TO = """
    at <= coalesce(CAST(:at AS timestamptz), 'infinity')
    AND read_at <= coalesce(CAST(:read_at AS timestamptz), 'infinity')
"""
_SAGAS = live_and_history("saga", "saga, flow, version, status, awaited, started_at, ended_at")
PARENTS = text(f"""
    SELECT DISTINCT ON (saga) saga, split_part(saga, '/', 1) || '/' || (detail->>'caused_by')
    FROM {_EVENTS}
    WHERE saga = ANY(:sagas) AND detail->>'caused_by' IS NOT NULL ORDER BY saga, at
""")
CHILDREN = text(f"""
    SELECT DISTINCT ON (saga) saga, split_part(saga, '/', 1) || '/' || (detail->>'caused_by')
    FROM {_EVENTS}
    WHERE detail->>'caused_by' = ANY(:ids)
    AND split_part(saga, '/', 1) || '/' || (detail->>'caused_by') = ANY(:sagas)
    AND {_UP_TO} ORDER BY saga, at LIMIT :most
""")
STATES = text(f"SELECT saga, status FROM {_SAGAS} WHERE saga = ANY(:sagas)")
BATCH = text(f"""
    SELECT * FROM {_SAGAS}
    WHERE saga IN (SELECT saga FROM {_EVENTS} WHERE detail->>'batch_id' = :batch_id)
    ORDER BY saga
""")
OF_SAGA = text(f"""
    SELECT detail->>'batch_id', detail->>'caused_by' FROM {_EVENTS}
    WHERE saga = :saga AND (detail->>'batch_id' IS NOT NULL OR detail->>'caused_by' IS NOT NULL)
    AND {_UP_TO} ORDER BY at LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Link:
    """A saga in a tree, below the one that led to it. status: None if no event of it was read."""

    saga: str
    caused_by: str | None
    status: str | None


def of_saga(
    connection: Connection,
    saga: str,
    at: datetime | None = None,
    read_at: datetime | None = None,
) -> dict[str, Any]:
    """Return a saga's batch, the saga that led to it, and those it led to.

    at, read_at: as of this log time, and as it was read by this time; None: as of now.
    """
    up_to = {"at": at, "read_at": read_at}
    batch_id, caused_by = (
        connection.execute(OF_SAGA, {"saga": saga, **up_to}).first() or (None,) * 2
    )
    if caused_by is not None:
        caused_by = saga_key(split_key(saga)[0], caused_by)
    led_to = [found for found, _ in _led_to(connection, [saga], **up_to)]
    return {"batch_id": batch_id, "caused_by": caused_by, "led_to": led_to}


def batch(connection: Connection, batch_id: str) -> dict[str, Any] | None:
    """Return the sagas of a batch and their number by status; None for an unknown batch."""
    rows = connection.execute(BATCH, {"batch_id": batch_id}).mappings()
    sagas = [saga_row(dict(row)) for row in rows]
    counts = Counter(saga["status"] for saga in sagas)
    return {"batch_id": batch_id, "counts": counts, "sagas": sagas} if sagas else None


def tree(connection: Connection, saga: str) -> list[Link]:
    """Return all sagas related to this one, each after the one that led to it."""
    root, visited = saga, {saga}
    while parent := dict(_pairs(connection, PARENTS, [root])).get(root):
        if parent in visited:
            break
        visited.add(parent)
        root = parent
    parents: dict[str, str | None] = {root: None}
    level = [root]
    while level and len(parents) < MAX_TREE:
        found = [(key, by) for key, by in _led_to(connection, level) if key not in parents]
        parents.update(found)
        level = [key for key, _ in found]
    states: dict[str, str] = dict(_pairs(connection, STATES, list(parents)))
    return [Link(key, by, states.get(key)) for key, by in parents.items()]


def mermaid(links: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the tree as a Mermaid flowchart, line by line."""
    number = {link["saga"]: f"s{n}" for n, link in enumerate(links)}
    yield "flowchart LR"
    for link in links:
        name = link["saga"].replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        yield f'    {number[link["saga"]]}["{name}<br>{link["status"] or "not seen"}"]'
    for link in links:
        if link["caused_by"]:
            yield f"    {number[link['caused_by']]} --> {number[link['saga']]}"


def _led_to(
    connection: Connection,
    sagas: Sequence[str],
    at: datetime | None = None,
    read_at: datetime | None = None,
) -> list[tuple[str, str]]:
    ids = [split_key(saga)[1] for saga in sagas]
    return _pairs(connection, CHILDREN, sagas, ids=ids, most=MAX_TREE, at=at, read_at=read_at)


def _pairs(
    connection: Connection, query: Any, sagas: Sequence[str], **more: Any
) -> list[tuple[str, str]]:
    rows = connection.execute(query, {"sagas": list(sagas), **more})
    return [(first, second) for first, second in rows]
