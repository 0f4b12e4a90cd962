"""Fetches the evidence: HTTP to the outside world, the topics from their first record, SQL."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx2
import psycopg
from psycopg.rows import TupleRow

from saga_lab.invariants.evidence import Evidence, Logged, Row, Sent, StockRow, mark_of
from sagakit.errors import UnprocessableRecord
from sagakit.flow.model import Flows, with_deadlines
from sagakit.flow.routing import topic, topics_of
from sagakit.kafka.inspector import LogEnds, lag, read_log
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from sagakit.store.postgres import unpack_headers
from schemas import CONTRACT, FLOWS, OWNERS

MONITOR = "monitor"
PAGE = 10_000
SAGAS = "SELECT order_id, status FROM saga UNION ALL SELECT order_id, status FROM saga_history"
LOOK_AGAIN_S = 0.25
Stack = Mapping[str, Any]
"""The content of `stack.json`."""

EVENT_TOPICS = tuple(sorted({topic(owner) for owner in OWNERS.values()}))


def wait_until_idle(stack: Stack, standstill_s: float) -> str | None:
    """Wait until all records are read, no outbox row is unpublished and no effect is pending.

    Returns None when the stack is idle. Otherwise returns the text of `unfinished_work` once it has
    not changed for `standstill_s` seconds.
    """
    before, since = None, time.monotonic()
    while (moving := unfinished_work(stack)) and time.monotonic() - since < standstill_s:
        if moving != before:
            before, since = moving, time.monotonic()
        time.sleep(LOOK_AGAIN_S)
    return moving


def unfinished_work(stack: Stack) -> str | None:
    """Describe the first unfinished work found; None when the stack is idle.

    The checks follow an event's path (consumer lag, outbox and effects, the monitor), so that an
    event that moves on meanwhile is seen by a later check. Some paths lead back to a topic;
    comparing the end offsets again at the end catches those.
    """
    before = _ends(stack)
    for service in stack["databases"]:
        if service == MONITOR:
            continue
        behind = lag(stack["bootstrap_servers"], service, topics_of(FLOWS, service))
        if behind:
            return f"{service} has {behind} records to read"
    for service, url in stack["databases"].items():
        for table, rows in _left(service, url).items():
            if rows:
                return f"{service} has {rows} rows in {table}"
    read = _query(
        stack["databases"][MONITOR], 'SELECT topic, partition, "offset" FROM stream_offset'
    )
    known = {(t, p): offset for t, p, offset in read}
    unread = {place: end for place, end in before.items() if end > known.get(place, 0)}
    if unread:
        left = sum(end - known.get(place, 0) for place, end in unread.items())
        return f"{MONITOR} has {left} records to read"
    after = _ends(stack)
    if after == before:
        return None
    return f"events are still being published, {sum(after.values())} until now"


def gather(stack: Stack) -> Evidence:
    """Fetch all evidence, with the sources read in parallel."""
    urls, databases = stack["urls"], stack["databases"]
    with ThreadPoolExecutor() as pool:
        books = pool.submit(_books, databases["inventory"])
        left = {s: pool.submit(_left, s, url) for s, url in databases.items()}
        sent = {s: pool.submit(_sent, s, url) for s, url in databases.items()}
        sagas = pool.submit(_query, databases[MONITOR], SAGAS)
        ledgers = {
            name: pool.submit(_ledger, f"{urls[server]}/v1/{name}")
            for server, name in (
                ("provider", "charges"),
                ("provider", "refunds"),
                ("carrier", "labels"),
                ("mail", "mails"),
            )
        }
        log, unreadable, marks = _read(stack, [f"{s}.dlt" for s in databases])
        stock, held = books.result()
        return Evidence(
            flows=FLOWS,
            deadlines=flows_since(stack),
            log=log,
            unreadable=unreadable,
            marks=marks,
            **{name: found.result() for name, found in ledgers.items()},
            stock=stock,
            held=held,
            outbox={s: found.result()["outbox"] for s, found in left.items()},
            effects={s: found.result()["effects"] for s, found in left.items()},
            sent=[row for found in sent.values() for row in found.result()],
            sagas={str(order_id): str(status) for order_id, status in sagas.result()},
        )


def flows_of(stack: Stack) -> Flows:
    """Return the flows with the deadlines that the monitor has now."""
    return flows_since(stack)[-1][1]


def flows_since(stack: Stack) -> list[tuple[datetime, Flows]]:
    """Return, for each set of deadlines the monitor had, its start time and the flows with it."""
    return [
        (datetime.fromisoformat(since), Flows(*(with_deadlines(f, overrides) for f in FLOWS)))
        for since, overrides in stack["deadlines"]
    ]


def codec_of(stack: Stack) -> Codec:
    """Return a codec that reads the events of the stack's services."""
    registry = stack["urls"].get("registry")
    if not registry:
        return Codec(CONTRACT)
    from sagakit.messages.schema_registry import ConfluentRegistry  # its client takes 20 MB

    return Codec(CONTRACT, ConfluentRegistry(registry))


