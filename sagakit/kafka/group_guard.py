"""Refuses to share a consumer group with another deployment, which has other databases.

Kafka would give each of them half of the partitions. Each member's client id ends with the identity
of its database, so that every member tells whose it is.
"""

import time

import structlog
from confluent_kafka import KafkaError, KafkaException

from sagakit.errors import ConfigurationError
from sagakit.kafka.client import ANSWER_S, admin_client
from sagakit.kafka.inspector import is_away
from sagakit.stop_signal import StopSignal

log = structlog.get_logger(__name__)
LOOK_AGAIN_S = 1.0
Identity = tuple[int, int]
"""The identity of a database: of the server, and within it. The older of two is the smaller."""


def client_id(instance_id: str, identity: Identity) -> str:
    """Return the client id of a group member."""
    return f"{instance_id}@{identity[0]}-{identity[1]}"


def identity_in(client: str) -> Identity | None:
    """Return the identity in a client id; None if it holds none."""
    server, _, database = client.rpartition("@")[2].partition("-")
    if "@" not in client or not (server.isdecimal() and database.isdecimal()):
        return None
    return int(server), int(database)


class GroupGuard:
    """Notices members of another deployment in a group. The one with the younger database ends.

    `patience_s`: how long a start waits for such members to be gone; one that was killed remains
    for a session.
    """

    def __init__(self, bootstrap_servers: str, group: str, patience_s: float) -> None:
        self._group, self._patience_s = group, patience_s
        self._admin = admin_client(bootstrap_servers)

    def refuse(self, own: Identity, stop: StopSignal) -> None:
        """Raise ConfigurationError if members of an older deployment stay in the group.

        Raises KafkaException if no broker answers.
        """
        until = time.monotonic() + self._patience_s
        while True:
            try:
                self.check(own)
                return
            except ConfigurationError:
                if time.monotonic() > until or stop.wait(LOOK_AGAIN_S):
                    raise

    def check(self, own: Identity) -> None:
        """Raise ConfigurationError if a member's database is another and older one.

        A younger one is logged: its own check ends it. Raises KafkaException.
        """
        for client in self.clients():
            found = identity_in(client)
            if found is None or found == own:
                continue
            text = (
                f"the consumer group {self._group} is shared with {client.rpartition('@')[0]}, "
                "which has another database, so each would read only a part of the records; give "
                "this deployment a Kafka cluster of its own, or stop the other one"
            )
            if found < own:
                raise ConfigurationError(text)
            log.error("another deployment reads in the group of this one", fault=text)

    def clients_in_time(self, stop: StopSignal) -> list[str]:
        """Return the client ids of the members; wait until a broker coordinates the group.

        On a new cluster none does yet. Raises KafkaException.
        """
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return self.clients()
            except KafkaException as error:
                passing = is_away(error) and time.monotonic() < until
                if not passing or stop.wait(LOOK_AGAIN_S):
                    raise

    def clients(self) -> list[str]:
        """Return the client ids of the group's members. Raises KafkaException."""
        answers = self._admin.describe_consumer_groups([self._group], request_timeout=ANSWER_S)
        try:
            members = answers[self._group].result().members
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return []
            raise
        return [str(member.client_id) for member in members]
