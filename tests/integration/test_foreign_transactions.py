"""The publisher of a demo or a chaos run that always has a transaction open on every partition."""

from saga_lab.devstack.transactions import ForeignProducer, always_open
from sagakit.kafka.inspector import LogEnds, read_log
from tests.kafka import create_topic
from tests.stack import TestInfra, until


def test_one_is_always_open_and_nobody_ever_hears_of_its_records(
    infra: TestInfra, topic_prefix: str
) -> None:
    servers = infra.bootstrap_servers
    topic = create_topic(servers, f"{topic_prefix}events", 2)
    inspector = LogEnds(servers)
    until(lambda: inspector.ids([topic]), "the broker tells of the topic")
    with always_open(servers, [topic]):
        ends = until(lambda: inspector.ends([topic]) if _hidden(inspector, topic) else None, "one")
        first = inspector.readable_ends([topic])
        until(
            lambda: all(
                end > first[place] for place, end in inspector.readable_ends([topic]).items()
            ),
            "the first has ended",
        )
        assert _hidden(inspector, topic), "another is open"
    assert all(end > ends[place] for place, end in inspector.ends([topic]).items())
    until(lambda: not _hidden(inspector, topic), "the last has ended")
    assert list(read_log(servers, [topic])) == []


def test_a_producer_that_comes_back_aborts_what_it_left_open(
    infra: TestInfra, topic_prefix: str
) -> None:
    servers = infra.bootstrap_servers
    topic = create_topic(servers, f"{topic_prefix}events", 1)
    inspector = LogEnds(servers)
    ForeignProducer(servers, topic).begin([(topic, 0)], [b"abandoned"])
    assert inspector.readable_ends([topic]) == {(topic, 0): 0}
    ForeignProducer(servers, topic)
    until(lambda: inspector.readable_ends([topic]) == {(topic, 0): 2}, "it is aborted")
    assert list(read_log(servers, [topic])) == []


def _hidden(inspector: LogEnds, topic: str) -> bool:
    """Tell whether every partition has records that nobody can read yet."""
    readable = inspector.readable_ends([topic])
    return all(end > readable[place] for place, end in inspector.ends([topic]).items())
