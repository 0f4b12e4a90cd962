"""The registry client: conflicts are looked up, passing faults are no property of a record."""

import json
from collections.abc import Callable

import httpx2
import pytest
from confluent_kafka.schema_registry import SchemaRegistryError

from sagakit.errors import ConfigurationError
from sagakit.messages.schema_registry import CLIENT, ConfluentRegistry

SCHEMA = {"type": "record", "name": "Done", "fields": []}
SUBJECT = "saga.events-Done"
Answer = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """What the registry answers, one request after the other; the last one again and again."""
    given: list[Answer] = []
    client = httpx2.Client

    def answer(request: httpx2.Request) -> httpx2.Response:
        return (given.pop(0) if len(given) > 1 else given[0])(request)

    def mocked(**options: object) -> httpx2.Client:
        return client(transport=httpx2.MockTransport(answer), **options)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx2, "Client", mocked)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return given


def says(status: int, content: object = None) -> Answer:
    return lambda request: httpx2.Response(status, json=content)


def test_a_conflict_over_the_settings_of_a_subject_is_asked_again(answers: list[Answer]) -> None:
    answers += [says(409, "busy"), says(409, "busy"), says(200, {}), says(200, {"id": 7})]
    assert ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA) == 7


def test_what_another_process_has_just_registered_is_taken(answers: list[Answer]) -> None:
    asked: list[str] = []

    def known(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        assert json.loads(json.loads(request.content)["schema"]) == SCHEMA
        return httpx2.Response(200, json={"id": 9})

    answers += [says(200, {}), says(409, "version exists"), known]
    assert ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA) == 9
    assert asked == [f"/subjects/{SUBJECT}"]


def test_a_schema_that_is_refused_again_and_again_says_so_with_the_remedy(
    answers: list[Answer],
) -> None:
    refusal = {"error_code": 409, "message": "incompatible"}
    answers += [lambda r: httpx2.Response(200 if r.method == "PUT" else 409, json=refusal)]
    with pytest.raises(ConfigurationError, match=r"incompatible.*give new fields a default"):
        ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA)


def test_a_lost_connection_and_a_server_error_are_tried_again(answers: list[Answer]) -> None:
    def lost(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    answers += [lost, says(503), says(200, {"schema": json.dumps(SCHEMA)})]
    registry = ConfluentRegistry("http://registry")
    assert registry.lookup(3) == SCHEMA
    answers[:] = [says(500)]
    assert registry.lookup(3) == SCHEMA, "from the client's cache"


@pytest.mark.parametrize("status", [500, 503, 429, 401])
def test_a_registry_that_cannot_answer_now_says_nothing_about_an_id(
    answers: list[Answer], status: int
) -> None:
    """Only KeyError would make the record undecodable, and park it."""
    asked: list[str] = []

    def unable(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(status, json={})

    answers += [unable]
    with pytest.raises(SchemaRegistryError):
        ConfluentRegistry("http://registry").lookup(3)
    assert len(asked) == (1 if status == 401 else 1 + int(CLIENT["max.retries"]))


def test_an_id_that_was_not_found_is_asked_for_again(answers: list[Answer]) -> None:
    """A replica of the registry may lag behind the one that registered the schema."""
    answers += [says(404, {}), says(200, {"schema": json.dumps(SCHEMA)})]
    registry = ConfluentRegistry("http://registry")
    with pytest.raises(KeyError, match="schema id 3"):
        registry.lookup(3)
    assert registry.lookup(3) == SCHEMA


def test_a_registry_that_is_down_at_the_start_is_no_wrong_setting(answers: list[Answer]) -> None:
    answers += [says(503, {"message": "starting"})]
    with pytest.raises(SchemaRegistryError, match="starting"):
        ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA)


def test_credentials_in_the_url_are_sent(answers: list[Answer]) -> None:
    def checked(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"].startswith("Basic ")
        return httpx2.Response(200, json={"schema": json.dumps(SCHEMA)})

    answers += [checked]
    assert ConfluentRegistry("https://ada:secret@registry").lookup(1) == SCHEMA
