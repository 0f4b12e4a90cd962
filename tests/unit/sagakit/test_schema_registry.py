"""The registry client: conflicts are looked up, passing faults are no property of a record."""

import json
from collections.abc import Callable
from itertools import count
from threading import Event
from uuid import UUID

import httpx2
import pytest

from sagakit.errors import ConfigurationError, RegistryUnavailable, Undecodable
from sagakit.handling.parking import decode_message
from sagakit.messages import schema_registry
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from sagakit.messages.framing import CONFLUENT
from sagakit.messages.schema_registry import CLIENT, COMPATIBILITY, ConfluentRegistry
from sagakit.retry import is_transient
from sagakit.telemetry.metrics import UNANSWERED, MeasuredRegistry
from tests.toy_saga import CONTRACT, Ticked

SCHEMA = {"type": "record", "name": "Done", "fields": []}
SUBJECT = "saga.events-Done"
SUBJECTS = {
    f"{event.owner}.events-{name}": event.owner for name, event in CONTRACT.event_types.items()
}
OWN = [subject for subject, owner in SUBJECTS.items() if owner == Ticked.owner]
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


class FakeRegistry:
    """The requests that registration sends, answered from memory."""

    def __init__(self) -> None:
        self.ids: dict[tuple[str, str], int] = {}
        self.levels: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path, body = request.url.path, json.loads(request.content or "{}")
        self.requests.append((request.method, path))
        _, kind, subject, *rest = path.split("/")
        known = (subject, body.get("schema", ""))
        match request.method, kind, rest:
            case "PUT", "config", []:
                self.levels[subject] = body["compatibility"]
                return httpx2.Response(200, json=body)
            case "GET", "config", [] if subject in self.levels:
                return httpx2.Response(200, json={"compatibilityLevel": self.levels[subject]})
            case "POST", "subjects", ["versions"]:
                assert self.levels[subject] == COMPATIBILITY, "no schema without its level"
                return httpx2.Response(
                    200, json={"id": self.ids.setdefault(known, 1 + len(self.ids))}
                )
            case "POST", "subjects", [] if known in self.ids:
                found = {"id": self.ids[known], "subject": subject, "version": 1}
                return httpx2.Response(200, json={**found, "schema": known[1]})
        return httpx2.Response(404, json={"error_code": 40401, "message": "not found"})


@pytest.fixture
def fake(answers: list[Answer]) -> FakeRegistry:
    found = FakeRegistry()
    answers.append(found)
    return found


def start(owner: str) -> Codec:
    """What each start of a process does."""
    return Codec(CONTRACT, ConfluentRegistry("http://registry", owner))


def test_a_second_start_only_looks_each_schema_up_and_at_the_levels_of_its_own(
    fake: FakeRegistry,
) -> None:
    first = start(Ticked.owner)
    assert fake.levels == dict.fromkeys(SUBJECTS, COMPATIBILITY)
    fake.requests.clear()
    again = start(Ticked.owner)
    looked_up = [("POST", f"/subjects/{subject}") for subject in SUBJECTS]
    levels = [("GET", f"/config/{subject}") for subject in OWN]
    assert sorted(fake.requests) == sorted(looked_up + levels)
    assert again.body(Ticked("a", "x")) == first.body(Ticked("a", "x"))
    fake.requests.clear()
    start("another")
    assert fake.requests == looked_up


@pytest.mark.parametrize("level", ["NONE", None])
def test_the_owner_restores_a_level_that_was_changed_or_removed(
    fake: FakeRegistry, level: str | None
) -> None:
    start(Ticked.owner)
    subject = OWN[0]
    fake.levels.pop(subject)
    if level:
        fake.levels[subject] = level
    start("another")
    assert fake.levels.get(subject) == level, "another participant leaves it alone"
    start(Ticked.owner)
    assert fake.levels[subject] == COMPATIBILITY


def test_a_new_version_is_registered_under_the_level(fake: FakeRegistry) -> None:
    first = ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA)
    fake.levels[SUBJECT] = "NONE"
    newer = {**SCHEMA, "doc": "Newer."}
    assert ConfluentRegistry("http://registry").register(SUBJECT, newer) != first
    assert fake.levels[SUBJECT] == COMPATIBILITY


