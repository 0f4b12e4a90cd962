"""Fetches the evidence of every saga: the topics from their first record, SQL."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from saga_lab.application import MONITOR, Application, contract_of, load_application
from saga_lab.invariants.evidence import Evidence, Logged, Sent, mark_of
from saga_lab.invariants.interface import Stack, own_invariants
from sagakit.contract.model import Contract
from sagakit.errors import UnprocessableRecord
from sagakit.flow.model import Flows, with_deadlines
from sagakit.flow.routing import topics_of
from sagakit.kafka.inspector import LogEnds, lag, read_log
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import OutboxRow, Record, TopicPartitionKey
from sagakit.store.packed_headers import unpack_headers

SAGAS = "SELECT saga, status FROM saga UNION ALL SELECT saga, status FROM saga_history"
LOOK_AGAIN_S = 0.25


def application_of(stack: Stack) -> Application:
    """Return the application that runs on the stack. Raises ManifestError."""
    return load_application(Path(stack["application"]))


def contract_on(stack: Stack) -> Contract:
    """Return the contract of the application that runs on the stack. Raises ManifestError."""
    return contract_of(application_of(stack))


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
    contract = contract_on(stack)
    before = _ends(stack, contract)
    for service in stack["databases"]:
        if service == MONITOR:
            continue
        behind = lag(stack["bootstrap_servers"], service, topics_of(contract.flows, service))
        if behind:
            return f"{service} has {behind} records to read"
    for service, url in stack["databases"].items():
        for table, rows in _left(service, url).items():
            if rows:
                return f"{service} has {rows} rows in {table}"
    if left := _unread(stack, before):
        return f"{MONITOR} has {left} records to read"
    after = _ends(stack, contract)
    if after == before:
        return None
    return f"events are still being published, {sum(after.values())} until now"


def unread_by_monitor(stack: Stack) -> int:
    """Return how many offsets of all topics the monitor has not read."""
    return _unread(stack, _ends(stack, contract_on(stack)))


def _unread(stack: Stack, ends: Mapping[TopicPartitionKey, int]) -> int:
    read = query(
        stack["databases"][MONITOR], 'SELECT topic, partition, "offset" FROM stream_offset'
    )
    known = {(t, p): offset for t, p, offset in read}
    return sum(max(end - known.get(place, 0), 0) for place, end in ends.items())


def gather(stack: Stack) -> Evidence:
    """Fetch all evidence, with the sources read in parallel. Raises ManifestError."""
    application, databases = application_of(stack), stack["databases"]
    own = own_invariants(application)
    with ThreadPoolExecutor() as pool:
        own_evidence = pool.submit(own.gather, stack)
        left = {s: pool.submit(_left, s, url) for s, url in databases.items()}
        sent = {s: pool.submit(_sent, s, url) for s, url in databases.items()}
        sagas = pool.submit(query, databases[MONITOR], SAGAS)
        log, unreadable, marks = _read(stack, [f"{s}.dlt" for s in databases])
        return Evidence(
            flows=contract_of(application).flows,
            deadlines=flows_since(stack),
            log=log,
            unreadable=unreadable,
            marks=marks,
            outbox={s: found.result()["outbox"] for s, found in left.items()},
            effects={s: found.result()["effects"] for s, found in left.items()},
            sent=[row for found in sent.values() for row in found.result()],
            sagas={str(saga): str(status) for saga, status in sagas.result()},
            own=own_evidence.result(),
            ends=own.ends,
        )


def flows_of(stack: Stack) -> Flows:
    """Return the flows with the deadlines that the monitor has now."""
    return flows_since(stack)[-1][1]


def flows_since(stack: Stack) -> list[tuple[datetime, Flows]]:
    """Return, for each set of deadlines the monitor had, its start time and the flows with it."""
    flows = contract_on(stack).flows
    return [
        (
            datetime.fromisoformat(since),
            Flows(
                *(
                    with_deadlines(
                        flow,
                        {p: d for p, d in overrides.items() if p.partition(".")[0] in flow.steps},
                    )
                    for flow in flows
                )
            ),
        )
        for since, overrides in stack["deadlines"]
    ]


def codec_of(stack: Stack) -> Codec:
    """Return a codec that reads the events of the stack's services."""
    registry, contract = stack["urls"].get("registry"), contract_on(stack)
    if not registry:
        return Codec(contract)
    from sagakit.messages.schema_registry import ConfluentRegistry  # its client takes 20 MB

    return Codec(contract, ConfluentRegistry(registry))


# --- the topics -----------------------------------------------------------------------------------


def _read(stack: Stack, dead_letters: Sequence[str]) -> tuple[list[Logged], int, frozenset[bytes]]:
    codec, event_topics = codec_of(stack), contract_on(stack).topics
    log, unreadable, marks = [], 0, set[bytes]()
    for record in read_log(stack["bootstrap_servers"], [*event_topics, *dead_letters]):
        marks.add(mark_of(record.topic, record.key or b"", record.headers, record.value))
        if record.topic not in event_topics:
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
        saga=e.key,
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


def _ends(stack: Stack, contract: Contract) -> dict[tuple[str, int], int]:
    return LogEnds(stack["bootstrap_servers"]).readable_ends(contract.topics)


# --- the services' tables -------------------------------------------------------------------------


def query(url: str, sql: str) -> list[TupleRow]:
    """Run a query in a read-only transaction and return its rows."""
    options = "-c default_transaction_read_only=on"
    with psycopg.connect(url, options=options, connect_timeout=10) as connection:
        return connection.execute(sql).fetchall()


def _left(service: str, url: str) -> dict[str, int]:
    """Count rows awaiting publication and effects awaiting a call (the monitor has none)."""
    found = {"outbox": "SELECT count(*) FROM outbox"}
    if service != MONITOR:
        found["effects"] = "SELECT count(*) FROM effects"
    rows = {table: query(url, sql)[0][0] for table, sql in found.items()}
    return {"outbox": 0, "effects": 0, **rows}


def _sent(service: str, url: str) -> list[Sent]:
    rows = query(url, "SELECT topic, key, headers, value FROM outbox_sent")
    sent = (OutboxRow(t, key, unpack_headers(packed), value) for t, key, packed, value in rows)
    return [
        Sent(
            service,
            row.saga,
            row.topic,
            mark_of(row.topic, row.key.encode(), row.headers, row.value),
        )
        for row in sent
    ]
