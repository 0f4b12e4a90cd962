"""Publishes the records of another log in their order, each to the partition that it names."""

from collections.abc import Sequence
from typing import Any

from confluent_kafka import Producer

from sagakit.kafka.client import LIBRARY_LOG
from sagakit.kafka.publisher import FLUSH_S, GONE, PublishFailed, produce, producer_settings
from sagakit.messages.envelope import Record
from sagakit.replay_mode import refuse_in_replay

__all__ = ["RecordCopier"]


class RecordCopier:
    """Copies records. After an error the log has the first of what was given, and no other."""

    def __init__(self, bootstrap_servers: str) -> None:
        refuse_in_replay(self)
        settings = producer_settings(bootstrap_servers, "restore")
        self._producer = Producer(settings, logger=LIBRARY_LOG)

    def copy(self, records: Sequence[Record]) -> None:
        """Publish all of them, acks=all. Raises PublishFailed: then give up this copier."""
        acknowledged, errors = 0, list[str]()

        def done(error: Any, _: Any) -> None:
            nonlocal acknowledged
            acknowledged += error is None
            errors.extend([str(error)] if error is not None else [])

        try:
            for record in records:
                produce(
                    self._producer,
                    record.topic,
                    key=record.key,
                    value=record.value,
                    partition=record.partition,
                    headers=list(record.headers),
                    on_delivery=done,
                )
                if errors:
                    break
            self._producer.flush(FLUSH_S)
        except GONE as error:
            errors.append(str(error))
        if acknowledged < len(records):
            self._producer.purge(in_queue=True, in_flight=True)
            raise PublishFailed({}, errors[0] if errors else f"no answer within {FLUSH_S:g} s")