def test_a_conflict_over_the_settings_of_a_subject_is_asked_again(answers: list[Answer]) -> None:
    answers += [says(404, {}), says(409, "busy"), says(404, {}), says(409, "busy")]
    answers += [says(404, {}), says(200, {}), says(200, {"id": 7})]
    assert ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA) == 7


def test_a_level_that_others_keep_changing_is_asked_for_until_it_is_there(
    answers: list[Answer],
) -> None:
    """On a busy machine all but one service of a first start ended after eight conflicts."""
    asked: list[str] = []

    def busy(request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        asked.append(f"{request.method} {path}")
        if request.method == "PUT":
            return httpx2.Response(409, json={"error_code": 409, "message": "busy"})
        if request.method == "GET" and asked.count(asked[-1]) > 30:
            return httpx2.Response(200, json={"compatibilityLevel": COMPATIBILITY})
        if path.endswith("/versions"):
            return httpx2.Response(200, json={"id": 7})
        return httpx2.Response(404, json={"error_code": 40401})

    answers += [busy]
    assert ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA) == 7
    assert asked.count(f"POST /subjects/{SUBJECT}/versions") == 1


def test_a_level_that_cannot_be_set_is_no_refusal_of_the_schema(
    answers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_registry, "CONFLICT_S", 0.2)
    paths = {"PUT": 409}
    answers += [lambda r: httpx2.Response(paths.get(r.method, 404), json={"error_code": 1})]
    with pytest.raises(RegistryUnavailable, match="FULL_TRANSITIVE"):
        ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA)


def test_what_another_process_has_just_registered_is_taken(answers: list[Answer]) -> None:
    asked: list[str] = []

    def known(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        assert json.loads(json.loads(request.content)["schema"]) == SCHEMA
        return httpx2.Response(200, json={"id": 9})

    answers += [says(404, {}), says(200, {}), says(409, "version exists"), known]
    assert ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA) == 9
    assert asked == [f"/subjects/{SUBJECT}"]


def test_a_schema_that_is_refused_again_and_again_says_so_with_the_remedy(
    answers: list[Answer],
) -> None:
    refusal = {"error_code": 409, "message": "incompatible"}
    statuses = {"/subjects/" + SUBJECT: 404, "/config/" + SUBJECT: 200}
    answers += [lambda r: httpx2.Response(statuses.get(r.url.path, 409), json=refusal)]
    with pytest.raises(ConfigurationError, match=r"incompatible.*give new fields a default"):
        ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA)


def test_a_lost_connection_and_a_server_error_are_tried_again(answers: list[Answer]) -> None:
    def lost(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    answers += [lost, says(503), says(200, {"schema": json.dumps(SCHEMA)})]
    registry = ConfluentRegistry("http://registry")
    assert registry.lookup(3) == [SCHEMA]
    answers[:] = [says(500)]
    assert registry.lookup(3) == [SCHEMA], "from the client's cache"


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
    with pytest.raises(RegistryUnavailable):
        ConfluentRegistry("http://registry").lookup(3)
    assert len(asked) == (1 if status == 401 else 1 + int(CLIENT["max.retries"]))


def test_an_id_that_was_not_found_is_asked_for_again(answers: list[Answer]) -> None:
    """A replica of the registry may lag behind the one that registered the schema."""
    answers += [says(404, {}), says(200, {"schema": json.dumps(SCHEMA)})]
    registry = ConfluentRegistry("http://registry")
    with pytest.raises(KeyError, match="schema id 3"):
        registry.lookup(3)
    assert registry.lookup(3) == [SCHEMA]


def test_a_registry_that_is_down_at_the_start_is_no_wrong_setting(answers: list[Answer]) -> None:
    answers += [says(503, {"message": "starting"})]
    with pytest.raises(RegistryUnavailable, match="starting"):
        ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA)


