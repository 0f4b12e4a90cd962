"""Shared by every Kafka client of the kit: topic ids, records as values, errors into the log."""

import logging
from collections.abc import Collection
from typing import Any

import structlog
from confluent_kafka import KafkaError, Message, TopicCollection
from confluent_kafka import KafkaException as KafkaException
from confluent_kafka.admin import AdminClient

from sagakit.messages.envelope import Record

log = structlog.get_logger(__name__)
LIBRARY_LOG = logging.getLogger("librdkafka")
ANSWER_S = 5.0
"""How long the broker may take to answer a question."""


def asking(bootstrap_servers: str) -> AdminClient:
    """A client for `topic_ids`."""
    config: dict[str, Any] = {"bootstrap.servers": bootstrap_servers, "error_cb": tell_error}
    return AdminClient(config, logger=LIBRARY_LOG)


def topic_ids(admin: AdminClient, topics: Collection[str]) -> dict[str, str]:
    """Topic -> the id it got when it was created; without those that are not there.

    Raises KafkaException where the broker does not answer.
    """
    found = {}
    asked = TopicCollection(list(topics))
    answers = admin.describe_topics(asked, request_timeout=ANSWER_S) if topics else {}
    for name, answer in answers.items():
        try:
            found[name] = str(answer.result().topic_id)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return found


def record_of(message: Message) -> Record:
    """The client's message as the kit's value."""
    found: Any = message.headers() or ()
    headers = tuple((str(k), v if isinstance(v, bytes) else b"") for k, v in found)
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Record(
        topic, partition, offset, message.timestamp()[1], message.key(), message.value(), headers
    )


def tell_error(error: KafkaError) -> None:
    """The client's `error_cb`: what it reports is logged; what matters is raised by its calls."""
    log.warning("kafka reports", error=str(error))
