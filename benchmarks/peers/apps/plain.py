"""Runs a service, as one writes it with confluent-kafka.

`python -m benchmarks.peers.apps.plain SERVICE`. It handles one message at a time: poll, one
transaction, produce. It stores the offset when the broker acknowledges the answer, so nothing is
lost. A redelivered message finds its key in the database. It follows the manual's advice on speed:
it produces asynchronously, with a delivery report instead of a flush per message; it commits
offsets in the background; its producer is idempotent and compresses with lz4.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import orjson
import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from benchmarks.peers.apps.route import TOPICS, Event, step_for
from benchmarks.peers.apps.steps import Step, run

POLL_S = 0.2
FLUSH_S = 10.0


def producer_config(bootstrap_servers: str) -> dict[str, Any]:
    """Return the configuration of a producer."""
    return {
        "bootstrap.servers": bootstrap_servers,
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
    }


class Service:
    """Consumes, handles and answers the events of one service.

    `step_of`: returns the step for an event, None if the service has none.
    """

    def __init__(
        self,
        name: str,
        topics: Sequence[str],
        step_of: Callable[[Event], Step | None],
        bootstrap_servers: str,
        database_url: str,
    ) -> None:
        self._topics, self._topic, self._step_of = list(topics), f"{name}.events", step_of
        self._stopping = False
        self._connection = psycopg.connect(database_url)
        self._producer = Producer(producer_config(bootstrap_servers))
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": name,
                "auto.offset.reset": "earliest",
                "enable.auto.offset.store": False,
                "partition.assignment.strategy": "cooperative-sticky",
            }
        )

    def run(self) -> None:
        """Handle messages until SIGTERM."""
        signal.signal(signal.SIGTERM, self._stop)
        self._consumer.subscribe(self._topics, on_assign=self._assigned)
        while not self._stopping:
            message = self._consumer.poll(POLL_S)
            self._producer.poll(0)
            if message is not None:
                self._handle(message)
        self._producer.flush(FLUSH_S)
        self._consumer.close()
        self._connection.close()

    def _handle(self, message: Message) -> None:
        if (error := message.error()) is not None:
            raise KafkaException(error)
        event = orjson.loads(message.value() or b"")
        step = self._step_of(event)
        if step is None:
            return  # the next stored offset covers it
        with self._connection.transaction(), self._connection.cursor() as cursor:
            answer = run(cursor, step)

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                raise KafkaException(error)  # exit; a restart resumes at the last commit
            self._consumer.store_offsets(message)

        self._producer.produce(
            self._topic,
            key=message.key(),
            value=orjson.dumps({**event, "type": answer}),
            on_delivery=delivered,
        )

    def _assigned(self, consumer: Consumer, partitions: object) -> None:
        Path(os.environ["BENCH_READY"]).touch()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True


if __name__ == "__main__":
    (service,) = sys.argv[1:]
    Service(
        service,
        TOPICS[service],
        partial(step_for, service),
        os.environ["BENCH_KAFKA"],
        os.environ["BENCH_DATABASE"],
    ).run()
