"""End offsets of a topic whose leader moves meanwhile."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from sagakit.kafka import inspector
from sagakit.kafka.inspector import LogEnds, read_until


class Answers:
    """A client of one topic with one partition; each request gets the next answer."""

    def __init__(self, *answers: int | KafkaError) -> None:
        self.answers = list(answers)

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(topics={"a.events": SimpleNamespace(partitions={0: None})})

    def list_offsets(self, asked: Any, **_: Any) -> Any:
        found: Future[Any] = Future()
        answer = self.answers.pop(0)
        if isinstance(answer, KafkaError):
            found.set_exception(KafkaException(answer))
        else:
            found.set_result(SimpleNamespace(offset=answer))
        return dict.fromkeys(asked, found)


def ends_with(monkeypatch: pytest.MonkeyPatch, client: Answers, timeout_s: float) -> Any:
    monkeypatch.setattr(inspector, "admin_client", lambda *_: client)
    monkeypatch.setattr(inspector, "ASK_AGAIN_S", 0.0)
    return LogEnds("nowhere:9092").ends(["a.events"], timeout_s)


def test_ends_are_read_again_while_a_leader_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)
    elected = KafkaError(KafkaError.LEADER_NOT_AVAILABLE)
    restarted = KafkaError(KafkaError.UNKNOWN_LEADER_EPOCH)

    answers = Answers(moved, elected, restarted, 7)

    assert ends_with(monkeypatch, answers, 60.0) == {("a.events", 0): 7}


def test_a_leader_that_does_not_come_in_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = Answers(*[KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)] * 2)

    with pytest.raises(KafkaException, match="NOT_LEADER"):
        ends_with(monkeypatch, moved, -1.0)

    assert len(moved.answers) == 1, "its time was over, so it was not asked again"


def test_another_error_is_raised_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = Answers(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), 7)

    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        ends_with(monkeypatch, denied, 60.0)

    assert denied.answers == [7]


def committed_with(
    monkeypatch: pytest.MonkeyPatch, answers: list[int | KafkaError], timeout_s: float
) -> Any:
    """What `read_until` returns if the group's coordinator gives these answers in turn."""

    class Coordinator:
        def committed(self, wanted: list[TopicPartition], timeout: float) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, KafkaError):
                raise KafkaException(answer)
            return [TopicPartition(one.topic, one.partition, answer) for one in wanted]

        def close(self) -> None:
            pass

    monkeypatch.setattr(inspector, "groupless_consumer", lambda *_: Coordinator())
    monkeypatch.setattr(inspector, "ASK_AGAIN_S", 0.0)
    return read_until("nowhere:9092", "group", {("a.events", 0): 9}, {}, timeout_s)


def test_a_coordinator_that_moves_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = (
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
    )
    answers: list[int | KafkaError] = [*map(KafkaError, codes), 7]
    assert committed_with(monkeypatch, answers, 60.0) == {("a.events", 0): 7}


def test_a_coordinator_is_asked_in_time_and_for_what_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved: list[int | KafkaError] = [KafkaError(KafkaError.NOT_COORDINATOR), 7]
    with pytest.raises(KafkaException, match="NOT_COORDINATOR"):
        committed_with(monkeypatch, moved, -1.0)
    denied: list[int | KafkaError] = [KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED), 7]
    with pytest.raises(KafkaException, match="GROUP_AUTHORIZATION"):
        committed_with(monkeypatch, denied, 60.0)
    assert moved == denied == [7], "neither was asked again"
