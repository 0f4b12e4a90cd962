"""Reports records that retention removed before the monitor had read them."""

from collections.abc import Mapping

import structlog

from sagakit.messages.envelope import TopicPartitionKey
from sagakit.telemetry import metrics

log = structlog.get_logger(__name__)


def tell_lost(places: Mapping[TopicPartitionKey, tuple[int, int]]) -> None:
    """Log and count records that retention removed unread.

    places: partition -> the next offset to read, and the first that is left.
    """
    for (topic, partition), (following, first) in places.items():
        if following < first:
            metrics.count_lost("monitor")(topic, first - following)
            log.error(
                "retention has removed records that were not read",
                topic=topic,
                partition=partition,
                offsets=f"{following} to {first - 1}",
                remedy="docs/runbooks/lost-records.md",
            )
