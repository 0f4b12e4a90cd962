"""What an operator sees and does over HTTP: parked records redriven, discarded, effects, outbox."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from sagakit.handling.parking import decode_message
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from sagakit.store.postgres import PostgresDatabase, engine_for
from sagakit.store.skipped_records import skip_record
from sagakit.web.admin import ROWS_A_SAGA, admin
from sagakit.web.app import make_app
from tests.in_memory_app import ask
from tests.toy_saga import CONTRACT, NOW, Ticked, Wire, create_tables, handler_on, table_store


class AdminClient:
    """The counter's process as its operator sees it."""

    def __init__(self, url: str) -> None:
        self.engine = engine_for(url)
        create_tables(self.engine)
        store = table_store()
        self.handler = handler_on(PostgresDatabase(self.engine, store, lambda: NOW), store)
        self.wire = Wire(Codec(CONTRACT))
        self.checks: dict[str, str | None] = {"database": None}
        checks = {"database": lambda: self.checks["database"]}
        self.app = make_app("counter", checks, admin(self.engine, self.handler.redrive))

    def asks(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **parameters: str
    ) -> httpx2.Response:
        return ask(self.app, method, path, params=parameters, json=body)

    def gets(self, path: str, **parameters: str) -> Any:
        return self.asks("GET", path, None, **parameters).json()

    def reads(self, *records: Record) -> None:
        self.handler.handle([decode_message(self.wire.codec, r) for r in records])

    def tick(self, word: str, seq: int) -> Record:
        return self.wire.record(Ticked("a", word), seq)

    def garbage(self) -> Record:
        return self.wire.raw("front.events", b"a", b"garbage")

    def words(self) -> list[str]:
        with self.engine.connect() as connection:
            found = connection.execute(text("SELECT words FROM counts WHERE saga = 'toy/a'"))
            return list(found.scalar() or [])

    def parked(self) -> list[tuple[int, str]]:
        return [(row["id"], row["code"]) for row in self.gets("/admin/parked")]

    def discard(self, number: int) -> int:
        path = f"/admin/parked/{number}"
        return self.asks("DELETE", path, actor="ada", reason="it is garbage").status_code


@pytest.fixture
def operator(database_url: str) -> Iterator[AdminClient]:
    operator = AdminClient(database_url)
    yield operator
    operator.engine.dispose()


def test_what_is_parked_is_shown_with_its_reason(operator: AdminClient) -> None:
    operator.reads(operator.tick("boom", 1))
    (row,) = operator.gets("/admin/parked")
    assert (row["key"], row["code"], row["error"]) == ("toy/a", "decide", "ZeroDivisionError: boom")
    assert (row["topic"], row["seq"], row["source"]) == ("left.events", 1, "left")


def test_a_redrive_tells_what_is_left(operator: AdminClient) -> None:
    operator.reads(operator.tick("boom", 1), operator.tick("two", 2))
    answer = operator.asks("POST", "/admin/parked/toy/a/redrive").json()
    assert answer["handled"] == 0
    assert [row["code"] for row in answer["still_parked"]] == ["decide", "queued"]


def test_a_redrive_leaves_who_asked_for_it_in_the_audit(operator: AdminClient) -> None:
    operator.reads(operator.tick("boom", 1))
    path = "/admin/parked/toy/a/redrive"
    assert operator.asks("POST", path, actor="ada", reason="mended").status_code == 200
    assert operator.asks("POST", path).status_code == 200
    unnamed, named = operator.gets("/admin/audit")
    assert (named["action"], named["actor"], named["reason"]) == ("redrive", "ada", "mended")
    assert (named["subjects"], named["address"]) == (["toy/a"], "127.0.0.1")
    assert unnamed["actor"] == "not named"


def test_what_queued_behind_a_discarded_record_goes_on_by_itself(operator: AdminClient) -> None:
    operator.reads(operator.garbage(), operator.tick("one", 1), operator.tick("two", 2))
    (first, code), *_ = operator.parked()
    assert code == "undecodable"
    assert operator.discard(first) == 200
    assert (operator.words(), operator.parked()) == (["one", "two"], [])
    operator.reads(operator.tick("three", 3))
    assert operator.words() == ["one", "two", "three"]


def test_discarding_one_that_queues_leaves_the_gap_to_be_filled(operator: AdminClient) -> None:
    """The queue still waits for the missing event, which gets in when it comes."""
    operator.reads(operator.tick("two", 2), operator.garbage())
    (_, gap), (garbage, _) = operator.parked()
    assert gap == "gap"
    assert operator.discard(garbage) == 200
    operator.reads(operator.tick("one", 1))
    assert (operator.words(), operator.parked()) == (["one", "two"], [])


def test_discarding_what_is_not_there(operator: AdminClient) -> None:
    assert operator.discard(4711) == 404


def test_a_discard_wants_to_know_who_and_why(operator: AdminClient) -> None:
    assert operator.asks("DELETE", "/admin/parked/1").status_code == 422


def test_a_discard_leaves_a_row_that_says_who_and_why(operator: AdminClient) -> None:
    # Given a parked record
    operator.reads(operator.garbage())
    ((number, _),) = operator.parked()
    # When nobody discards it, then a person does
    refused = operator.asks("DELETE", f"/admin/parked/{number}", actor="system_timeout", reason="r")
    assert (refused.status_code, operator.gets("/admin/audit")) == (422, [])
    assert operator.discard(number) == 200
    # Then the audit has the record, the person and the reason, and a second try adds nothing
    assert operator.discard(number) == 404
    (row,) = operator.gets("/admin/audit")
    assert (row["action"], row["actor"], row["reason"]) == ("discard", "ada", "it is garbage")
    assert (row["subjects"], row["address"]) == (["toy/a"], "127.0.0.1")
    assert row["detail"]["code"] == "undecodable"
    assert operator.gets("/admin/audit", before=str(row["id"])) == []


