"""A topic that is deleted, recreated and filled at once is read from its first record, whatever its
reader was doing meanwhile, and its offsets are committed again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from sagakit.kafka.inspector import positions
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import OutboxRow
from tests.kafka import create_topic, delete_topics, publish_until_taken
from tests.stack import PATIENCE_S, TestInfra, until

READER = """
import signal, sys
from sagakit.errors import TopicRecreated
from sagakit.kafka.consumer import BusConsumer

servers, group, topic, halt, ending = *sys.argv[1:], []
signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
bus = BusConsumer(servers, group, group, [topic])
while not ending:
    try:
        records = bus.poll(500, 1.0)
    except TopicRecreated:  # a service ends here, and is started again
        bus.close()
        bus = BusConsumer(servers, group, group, [topic])
        continue
    print(*(record.value.decode() for record in records), sep="\\n", end="\\n", flush=True)
    if records and halt:
        halt = ""
        signal.raise_signal(signal.SIGSTOP)
    bus.store(records)
bus.close()
"""
OLD = 100


class Log:
    """A topic with one partition, its reader's group, and what the reader has read."""

    def __init__(self, infra: TestInfra, prefix: str, read: Path) -> None:
        self.servers, self.read = infra.bootstrap_servers, read
        self.topic, self.group = create_topic(self.servers, f"{prefix}log", 1), f"{prefix}group"

    @contextmanager
    def reader(self, halt: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """`halt`: it stands still once it has read, before it says that it has handled that."""
        with self.read.open("a") as out:
            arguments = (self.servers, self.group, self.topic, halt)
            process = subprocess.Popen([sys.executable, "-c", READER, *arguments], stdout=out)
            try:
                yield process
            finally:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                process.wait(PATIENCE_S)

    def fill(self, word: str, count: int) -> None:
        publisher = Publisher(self.servers, "filler")
        rows = [OutboxRow(self.topic, "a", (), f"{word}{n}".encode(), n) for n in range(count)]
        publish_until_taken(lambda: publisher.publish(rows), f"{count} records of {word}")
        publisher.discard()

    def recreate_topic(self, count: int) -> None:
        delete_topics(self.servers, [self.topic])

        def made() -> bool:
            try:
                create_topic(self.servers, self.topic, 1)
            except KafkaException:
                return False  # the old one is not gone yet
            return True

        until(made, "the topic is there again")
        self.fill("new", count)

    def has(self, word: str, count: int) -> bool:
        """All of these have been read."""
        return {f"{word}{n}" for n in range(count)} <= set(self.read.read_text().split())

    def committed(self, offset: int) -> bool:
        found = positions(self.servers, self.group, [self.topic])
        return found[self.topic, 0] == (offset, offset)


def stands_still(process: subprocess.Popen[bytes]) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG) is not None


@pytest.fixture
def log(infra: TestInfra, topic_prefix: str, tmp_path: Path) -> Log:
    log = Log(infra, topic_prefix, tmp_path / "read")
    log.fill("old", OLD)
    return log


@pytest.mark.parametrize("count", [OLD // 2, 3 * OLD])
@pytest.mark.parametrize("meanwhile", ["it reads", "it stands still", "it is gone"])
def test_a_topic_recreated_is_read_from_its_first_record(
    log: Log, meanwhile: str, count: int
) -> None:
    with log.reader() as reader:
        until(lambda: log.has("old", OLD) and log.committed(OLD), "the old ones are read")
        if meanwhile == "it stands still":
            reader.send_signal(signal.SIGSTOP)
        elif meanwhile == "it is gone":
            reader.terminate()
            reader.wait(PATIENCE_S)
        log.recreate_topic(count)
        reader.send_signal(signal.SIGCONT)
        if meanwhile != "it is gone":
            until(lambda: log.has("new", count), "all of the new ones")
            until(lambda: log.committed(count), "their offsets")
    if meanwhile == "it is gone":
        with log.reader():
            until(lambda: log.has("new", count), "all of the new ones")
            until(lambda: log.committed(count), "their offsets")


@pytest.mark.parametrize("count", [OLD // 2, 3 * OLD])
def test_what_was_read_before_a_topic_was_recreated_is_no_offset_of_the_new_one(
    log: Log, count: int
) -> None:
    with log.reader("halt") as reader:
        until(lambda: stands_still(reader), "it has read, and stands still")
        log.recreate_topic(count)
        reader.send_signal(signal.SIGCONT)
        until(lambda: log.has("new", count), "all of the new ones")
        until(lambda: log.committed(count), "their offsets")
