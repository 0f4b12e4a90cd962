"""Checks the topics on which correct work depends, at the start and while running."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

from sagakit.errors import ConfigurationError
from sagakit.kafka.client import ANSWER_S, admin_client

log = structlog.get_logger(__name__)
HELP = {"saga_topic_faults": "What is wrong with a topic: missing, or set wrong; by topic"}
WANTED = {
    "message.timestamp.type": ("LogAppendTime", "clocks of publishers would date events"),
    "cleanup.policy": ("delete", "compaction would remove events of a saga"),
}
"""Setting of a topic -> the value it must have, and what would happen with another one."""
_UNTOLD = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # `_missing` says so
        KafkaError.TOPIC_AUTHORIZATION_FAILED,  # this user may not read settings
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)


@dataclass(frozen=True, slots=True)
class TopicFault:
    """One fault of a topic: missing, or set wrong; `text` ends with the command that mends it.

    refused: no process starts with it.
    """

    topic: str
    text: str
    refused: bool


class TopicGuard:
    """Finds faults of topics. Call `refuse` at the start and `check` now and then.

    `topics` must have the same number of partitions, `alone` any. `faults`: those of the last
    check.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        participant: str,
        topics: Collection[str],
        alone: Collection[str] = (),
    ) -> None:
        self._servers, self._participant = bootstrap_servers, participant
        self._even = sorted(topics)
        self._topics = [*self._even, *alone]
        self._admin = admin_client(bootstrap_servers)
        self.faults: tuple[TopicFault, ...] = ()

    def refuse(self) -> None:
        """Raise ConfigurationError for faults that must not be, one line each; else as `check`."""
        self.check()
        if refused := [fault.text for fault in self.faults if fault.refused]:
            raise ConfigurationError("\n".join(refused))

    def check(self) -> None:
        """Read settings and partitions of the topics. Raises KafkaException."""
        known = self._admin.list_topics(timeout=ANSWER_S).topics
        counts = {name: len(known[name].partitions) for name in self._topics if name in known}
        found = (*self._missing(counts), *self._wrong_settings(), *self._uneven(counts))
        for fault in found:
            if fault not in self.faults:
                log.error("a topic is not as it must be", topic=fault.topic, fault=fault.text)
        self.faults = found

    def _missing(self, counts: Mapping[str, int]) -> Iterator[TopicFault]:
        partitions = max((n for name, n in counts.items() if name in self._even), default=0)
        for topic in self._topics:
            if topic not in counts:
                yield TopicFault(
                    topic,
                    f"topic {topic} does not exist, so what is published to it waits; if it was "
                    "deleted, see docs/how-to/republish-a-topic.md, else run: kafka-topics.sh "
                    f"--bootstrap-server {self._servers} --create --topic {topic} "
                    f"--partitions {partitions or 'NUMBER'} "
                    "--config message.timestamp.type=LogAppendTime",
                    refused=False,
                )

    def _wrong_settings(self) -> Iterator[TopicFault]:
        asked = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in self._topics]
        answers = self._admin.describe_configs(asked, request_timeout=ANSWER_S)
        for resource, answer in answers.items():
            try:
                settings = answer.result()
            except KafkaException as error:
                if error.args[0].code() not in _UNTOLD:
                    raise
                continue
            for name, (wanted, otherwise) in WANTED.items():
                value = settings[name].value
                if value != wanted:
                    yield TopicFault(
                        resource.name,
                        f"topic {resource.name} has {name}={value}, so {otherwise}; run: "
                        f"kafka-configs.sh --bootstrap-server {self._servers} --alter "
                        f"--entity-type topics --entity-name {resource.name} "
                        f"--add-config {name}={wanted}",
                        refused=True,
                    )

    def _uneven(self, counts: Mapping[str, int]) -> Iterator[TopicFault]:
        most = max((counts.get(topic, 0) for topic in self._even), default=0)
        for topic in self._even:
            partitions = counts.get(topic, most)
            if partitions < most:
                yield TopicFault(
                    topic,
                    f"topic {topic} has {partitions} partitions and others have {most}, so events "
                    "of one saga lie on different partitions, and deadlines are judged only when "
                    f"all of them are read; run: kafka-topics.sh --bootstrap-server "
                    f"{self._servers} --alter --topic {topic} --partitions {most}",
                    refused=False,
                )

    def read(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yield the gauge of faults."""
        for topic in self._topics:
            faults = sum(fault.topic == topic for fault in self.faults)
            labels = {"participant": self._participant, "topic": topic}
            yield "saga_topic_faults", labels, faults