def test_effects_and_outbox_are_shown_by_order(operator: AdminClient) -> None:
    operator.reads(operator.tick("call", 1))
    for path in ("/admin/effects", "/admin/outbox"):
        assert len(operator.gets(path)) == 1
        assert len(operator.gets(path, saga="toy/a")) == 1
        assert operator.gets(path, saga="other/a") == []
    (effect,) = operator.gets("/admin/effects")
    assert (effect["key"], effect["attempts"], effect["saga"]) == ("call", 0, "toy/a")


def test_what_blocks_many_orders_comes_in_one_answer(operator: AdminClient) -> None:
    operator.reads(operator.tick("call", 1), operator.tick("boom", 2), operator.tick("three", 3))
    asked = {"sagas": ["toy/a", "toy/never heard of"]}
    answer = operator.asks("POST", "/admin/blockers", asked).json()
    assert set(answer) == {"toy/a"}
    (effect,) = answer["toy/a"]["effects"]
    assert (effect["key"], effect["attempts"], effect["last_error"]) == ("call", 0, None)
    assert {row["topic"] for row in answer["toy/a"]["outbox"]} == {"counter.dlt", "counter.events"}
    assert [r["code"] for r in answer["toy/a"]["parked"]] == ["decide", "queued"]
    assert operator.asks("POST", "/admin/blockers", {"sagas": []}).json() == {}
    for wrong in (["toy/x"] * 10_001, ["toy/nul \0"], ["a"], "toy/a"):
        assert operator.asks("POST", "/admin/blockers", {"sagas": wrong}).status_code == 422


def test_of_one_order_only_the_oldest_rows_are_reported(operator: AdminClient) -> None:
    operator.reads(operator.tick("boom", 1), *(operator.tick("on", n) for n in range(2, 40)))
    answer = operator.asks("POST", "/admin/blockers", {"sagas": ["toy/a"]}).json()["toy/a"][
        "parked"
    ]
    assert [row["code"] for row in answer] == ["decide", *["queued"] * (ROWS_A_SAGA - 1)]


def test_readiness_says_what_is_wrong(operator: AdminClient) -> None:
    assert operator.asks("GET", "/health/ready").status_code == 200
    operator.checks["database"] = "the database does not answer"
    answer = operator.asks("GET", "/health/ready")
    assert answer.status_code == 503
    assert answer.json()["wrong"] == {"database": "the database does not answer"}
    assert operator.asks("GET", "/health/live").status_code == 200


def test_what_only_a_person_can_settle_is_listed_and_a_refused_event_is_published_again(
    operator: AdminClient,
) -> None:
    # Given an outcome that cannot be told, calls that have failed for long and for a moment, an
    # event that the broker refuses, a skipped record
    operator.reads(
        operator.tick("call", 1),
        *(operator.wire.record(Ticked(key, "call"), 1) for key in ("c", "d", "e")),
    )
    with operator.engine.begin() as connection:
        connection.execute(
            text("UPDATE effects SET last_error = 'EffectSetAside: 5' WHERE saga = 'toy/c'")
        )
        connection.execute(
            text("UPDATE effects SET last_error = 'OutcomeUntold: x' WHERE saga = 'toy/a'")
        )
        failing = text(
            "UPDATE effects SET last_error = 'EffectFailed: 500', "
            "failing_since = now() - make_interval(mins => :minutes) WHERE saga = :saga"
        )
        for minutes, saga in ((61, "toy/d"), (59, "toy/e")):
            connection.execute(failing, {"minutes": minutes, "saga": saga})
        connection.execute(
            text(
                "INSERT INTO outbox_refused (id, topic, key, headers, value, error) "
                "SELECT id, topic, key, headers, value, 'too large' FROM outbox WHERE key = 'a'"
            )
        )
        connection.execute(text("DELETE FROM outbox"))
        skip_record(connection, ("front.events", 0, 7), "toy/b", "ada", "it kills")
    # When the cases are asked for
    cases = operator.gets("/admin/cases")
    # Then each names its saga and its reason
    found = {(case["code"], case["saga"]): case["reason"] for case in cases}
    assert found == {
        ("outcome_untold", "toy/a"): "the outcome of call cannot be told: OutcomeUntold: x",
        ("effect_set_aside", "toy/c"): "call is called once an hour: EffectSetAside: 5",
        ("effect_failing", "toy/d"): "call has failed for more than 1 hour: EffectFailed: 500",
        ("event_refused", "toy/a"): "an event for counter.events can never be published: too large",
        ("record_skipped", "toy/b"): "ada had front.events/0@7 skipped: it kills",
    }
    # And page by page they are the same
    pages: list[Any] = []
    after: dict[str, str] = {}
    while page := operator.gets("/admin/cases", limit="2", **after):
        pages += page
        after = {"after": page[-1]["id"]}
    assert pages == cases
    # And the refused event is published again once, under the name of who says so
    [refused] = operator.gets("/admin/refused")
    path = f"/admin/refused/{refused['id']}/publish"
    who = {"actor": "ada", "reason": "limit raised"}
    assert operator.asks("POST", path, None, **who).status_code == 200
    assert operator.asks("POST", path, None, **who).status_code == 404
    assert [row["id"] for row in operator.gets("/admin/outbox")] == [refused["id"]]
    assert operator.gets("/admin/refused") == []
    [entry] = operator.gets("/admin/audit")
    assert (entry["action"], entry["actor"], entry["subjects"]) == (
        "publish_refused",
        "ada",
        ["toy/a"],
    )
