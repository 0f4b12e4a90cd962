"""Broken inbox, outbox, relay, leases, parking and gate."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from saga_lab.simulation.node import Node
from saga_lab.simulation.process import SimulatedProcess
from sagakit.decider import Effect
from sagakit.errors import RegistryUnavailable, ResultPending, UnknownFlow
from sagakit.flow.routing import Router
from sagakit.handling.handler import Disposition, HandlingResult
from sagakit.handling.parking import undecodable_message
from sagakit.messages.envelope import EffectRow, Lease, Message, OutboxRow, ParkedRow, Record
from sagakit.store.commit_queue import Commit, CommitQueue
from sagakit.store.ports import START, Changes, InboxRow
from services.inventory.decide import Reservation
from services.inventory.store import MemoryInventoryStore, WorkingSet, skus_of


def no_inbox(message: Message, inbox_row: InboxRow) -> bool:
    """Nothing is a repeat."""
    return False


def inbox_first(write: Any, tx: Any, changes: Changes, working: Any) -> None:
    """What was consumed is kept, whatever becomes of the transaction."""
    write(tx, changes, working)
    for inbox_row in changes.inbox_rows:
        kept = tx._database.tables.inbox_rows.setdefault(inbox_row.key, InboxRow(inbox_row.key))
        kept.seen, kept.ids = dict(inbox_row.seen), list(inbox_row.ids)


def finish_first(finish: Any, tx: Any, leases: Sequence[Lease]) -> Any:
    """An effect is removed in a transaction of its own, before its outcome is stored."""
    done: set[UUID] = finish(tx, leases)
    pending = tx._database.tables.effects
    for key in [k for k, p in pending.items() if p.row.id in done]:
        del pending[key]
    return done


def any_lease(finish: Any, tx: Any, leases: Sequence[Lease]) -> set[UUID]:
    """An outcome counts, whoever holds the effect by now."""
    finish(tx, leases)
    return {lease.effect_id for lease in leases}


def offsets_first(process: SimulatedProcess) -> None:
    """Offsets are stored before the batch is handled."""
    process.positions.update(process.ends)
    process.node.committed = dict(process.positions)
    messages, process.batch, process.ends = process.messages(), [], {}
    process.handler.handle(messages)


def beyond_cursor(node: Node) -> list[OutboxRow]:
    """`id > cursor`: rows that were committed late are passed by."""
    cursor = getattr(node, "cursor", 0)
    return [row for number, row in sorted(node.database.tables.outbox.items()) if number > cursor]


def move_cursor(remove: Any, node: Node, row: OutboxRow) -> None:
    """With `beyond_cursor`."""
    node.cursor = max(getattr(node, "cursor", 0), row.id)  # type: ignore[attr-defined]
    remove(node, row)


def delete_first(node: Node) -> None:
    """The relay removes a row, then publishes it."""
    for row in node.unpublished()[:4]:
        node.remove(row)
        node.processes[0].fault("mid-relay")
        node.publish(row)


def newest_first(next_rows: Any, node: Node) -> list[OutboxRow]:
    """The relay does not sort."""
    rows: list[OutboxRow] = next_rows(node)
    return rows[::-1]


def newest_commit_first(take: Any, commits: CommitQueue, limit: int) -> list[OutboxRow] | None:
    """Commits are handed to the relay newest first."""
    rows: list[OutboxRow] | None = take(commits, limit)
    return rows[::-1] if rows else rows


def trust_everybody(announce: Any, commits: CommitQueue, changes: Changes) -> Commit:
    """Rows are published from memory, also where another process wrote the saga's last one."""
    commit: Commit = announce(commits, changes)
    commit.in_table = False
    return commit


def never_moved(tx: Any, row: InboxRow) -> bool:
    """A saga from the cache is written, although another process has written it meanwhile."""
    return False


def loaded_or_not(working: Any, keys: Any) -> dict[str, Any]:
    """Sagas whose state was not loaded are kept for the next batch, with the initial state."""
    return {key: working.get(key) for key in keys}


