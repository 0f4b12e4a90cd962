"""Publishes in transactions, as somebody who is none of ours may on the same topics."""

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

TIMEOUT_S = 30.0
BODIES = (b"an aborted record",)
RENEW_S = 1.0
"""How long a transaction stays alone before the next is opened, in seconds."""


class ForeignProducer:
    """Writes records in one transaction at a time. Its methods raise KafkaException.

    A producer of the same name that was killed inside a transaction is fenced, and that transaction
    is aborted.
    """

    def __init__(self, bootstrap_servers: str, name: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "transactional.id": name,
                "transaction.timeout.ms": 60_000,
                "log_level": 0,
            }
        )
        self._producer.init_transactions(TIMEOUT_S)

    def begin(self, places: Sequence[tuple[str, int]], bodies: Sequence[bytes]) -> None:
        """Open a transaction and write records to partitions, under a key of no saga."""
        key = f"foreign-{uuid.uuid4().hex[:12]}".encode()
        self._producer.begin_transaction()
        for topic, partition in places:
            for body in bodies:
                self._producer.produce(topic, body, key, partition)
        self._producer.flush(TIMEOUT_S)

    def commit(self) -> None:
        """Commit the transaction."""
        self._producer.commit_transaction(TIMEOUT_S)

    def abort(self) -> None:
        """Abort the transaction."""
        self._producer.abort_transaction(TIMEOUT_S)


@contextmanager
def always_open(bootstrap_servers: str, topics: Sequence[str]) -> Iterator[None]:
    """Keep a transaction open on every partition of these topics until the block ends.

    Two producers take turns: each opens one before the other aborts its own. So nobody may ever
    hear of their records.
    """
    stop = threading.Event()
    args = (bootstrap_servers, topics, stop)
    thread = threading.Thread(target=_take_turns, args=args, name="transactions", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _take_turns(bootstrap_servers: str, topics: Sequence[str], stop: threading.Event) -> None:
    name = f"foreign-{uuid.uuid4().hex[:8]}"
    while not stop.is_set():
        with suppress(KafkaException):  # a broker was killed: begin again with new producers
            admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
            known = admin.list_topics(timeout=TIMEOUT_S).topics
            places = [(topic, p) for topic in topics for p in known[topic].partitions]
            one, other = (ForeignProducer(bootstrap_servers, f"{name}-{n}") for n in range(2))
            one.begin(places, BODIES)
            while not stop.wait(RENEW_S):
                other.begin(places, BODIES)
                one.abort()
                one, other = other, one
            one.abort()
