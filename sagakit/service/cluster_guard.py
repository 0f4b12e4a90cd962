"""Checks what a process finds on its Kafka cluster, at the start and while running."""

from collections.abc import Callable, Collection

import structlog
from sqlalchemy import Engine

from sagakit.kafka.client import KafkaException
from sagakit.kafka.consumer import SESSION_S
from sagakit.kafka.group_guard import GroupGuard, Identity, client_id
from sagakit.kafka.topic_guard import TopicGuard
from sagakit.retry import retry_transaction
from sagakit.service.lifecycle import StartStep
from sagakit.service.settings import ServiceSettings
from sagakit.stop_signal import StopSignal
from sagakit.store.database_identity import identity_of

log = structlog.get_logger(__name__)
CHECK_S = 30.0
"""Interval of the checks while running, in seconds."""
CHECK_AGAIN_S = 3.0
"""The same while a topic is not as it must be: its mending is seen soon."""


class ClusterGuard:
    """Checks the topics and the consumer group of a process. Call `run` in a thread.

    `topics` and `alone`: see `TopicGuard`. `join_as` is called with the client id under which the
    process has to join its group.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        participant: str,
        group: str,
        topics: Collection[str],
        engine: Engine,
        join_as: Callable[[str], None],
        *,
        alone: Collection[str] = (),
    ) -> None:
        servers = settings.bootstrap_servers
        self.topics = TopicGuard(servers, participant, topics, alone)
        self._group = GroupGuard(servers, group, SESSION_S + 2)
        self._instance_id, self._engine, self._join_as = settings.instance_id, engine, join_as
        self._database: Identity = (0, 0)

    def step(self) -> StartStep:
        """Return the step of the start; it raises ConfigurationError."""
        return StartStep("topics and consumer group are checked", self._refuse)

    def _refuse(self, stop: StopSignal) -> None:
        """Refuse what must not be. If no broker answers, the checks while running find it."""
        self._database = retry_transaction(lambda: identity_of(self._engine), stop)
        self._join_as(client_id(self._instance_id, self._database))
        try:
            self.topics.refuse()
            self._group.refuse(self._database, stop)
        except KafkaException as error:
            log.warning("topics and group cannot be checked yet", error=str(error))

    def run(self, stop: StopSignal) -> None:
        """Check now and then until `stop`. Raises ConfigurationError for a shared group."""
        while not stop.wait(CHECK_AGAIN_S if self.topics.faults else CHECK_S):
            try:
                self.topics.check()
                self._group.check(self._database)
            except KafkaException as error:
                log.info("topics and group cannot be checked, will try again", error=str(error))
