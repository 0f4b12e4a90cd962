"""Reads Kafka without joining a group: records, end offsets, group lag."""

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence, Set
from contextlib import closing
from typing import TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from sagakit.kafka.client import admin_client, topic_ids
from sagakit.kafka.log_spans import groupless_consumer, read_spans, spans_between
from sagakit.messages.envelope import Record

T = TypeVar("T")
LEADER_MOVES = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._NOENT,  # a partition without a leader
    }
)
"""Codes that pass by themselves: the client refreshes its metadata, and the next request works."""
COORDINATOR_MOVES = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)
"""Codes of a group's coordinator that pass in the same way."""
AWAY = (
    LEADER_MOVES
    | COORDINATOR_MOVES
    | {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
"""Codes of brokers that do not answer for a while, whatever they are asked."""
ASK_AGAIN_S = 0.1


class LogEnds:
    """Fetches end offsets of partitions and ids of topics."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._admin = admin_client(bootstrap_servers)

    def ends(self, topics: Sequence[str], timeout_s: float = 10.0) -> dict[tuple[str, int], int]:
        """Return (topic, partition) -> offset of the next record. Raises KafkaException.

        All partitions of a broker are one request. A leader that moves or has just been elected is
        asked again, for `timeout_s` seconds.
        """
        return self._ask(topics, IsolationLevel.READ_UNCOMMITTED, timeout_s)

    def readable_ends(
        self, topics: Sequence[str], timeout_s: float = 10.0
    ) -> dict[tuple[str, int], int]:
        """Return (topic, partition) -> last stable offset, as `ends` does. Raises KafkaException.

        Readers see nothing from there on: it is the first record of a transaction that is still
        open, or the end.
        """
        return self._ask(topics, IsolationLevel.READ_COMMITTED, timeout_s)

    def firsts(self, topics: Sequence[str], timeout_s: float = 10.0) -> dict[tuple[str, int], int]:
        """Return (topic, partition) -> first offset that the log still holds, as `ends` does."""
        first = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
        return self._ask(topics, IsolationLevel.READ_UNCOMMITTED, timeout_s, first)

    def since(
        self, topics: Sequence[str], at_ms: int, timeout_s: float = 10.0
    ) -> dict[tuple[str, int], int | None]:
        """Return (topic, partition) -> offset of the first record stamped `at_ms` or later.

        None where there is none yet. at_ms: Unix ms. Raises KafkaException.
        """
        at = OffsetSpec.for_timestamp(at_ms)
        found = self._ask(topics, IsolationLevel.READ_UNCOMMITTED, timeout_s, at)
        return {place: None if offset < 0 else offset for place, offset in found.items()}

    def _ask(
        self,
        topics: Sequence[str],
        isolation: IsolationLevel,
        timeout_s: float,
        spec: OffsetSpec | None = None,
    ) -> dict[tuple[str, int], int]:
        chosen = spec or OffsetSpec.latest()  # type: ignore[no-untyped-call]
        return _ask_again(
            lambda: self._ends(topics, isolation, timeout_s, chosen), LEADER_MOVES, timeout_s
        )

    def _ends(
        self, topics: Sequence[str], isolation: IsolationLevel, timeout_s: float, spec: OffsetSpec
    ) -> dict[tuple[str, int], int]:
        metadata = self._admin.list_topics(timeout=timeout_s).topics
        asked = {}
        for name in topics:
            if name not in metadata:
                raise KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC, f"no topic {name}"))
            for partition in metadata[name].partitions:
                asked[TopicPartition(name, partition)] = spec
        answers = self._admin.list_offsets(
            asked, isolation_level=isolation, request_timeout=timeout_s
        )
        return {(tp.topic, tp.partition): a.result().offset for tp, a in answers.items()}

    def ids(self, topics: Sequence[str]) -> dict[str, str]:
        """See `client.topic_ids`."""
        return topic_ids(self._admin, topics)


def is_away(error: BaseException) -> bool:
    """Tell whether the brokers, or one of them, do not answer for a while."""
    if isinstance(error, KafkaException):
        return error.args[0].code() in AWAY
    return isinstance(error, TimeoutError)


def read_log(
    bootstrap_servers: str,
    topics: Sequence[str],
    timeout_s: float = 30.0,
    *,
    last: int | None = None,
    uncommitted: bool = False,
) -> Generator[Record, None, None]:
    """Yield every record of these topics up to the current end, without joining a group.

    The records of a partition come by offset, those of all partitions by log time.

    last: read only the last so many offsets of each partition. uncommitted: also what readers do
    not see yet, behind a transaction that is open.

    Raises TimeoutError if nothing arrives for `timeout_s`, and KafkaException for a topic that does
    not exist.
    """
    log = LogEnds(bootstrap_servers)
    ends = (log.ends if uncommitted else log.readable_ends)(topics, timeout_s)
    spans = spans_between(log.firsts(topics, timeout_s), ends, last)
    for batch in read_spans(bootstrap_servers, spans, timeout_s, uncommitted=uncommitted):
        yield from batch.records


def lag(bootstrap_servers: str, group: str, topics: Sequence[str], timeout_s: float = 10.0) -> int:
    """Return how many offsets of these topics a group has yet to commit. Raises KafkaException.

    Records behind an open transaction do not count: nobody can read them yet.
    """
    found = positions(bootstrap_servers, group, topics, timeout_s)
    return sum(end - committed for committed, end in found.values())


def positions(
    bootstrap_servers: str, group: str, topics: Sequence[str], timeout_s: float = 10.0
) -> dict[tuple[str, int], tuple[int, int]]:
    """Return (topic, partition) -> (committed offset, end of what can be read now).

    Raises KafkaException.
    """
    ends = LogEnds(bootstrap_servers).readable_ends(topics, timeout_s)
    found = _committed(bootstrap_servers, group, ends, timeout_s)
    committed = {(str(p.topic), p.partition): max(p.offset, 0) for p in found}
    return {place: (committed[place], end) for place, end in ends.items()}


def read_until(
    bootstrap_servers: str,
    group: str,
    ends: Mapping[tuple[str, int], int],
    ids: Mapping[str, str],
    timeout_s: float = 10.0,
) -> dict[tuple[str, int], int]:
    """Return (topic, partition) -> committed offset, at most the end of what can be read.

    Without partitions that the group has not read, or of which it has read another log: the id of
    the topic is kept with the offset (`consumer`). ends: of what can be read, of the partitions
    that are asked for; ids: of their topics. Raises KafkaException.
    """
    return {
        (p.topic, p.partition): min(p.offset, ends[p.topic, p.partition])
        for p in _committed(bootstrap_servers, group, ends, timeout_s)
        if p.offset > 0 and p.metadata in (None, "", ids.get(p.topic))
    }


def _committed(
    bootstrap_servers: str, group: str, places: Iterable[tuple[str, int]], timeout_s: float
) -> list[TopicPartition]:
    """Return what a group has committed.

    A coordinator that moves, or has just been elected, is asked again, for `timeout_s` seconds.
    """
    wanted = [TopicPartition(*place) for place in places]
    with closing(groupless_consumer(bootstrap_servers, group, {})) as consumer:
        return _ask_again(
            lambda: consumer.committed(wanted, timeout=timeout_s), COORDINATOR_MOVES, timeout_s
        )


def _ask_again(ask: Callable[[], T], passing: Set[int], timeout_s: float) -> T:
    """Ask again while the answer is one of these errors, for `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in passing or time.monotonic() > deadline:
                raise
        time.sleep(ASK_AGAIN_S)
