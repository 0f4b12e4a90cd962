"""What is read from the log without a group, up to its end."""

from saga_lab.chaos.raw_batches import ZSTD, publish_raw
from sagakit.kafka.inspector import read_log
from sagakit.messages.envelope import OutboxRow
from tests.kafka import create_topic
from tests.stack import TestInfra


def test_a_batch_at_the_end_that_cannot_be_unpacked_is_read_as_one_record(
    infra: TestInfra, topic_prefix: str
) -> None:
    # Given a good record, and behind it a small batch of 40 records that unpacks to 160 MB
    servers = infra.bootstrap_servers
    topic = create_topic(servers, f"{topic_prefix}events", 1)
    publish_raw(servers, [OutboxRow(topic, "good", (), b"1")])
    publish_raw(servers, [OutboxRow(topic, "bomb", (), bytes(4 * 2**20))] * 40, compression=ZSTD)
    # When the log is read
    records = list(read_log(servers, [topic]))
    # Then one record stands for the batch, at its last offset
    assert [(record.key, record.offset) for record in records] == [(b"good", 0), (None, 40)]


def test_the_last_records_of_each_partition_are_read_in_log_time(
    infra: TestInfra, topic_prefix: str
) -> None:
    servers = infra.bootstrap_servers
    topic = create_topic(servers, f"{topic_prefix}events", 2)
    of: dict[int, list[int]] = {0: [], 1: []}
    for n in range(12):
        partition = 0 if n % 3 else 1
        publish_raw(servers, [OutboxRow(topic, "key", (), b"%d" % n)], partition)
        of[partition].append(n)
    last = [int(record.value or b"") for record in read_log(servers, [topic], last=2)]
    assert last == sorted(of[0][-2:] + of[1][-2:])
