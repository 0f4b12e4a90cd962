"""Passes over record batches that the client cannot unpack; without that it tries one for ever.

The client names the first offset of such a batch, not the last. So the next offset that is not in
it is searched for: from ever farther on, then by halves. Nothing behind the batch is passed over.
"""

from dataclasses import dataclass

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from sagakit.kafka.client import ANSWER_S
from sagakit.messages.envelope import Record, TopicPartitionKey, unreadable_header

log = structlog.get_logger(__name__)
DAMAGED = frozenset((KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG))
MAX_UNPACKED_BYTES = 16 * 1024 * 1024
"""The most bytes that a compressed record batch may unpack to; a larger one is given up.

A batch of our own has 1 MB before compression. Two kilobytes of zstd can hold 64 MB of zeros."""
LIMITS = {
    "fetch.max.bytes": MAX_UNPACKED_BYTES // 2,
    "receive.message.max.bytes": MAX_UNPACKED_BYTES,
}
"""Settings of a consumer; the second bounds an answer of the broker, and what zstd unpacks to."""


@dataclass(slots=True)
class _Search:
    """A search for the end of a batch: offsets up to `inside` are in it, `behind` is not."""

    first: int
    reason: str
    inside: int
    tried: int
    step: int = 1
    behind: int | None = None


class DamagedBatches:
    """Moves a consumer over damaged batches. Show it each error and each record of the consumer."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._searches: dict[TopicPartitionKey, _Search] = {}

    def revoked(self, place: TopicPartitionKey) -> None:
        """Forget a partition."""
        self._searches.pop(place, None)

    def after_error(self, message: Message) -> Record | None:
        """Move on from a damaged batch, if the error is one.

        Returns the record that stands for the batch, once its end is found.
        """
        error = message.error()
        if error is None or error.code() not in DAMAGED or message.topic() is None:
            return None
        place = str(message.topic()), message.partition() or 0
        first, search = message.offset() or 0, self._searches.get(place)
        if search is None or search.first > first:
            search = _Search(first, error.str(), inside=first, tried=first)
            self._searches[place] = search
        elif search.first == first:
            search.inside = max(search.inside, search.tried)
        else:
            search.behind = search.tried  # another batch, damaged too
        return self._next(place, search)

    def after_record(self, record: Record) -> tuple[bool, Record | None]:
        """Tell whether a record may be handed on, and what stands for a batch before it."""
        place = record.topic, record.partition
        search = self._searches.get(place)
        if search is None:
            return True, None
        if record.offset < search.tried:
            return False, None  # fetched before the last move
        search.behind = search.tried
        given_up = self._next(place, search, moves=search.behind - search.inside > 1)
        return given_up is not None, given_up

    def searching(self, place: TopicPartitionKey) -> bool:
        """Tell whether the end of a damaged batch of a partition is being searched for."""
        return place in self._searches

    def after_end(self, place: TopicPartitionKey) -> Record | None:
        """Return what stands for a batch, if nothing follows that could be read.

        Only markers of transactions and aborted records do.
        """
        search = self._searches.get(place)
        if search is None:
            return None
        search.behind = search.tried
        return self._next(place, search, moves=search.behind - search.inside > 1)

    def _next(
        self, place: TopicPartitionKey, search: _Search, *, moves: bool = True
    ) -> Record | None:
        """Try the next offset; return what stands for the batch if its end is found."""
        behind = self._end(place) if search.behind is None else search.behind
        if behind is None:
            return None  # the client reports the same error again
        if behind - search.inside <= 1:
            del self._searches[place]
            if moves:
                self._move(place, behind)
            return self._given_up(place, search, behind - 1)
        if search.behind is None:
            search.tried = min(search.inside + search.step, behind - 1)
            search.step *= 2
        else:
            search.tried = (search.inside + search.behind) // 2
        self._move(place, search.tried)
        return None

    def _end(self, place: TopicPartitionKey) -> int | None:
        try:
            return int(self._consumer.get_watermark_offsets(TopicPartition(*place), ANSWER_S)[1])
        except KafkaException as error:
            log.warning("the end of a partition is not known now", error=str(error))
            return None

    def _move(self, place: TopicPartitionKey, offset: int) -> None:
        # Assign again, do not seek: after a seek nothing was fetched
        # (docs/reports/reliability.md, S).
        self._consumer.incremental_unassign([TopicPartition(*place)])
        self._consumer.incremental_assign([TopicPartition(*place, offset)])

    def _given_up(self, place: TopicPartitionKey, search: _Search, last: int) -> Record:
        reason = f"offsets {search.first} to {last}: their batch cannot be unpacked"
        log.error("a record batch is given up", topic=place[0], partition=place[1], reason=reason)
        return Record(*place, last, 0, None, None, unreadable_header(f"{reason}: {search.reason}"))