def ride_first(take: Any, process: SimulatedProcess) -> None:
    """Offsets of records that ride along are stored before the batch is committed."""
    if process.batch:
        process.node.committed |= process.ends
    take(process)


def drop_parked(batch: Any, message: Message, code: str, error: str) -> HandlingResult[Any]:
    """What cannot be handled is let go."""
    return HandlingResult(message, Disposition.PARKED)


def unanswered_is_poison(decode: Any, codec: Any, record: Record) -> Message:
    """A schema registry that does not answer makes a record unreadable."""
    try:
        message: Message = decode(codec, record)
    except RegistryUnavailable as error:
        return undecodable_message(codec, record, str(error))
    return message


def queue_reversed(parked: Any, tx: Any, key: str, limit: int) -> list[ParkedRow]:
    """Parked records are handled again newest first."""
    rows: list[ParkedRow] = parked(tx, key, limit)
    return rows[::-1]


def unknown_dropped(
    park: Any, batch: Any, message: Message, code: str, error: str
) -> HandlingResult[Any]:
    """Events of a version that is not known yet are let go."""
    if code == UnknownFlow.code:
        return HandlingResult(message, Disposition.PARKED)
    parked: HandlingResult[Any] = park(batch, message, code, error)
    return parked


def unknown_is_default(label: Any, router: Router, header: str | None) -> str:
    """A version that is not known yet is taken for the default."""
    try:
        return str(label(router, header))
    except UnknownFlow:
        return str(label(router, None))


def newest_known(label: Any, router: Router, header: str | None) -> str:
    """Whatever an order began on, it goes on with the newest version that is known."""
    flow, _ = router._flows.find(label(router, header))
    return flow.label(max(flow.versions))


def no_gap(message: Message, inbox_row: InboxRow) -> None:
    """A missing event is not missed."""


def never_filled(fates: Any, inbox_rows: Any) -> set[str]:
    """What queued behind a gap stays there."""
    return set()


def never_freed(done: Any, inbox_rows: Any) -> set[str]:
    """What was held in a pause stays there when it is over."""
    return set()


def random_id(cause: UUID, event_type: str, n: int) -> UUID:
    """An event's id says nothing of its cause."""
    return uuid.uuid4()


def reading_before(run_concurrently: Any, node: Node, *transactions: Any) -> None:
    """Of two transactions at once both read before the other writes, with `no_stock_lock`."""
    store: Any = node.participant.store
    store.before = dict(getattr(store, "stock", {}))
    run_concurrently(node, *transactions)
    del store.before


def no_stock_lock(store: MemoryInventoryStore, connection: Any, wanted: Any) -> WorkingSet:
    """The stock is read, reckoned with and written back, and nobody else is kept from it."""
    before = getattr(store, "before", store.stock)
    skus = {
        key: skus_of(store.reservations.get(key, Reservation()), triggers)
        for key, triggers in wanted.items()
    }
    return WorkingSet(dict(store.reservations), dict(before), skus, store._write)


def without_saga(effect: Effect, key: str) -> str:
    """The idempotency key does not say whose call it is."""
    return key


def charge_attempt(ask: Any, node: Node, row: EffectRow) -> Any:
    """Every attempt has a key of its own at the provider."""
    effect = row.effect
    if effect.kind == "charge":
        effect = replace(effect, key=f"{effect.key}:{row.attempts}")
    return ask(node, replace(row, effect=effect))


def pending_is_over(ask: Any, node: Node, row: EffectRow) -> Any:
    """What is not final yet is not asked about again."""
    try:
        return ask(node, row)
    except ResultPending:
        return None


def any_queue_awaits_start(inbox_row: InboxRow) -> bool:
    """A start event binds its saga, also behind a record that may be an earlier one."""
    return inbox_row.gap == START or (inbox_row.parked > 0 and inbox_row.facts is None)


def last_start_counts(start: Any, routing: Any, message: Message, label: str, known: Any) -> Any:
    """Whoever starts a saga again says what it is from then on."""
    known.facts = None
    return start(routing, message, label, known)
