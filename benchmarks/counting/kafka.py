"""Counts the requests of a connection to Kafka from the bytes that pass."""

import struct

from benchmarks.counting.model import KAFKA_REQUESTS, Counts

# https://kafka.apache.org/protocol#protocol_api_keys
NAMES = {
    0: "Produce",
    1: "Fetch",
    2: "ListOffsets",
    3: "Metadata",
    8: "OffsetCommit",
    9: "OffsetFetch",
    10: "FindCoordinator",
    11: "JoinGroup",
    12: "Heartbeat",
    13: "LeaveGroup",
    14: "SyncGroup",
    15: "DescribeGroups",
    16: "ListGroups",
    18: "ApiVersions",
    19: "CreateTopics",
    22: "InitProducerId",
    23: "OffsetForLeaderEpoch",
    32: "DescribeConfigs",
    60: "DescribeCluster",
    68: "ConsumerGroupHeartbeat",
    71: "GetTelemetrySubscriptions",
    72: "PushTelemetry",
    75: "DescribeTopicPartitions",
}
_HEAD = struct.Struct("!ih")
"""The beginning of a request: the size of what follows, of which the key of the API is the first
part."""
_KEY_BYTES = 2


class KafkaConnection:
    """Follows one connection of a service."""

    def __init__(self, counts: Counts, service: str) -> None:
        self._counts, self._service = counts, service
        self._head, self._left = b"", 0

    def asked(self, data: bytes) -> None:
        """Count the client's requests. Of a request only the head is kept."""
        while data:
            if self._left:
                passed = min(self._left, len(data))
                self._left, data = self._left - passed, data[passed:]
                continue
            wanted = _HEAD.size - len(self._head)
            self._head, data = self._head + data[:wanted], data[wanted:]
            if len(self._head) == _HEAD.size:
                size, key = _HEAD.unpack(self._head)
                self._head, self._left = b"", size - _KEY_BYTES
                self._counts.whats[self._service][KAFKA_REQUESTS] += 1
                self._counts.requests[self._service][NAMES.get(key, f"API {key}")] += 1

    def answered(self, data: bytes) -> None:
        """Pass over the server's bytes: each request has one answer, or none."""
