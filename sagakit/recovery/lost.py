"""Passes over sagas whose start event the log no longer holds.

Nobody can know what such a saga is about. Its events count as handled and nothing is decided; its
next event, from the live log, is parked as one whose start was not read, for a person to look at.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sagakit.flow.model import Flows
from sagakit.flow.routing import topic
from sagakit.handling.handler import Disposition, HandlingResult, MessageHandler
from sagakit.handling.inbox import remember
from sagakit.identity import split_key
from sagakit.messages.envelope import LOGGED_AT, Message, Record
from sagakit.recovery.plan import RebuildPlan
from sagakit.store.ports import Changes, Database, InboxRow

NO_START = "its start event is older than what the log holds"


def logged_ms(record: Record) -> int:
    """Return the log time of a record's first publication, Unix ms."""
    given = next((value for name, value in record.headers if name == LOGGED_AT), b"")
    return int(given) if given.isdigit() and len(given) < 19 else record.timestamp_ms


class LostSagas:
    """Wraps a handler: what belongs to a saga without its start event does not reach it.

    `note`: is told such sagas with the reason.
    """

    def __init__(
        self,
        handler: MessageHandler[Any],
        database: Database[Any],
        flows: Flows,
        plan: RebuildPlan,
        note: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._handler, self._database, self._note = handler, database, note
        self._starts = {flow.name: flow.start for flow in flows}
        self._start_topics = {flow.name: topic(flow.owners[flow.start]) for flow in flows}
        self._cut = set(plan.cut)

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[Any]]:
        """See `handler.Handler.handle`."""
        doubtful = [m for m in messages if self._may_be_lost(m)]
        passed = self._pass_over(doubtful, messages) if doubtful else set()
        kept = [m for n, m in enumerate(messages) if n not in passed]
        results = iter(self._handler.handle(kept) if kept else ())
        return [
            HandlingResult(m, Disposition.REPEAT) if n in passed else next(results)
            for n, m in enumerate(messages)
        ]

    def _may_be_lost(self, message: Message) -> bool:
        flow, _ = split_key(message.key)
        if message.event is None or message.record is None or flow not in self._starts:
            return False
        return (self._start_topics[flow], message.record.partition) in self._cut

    def _pass_over(self, doubtful: Sequence[Message], messages: Sequence[Message]) -> set[int]:
        """Count events of lost sagas as handled; return their places among the messages."""
        keys = sorted({message.key for message in doubtful})
        with self._database.transaction() as tx:
            rows = tx.lock(keys)
            known = {key for key, row in rows.items() if row.facts is not None}
            passed, changed = set[int](), dict[str, InboxRow]()
            for n, message in enumerate(messages):
                if message.key not in rows or not self._may_be_lost(message):
                    continue
                if message.event.type == self._starts[split_key(message.key)[0]]:
                    known.add(message.key)
                if message.key in known:
                    continue
                passed.add(n)
                counted = message.source == message.event.owner
                believed = message if counted else replace(message, seq=None)
                row = changed.setdefault(message.key, rows[message.key])
                if believed.seq is None or believed.seq > row.seen.get(message.source, [0])[0]:
                    remember(believed, row)
            tx.write(Changes(inbox_rows=list(changed.values())), tx.load({}))
        self._note(dict.fromkeys(changed, NO_START))
        return passed