def test_credentials_in_the_url_are_sent(answers: list[Answer]) -> None:
    def checked(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"].startswith("Basic ")
        return httpx2.Response(200, json={"schema": json.dumps(SCHEMA)})

    answers += [checked]
    assert ConfluentRegistry("https://ada:secret@registry").lookup(1) == [SCHEMA]


HTML = httpx2.Response(200, text="<html>Down for maintenance</html>")


def no_answer(request: httpx2.Request) -> httpx2.Response:
    """A body that never ends."""
    Event().wait()
    raise AssertionError("never")


UNUSABLE: dict[str, Answer] = {
    "a web page": lambda r: HTML,
    "nothing": lambda r: httpx2.Response(204),
    "a list": says(200, []),
    "no object": says(200, "x"),
    "an empty object": says(200, {}),
    "null": says(200, {"id": None, "schema": None}),
    "a text as id": says(200, {"id": "7", "schema": 5}),
    "a negative id": says(200, {"id": -1, "schema": None}),
    "an id too large": says(200, {"id": 2**32}),
    "a web page for 404": lambda r: httpx2.Response(404, text="<html>"),
    "too many requests": says(429, {"error_code": 42901, "message": "slow down"}),
    "an end that never comes": no_answer,
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_answer_of_something_else_is_a_passing_fault(
    answers: list[Answer], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(schema_registry, "ANSWER_S", 0.2)
    answers += [UNUSABLE[kind]]
    registry = ConfluentRegistry("http://ada:s3cret@registry")
    for ask in (lambda: registry.register(SUBJECT, SCHEMA), lambda: registry.lookup(3)):
        named = r"http://\*\*\*@registry: .*REGISTRY_URL"
        with pytest.raises(RegistryUnavailable, match=named) as error:
            ask()
        assert "s3cret" not in str(error.value)
    answers[:] = [says(200, {"schema": json.dumps(SCHEMA)})]
    assert registry.lookup(3) == [SCHEMA], "no wrong answer was kept"


def test_a_record_waits_for_a_registry_that_does_not_answer(
    fake: FakeRegistry, answers: list[Answer]
) -> None:
    codec = start(Ticked.owner)
    record = Record("left.events", 0, 1, 1, b"a", CONFLUENT + (999).to_bytes(4, "big") + b"x")
    answers[:] = [lambda r: HTML]
    with pytest.raises(RegistryUnavailable) as error:
        decode_message(codec, record)
    assert is_transient(error.value)
    answers[:] = [says(404, {"error_code": 40403, "message": "Schema not found"})]
    assert isinstance(decode_message(codec, record).poison, Undecodable)


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (says(401, {"error_code": 40101, "message": "Unauthorized"}), "https://user:password@"),
        (lambda r: httpx2.Response(403, text="forbidden"), "https://user:password@host"),
        (
            lambda r: httpx2.Response(301, headers={"Location": "https://x"}),
            "registry's own address",
        ),
        (lambda r: httpx2.Response(405, text="<html>"), "registry's own address"),
    ],
)
def test_a_wrong_login_or_address_says_so_at_the_start(
    answers: list[Answer], answer: Answer, remedy: str
) -> None:
    answers += [answer]
    with pytest.raises(ConfigurationError, match="SAGA_SCHEMA_REGISTRY_URL") as error:
        ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA)
    assert remedy in str(error.value)
    assert "give new fields a default" not in str(error.value)


