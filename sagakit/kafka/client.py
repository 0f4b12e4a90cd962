"""Provides helpers for the kit's Kafka clients: topic ids, record conversion, error logging."""

import logging
from collections.abc import Collection
from operator import methodcaller
from typing import Any

import structlog
from confluent_kafka import KafkaError, Message, TopicCollection
from confluent_kafka import KafkaException as KafkaException
from confluent_kafka.admin import AdminClient

from sagakit.messages.envelope import Record, unreadable_header

log = structlog.get_logger(__name__)
LIBRARY_LOG = logging.getLogger("librdkafka")
ANSWER_S = 5.0
"""Timeout of a request to the broker, in seconds."""


_read_headers = methodcaller("headers")
"""Calls `message.headers()` so that an error is noticed beside a result, and raises SystemError.

Where the call is written out, Python's specialized instructions look at the result alone, once the
function has run a few times. The error is then raised somewhere later."""


def admin_client(bootstrap_servers: str) -> AdminClient:
    """Return an admin client for `topic_ids`."""
    config: dict[str, Any] = {"bootstrap.servers": bootstrap_servers, "error_cb": log_client_error}
    return AdminClient(config, logger=LIBRARY_LOG)


def topic_ids(admin: AdminClient, topics: Collection[str]) -> dict[str, str]:
    """Return topic -> the id it got when it was created; topics that do not exist are left out.

    Raises KafkaException if the broker does not answer.
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
    """Convert the client's message to a Record, also one whose headers the client cannot read."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Record(
        topic,
        partition,
        offset,
        message.timestamp()[1],
        message.key(),
        message.value(),
        _headers_of(message),
    )


def _headers_of(message: Message) -> tuple[tuple[str, bytes], ...]:
    """Return the headers, or the reason why there are none.

    For a header name that is no UTF-8 the client returns a list with missing names, which crash the
    process when they are looked at, and sets an error too. See `_read_headers`.
    """
    try:
        found: Any = _read_headers(message) or ()
    except Exception as error:
        return unreadable_header(
            f"the Kafka client cannot read its headers ({error.__cause__ or error}); header names "
            "must be UTF-8"
        )
    return tuple((str(k), v if isinstance(v, bytes) else b"") for k, v in found)


def log_client_error(error: KafkaError) -> None:
    """Log an error from a client's `error_cb`; its calls raise the errors that matter."""
    log.warning("kafka client error", error=str(error))