# --- the topics -----------------------------------------------------------------------------------


def _read(stack: Stack, dead_letters: Sequence[str]) -> tuple[list[Logged], int, frozenset[bytes]]:
    codec = codec_of(stack)
    log, unreadable, marks = [], 0, set[bytes]()
    for record in read_log(stack["bootstrap_servers"], [*EVENT_TOPICS, *dead_letters]):
        marks.add(mark_of(record.topic, record.key or b"", record.headers, record.value))
        if record.topic not in EVENT_TOPICS:
            continue
        try:
            log.append(_logged(codec, record))
        except UnprocessableRecord:
            unreadable += 1
    log.sort(key=lambda e: (e.topic, e.partition, e.offset))
    return log, unreadable, frozenset(marks)


def _logged(codec: Codec, record: Record) -> Logged:
    e = codec.decode(record)
    return Logged(
        order_id=e.key,
        event=e.event,
        id=e.id,
        source=e.source,
        seq=e.seq,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        at=e.time,
        cause=e.causation,
        flow=e.trace.flow,
    )


def _ends(stack: Stack) -> dict[tuple[str, int], int]:
    looking = LogEnds(stack["bootstrap_servers"])
    try:
        return looking.ends(EVENT_TOPICS)
    finally:
        looking.close()


# --- the outside world ----------------------------------------------------------------------------


def _ledger(url: str) -> list[Row]:
    found: list[Row] = []
    with httpx2.Client(timeout=30, trust_env=False) as client:
        while True:
            answer = client.get(url, params={"limit": PAGE, "offset": len(found)})
            page = answer.raise_for_status().json()
            found += page["data"]
            if len(found) >= page["total"] or not page["data"]:
                return found


# --- the services' tables -------------------------------------------------------------------------


def _query(url: str, sql: str) -> list[TupleRow]:
    """Run a query in a read-only transaction and return its rows."""
    options = "-c default_transaction_read_only=on"
    with psycopg.connect(url, options=options, connect_timeout=10) as connection:
        return connection.execute(sql).fetchall()


def _left(service: str, url: str) -> dict[str, int]:
    """Count rows awaiting publication and effects awaiting a call (the monitor has none)."""
    found = {"outbox": "SELECT count(*) FROM outbox"}
    if service != MONITOR:
        found["effects"] = "SELECT count(*) FROM effects"
    rows = {table: _query(url, sql)[0][0] for table, sql in found.items()}
    return {"outbox": 0, "effects": 0, **rows}


def _sent(service: str, url: str) -> list[Sent]:
    rows = _query(url, "SELECT topic, key, headers, value FROM outbox_sent")
    return [
        Sent(service, key, topic, mark_of(topic, key.encode(), unpack_headers(headers), value))
        for topic, key, headers, value in rows
    ]


def _books(url: str) -> tuple[list[StockRow], Mapping[str, int]]:
    """Return inventory's stock rows, and SKU -> units held by its open reservations."""
    stock = _query(url, "SELECT sku, on_hand, reserved, shipped, put_in FROM stock ORDER BY sku")
    kept = _query(url, "SELECT lines FROM reservation WHERE phase = 'reserved'")
    held = Counter[str]()
    for sku, quantity in _lines(row[0] for row in kept):
        held[sku] += quantity
    return [StockRow(*row) for row in stock], held


def _lines(kept: Iterable[Any]) -> Iterable[tuple[str, int]]:
    """Yield SKU and units of every line; each reservation keeps its lines as a JSON list."""
    for lines in kept:
        yield from ((line["sku"], line["quantity"]) for line in lines)
