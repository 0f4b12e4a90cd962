"""A replica that comes back with further topics, as after a new flow version, reads them."""

from contextlib import closing

from sagakit.kafka.client import admin_client, topic_ids
from sagakit.kafka.consumer import BusConsumer
from tests.kafka import create_topic
from tests.stack import TestInfra, until


def test_a_replica_that_returns_at_once_is_assigned_the_topics_it_reads_now(
    infra: TestInfra, topic_prefix: str
) -> None:
    servers = infra.bootstrap_servers
    old, new = (create_topic(servers, f"{topic_prefix}{name}", 2) for name in ("old", "new"))

    admin = admin_client(servers)
    until(lambda: len(topic_ids(admin, {old, new})) == 2, "the broker knows both topics")

    def read(*topics: str) -> None:
        with closing(
            BusConsumer(servers, f"{topic_prefix}group", "one", topics, static=True)
        ) as bus:

            def assigned() -> set[str]:
                bus.poll(1, 0.1)
                return {topic for topic, _ in bus.assigned}

            until(lambda: assigned() == {*topics}, f"{topics} are assigned")

    read(old)
    read(old, new)
    read(new)