def test_a_registry_that_cannot_be_reached_names_its_address(answers: list[Answer]) -> None:
    def lost(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    answers += [lost]
    with pytest.raises(RegistryUnavailable, match="http://registry: ConnectError: refused; it is"):
        ConfluentRegistry("http://registry").register(SUBJECT, SCHEMA)


def test_a_registry_with_one_id_for_all_schemas_is_refused(answers: list[Answer]) -> None:
    answers += [says(200, {"id": 7, "compatibilityLevel": COMPATIBILITY})]
    with pytest.raises(ConfigurationError, match="LeftDone and Started the same id 7"):
        start("front")


@pytest.mark.parametrize("schema", ["syntax = 'proto3';", "[" * 100_000, "{"])
def test_a_registered_text_that_is_no_avro_schema_is_a_property_of_the_record(
    answers: list[Answer], schema: str
) -> None:
    """It never becomes readable: to wait for it would stop the participant."""
    answers += [says(200, {"schema": schema})]
    with pytest.raises(ValueError, match="schema id 3 is no Avro schema"):
        ConfluentRegistry("http://registry").lookup(3)


PART = {"type": "record", "name": "Part", "fields": [{"name": "x", "type": "string"}]}
WHOLE = {"type": "record", "name": "Whole", "fields": [{"name": "part", "type": "Part"}]}
GUID = UUID("01234567-89ab-4def-8123-456789abcdef")


def refers(schema: object, *names: str) -> Answer:
    referred = [{"name": name, "subject": f"{name}/of", "version": 2} for name in names]
    return says(200, {"schema": json.dumps(schema), "references": referred})


def by_path(**answer: Answer) -> Answer:
    """Answer by the third part of the path: a schema's id, or the subject."""

    def chosen(request: httpx2.Request) -> httpx2.Response:
        return answer[request.url.raw_path.decode().split("/")[2].partition("%")[0]](request)

    return chosen


def test_the_schemas_that_a_schema_refers_to_come_first(answers: list[Answer]) -> None:
    outer = {"type": "record", "name": "Outer", "fields": [{"name": "w", "type": "Whole"}]}
    answers += [
        by_path(ids=refers(outer, "Part", "Whole"), Whole=refers(WHOLE, "Part"), Part=refers(PART))
    ]
    assert ConfluentRegistry("http://registry").lookup(3) == [PART, WHOLE, outer]


def test_a_schema_referred_to_that_cannot_be_had_now_says_nothing(answers: list[Answer]) -> None:
    answers += [by_path(ids=refers(WHOLE, "Part"), Part=says(503, {}))]
    registry = ConfluentRegistry("http://registry")
    with pytest.raises(RegistryUnavailable):
        registry.lookup(3)
    answers[:] = [by_path(ids=refers(WHOLE, "Part"), Part=says(404, {"error_code": 40401}))]
    with pytest.raises(KeyError):
        registry.lookup(3)
    answers[:] = [by_path(ids=refers(WHOLE, "Part"), Part=refers(PART))]
    assert registry.lookup(3) == [PART, WHOLE]


def test_references_without_an_end_are_a_property_of_the_schema(answers: list[Answer]) -> None:
    numbers = count()
    answers += [lambda request: refers(PART, f"Part{next(numbers)}")(request)]
    with pytest.raises(ValueError, match="more than 100"):
        ConfluentRegistry("http://registry").lookup(3)


def test_a_guid_is_looked_up(answers: list[Answer]) -> None:
    def schema(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == f"/schemas/guids/{GUID}"
        return refers(SCHEMA)(request)

    answers += [schema]
    assert ConfluentRegistry("http://registry").lookup(GUID) == [SCHEMA]


@pytest.mark.parametrize(
    "answer",
    [
        says(404, {"error_code": 40403, "message": "Schema not found"}),
        says(405, {}),
        lambda r: httpx2.Response(404, text="<html>"),
        lambda r: httpx2.Response(405),
    ],
)
def test_a_registry_without_guids_holds_nobody_up(answers: list[Answer], answer: Answer) -> None:
    """Else one record with a GUID would stop every reader for good."""
    answers += [answer]
    with pytest.raises(KeyError):
        ConfluentRegistry("http://registry").lookup(GUID)


@pytest.mark.parametrize("answer", [says(503, {}), lambda r: HTML, says(429, {}), says(401, {})])
def test_a_guid_waits_for_a_registry_that_does_not_answer(
    answers: list[Answer], answer: Answer
) -> None:
    answers += [answer]
    with pytest.raises(RegistryUnavailable):
        ConfluentRegistry("http://registry").lookup(GUID)


def test_what_the_registry_does_not_answer_is_counted(answers: list[Answer]) -> None:
    """A reader stands meanwhile: somebody has to see it."""
    answers += [lambda r: HTML]
    measured = MeasuredRegistry(ConfluentRegistry("http://registry"), "counted")
    counted = UNANSWERED.labels("counted")._value
    with pytest.raises(RegistryUnavailable):
        measured.lookup(3)
    assert counted.get() == 1
    answers[:] = [says(404, {"error_code": 40403, "message": "Schema not found"})]
    with pytest.raises(KeyError):
        measured.lookup(3)
    assert counted.get() == 1
