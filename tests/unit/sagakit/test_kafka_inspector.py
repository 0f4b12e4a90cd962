"""End offsets of a topic whose leader moves meanwhile."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from sagakit.kafka import inspector
from sagakit.kafka.inspector import LogEnds


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
