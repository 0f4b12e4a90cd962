"""One conformance suite for both stores, memory and PostgreSQL: what the handler relies on."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from sagakit.decider import EffectResult
from sagakit.errors import EffectKeyClash
from sagakit.flow.loader import load
from sagakit.flow.model import Flows
from sagakit.flow.routing import Router
from sagakit.handling.handler import Disposition, decode_message
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import (
    Lease,
    Message,
)
from sagakit.messages.trace_ids import trace_of
from sagakit.store.ports import Changes, InboxRow
from tests.store_subjects import LATER, LEASE, Subject, effect, leased, parked, row
from tests.toy_saga import (
    CONTRACT,
    FLOW,
    FLOWS,
    NOW,
    OWNERS,
    Count,
    StartedHandler,
    Ticked,
    Wire,
    as_record,
    handler_on,
    participant,
    table_store,
)

(TOY,) = FLOWS
OTHER = load(FLOW.replace('"toy"', '"other"').replace('"Started"', '"Counted"'), OWNERS)


class Crash(BaseException):
    """The process dies."""


# --- inbox rows and states ------------------------------------------------------------------------


def test_an_account_is_made_where_there_is_none(subject: Subject) -> None:
    with subject.transaction() as tx:
        assert tx.lock(["a", "b"]) == {"a": InboxRow("a"), "b": InboxRow("b")}


def test_an_account_comes_back_as_it_was_written(subject: Subject) -> None:
    with subject.transaction() as tx:
        inbox_rows = tx.lock(["a", "b"])
        inbox_row, untouched = inbox_rows["a"], inbox_rows["b"]
        inbox_row.flow, inbox_row.sent, inbox_row.gap = "toy/2", 7, "left"
        inbox_row.seen = {"left": [3, "id-3"], 'strange "source"': [1, "{,}"]}
        inbox_row.ids, inbox_row.in_flight = ["x", "y,z", 'q"'], ["call:a"]
        inbox_row.marks, inbox_row.parked = ["LeftDone"], 2
        tx.write(Changes(inbox_rows=[inbox_row, untouched]), tx.load({}))
    assert subject.inbox_row("a") == inbox_row
    assert subject.inbox_row("b") == InboxRow("b", version=1)


def test_a_state_comes_back_as_it_was_put(subject: Subject) -> None:
    with subject.transaction() as tx:
        inbox_rows = tx.lock(["a", "b"])
        working = tx.load({"a": [], "b": []})
        assert working.get("a") == Count()
        working.put("a", Count(("one",)), ())
        assert working.get("a") == Count(("one",)), "seen by the next message of the batch"
        tx.write(Changes(inbox_rows=list(inbox_rows.values())), working)
    assert subject.state("a") == Count(("one",))
    assert subject.state("b") == Count()


# --- all or nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, Crash])
def test_a_transaction_that_ends_in_an_error_leaves_nothing(
    subject: Subject, error: type[BaseException]
) -> None:
    subject.write(["a"], effects=[leased("old", LATER)])
    (old,) = subject.claim(now=LATER)
    assert old.lease
    before = subject.inbox_row("a")

    def fail(lease: Lease) -> None:
        with subject.transaction() as tx:
            inbox_row = tx.lock(["a"])["a"]
            tx.finish([lease])
            inbox_row.sent = 9
            working = tx.load({"a": []})
            working.put("a", Count(("lost",)), ())
            changes = Changes([inbox_row], [row("a")], [effect("new")], [parked("a", 1)])
            tx.write(changes, working)
            raise error("the process dies")

    with pytest.raises(error):
        fail(old.lease)
    assert subject.inbox_row("a") == before
    assert subject.state("a") == Count()
    assert subject.outbox() == []
    assert subject.queue("a") == []
    assert subject.finish(old.lease) == {old.id}, "still pending"
    assert subject.claim(now=LATER + LEASE) == [], "the new one was never added"


def test_outbox_rows_keep_their_order_and_every_byte(subject: Subject) -> None:
    rows = [row("a", b"1"), row("b", b"\0\xff"), row("a", b"")]
    subject.write(["a", "b"], outbox=rows)
    subject.write(["a"], outbox=[row("a", b"4")])
    found = subject.outbox()
    assert [replace(r, id=0) for r in found] == [*rows, row("a", b"4")]
    assert [r.id for r in found] == sorted({r.id for r in found}), "ids ascend"


# --- effects ------------------------------------------------------------------------------------


def test_a_new_effect_is_due_and_leased_by_the_one_who_claims_it(subject: Subject) -> None:
    subject.write(["o1"], effects=[effect("e1")])
    (found,) = subject.claim()
    assert found.lease is not None
    assert found.created_at
    assert replace(found, lease=None, lease_until=None, created_at=None) == effect("e1")
    assert subject.claim() == [], "nobody else gets it"


def test_an_effect_that_is_pending_is_not_added_twice(subject: Subject) -> None:
    first, again = effect("e1"), effect("e1", id=uuid4())
    assert subject.write(["o1"], effects=[first]) == [first]
    assert subject.write(["o1"], effects=[again, effect("e2"), effect("e2", id=uuid4())]) == [
        effect("e2")
    ]
    assert [found.id for found in subject.claim()] == [first.id, effect("e2").id]


def test_the_same_key_in_another_saga_is_another_effect(subject: Subject) -> None:
    other = effect("e1", id=uuid4(), effect=replace(effect("e1").effect, saga="other/o1"))
    subject.write(["toy/o1", "other/o1"], effects=[effect("e1"), other])
    assert {(row.saga, row.effect.key) for row in subject.claim()} == {
        ("toy/o1", "e1"),
        ("other/o1", "e1"),
    }


@pytest.mark.parametrize("changed", [{"kind": "refund"}, {"payload": {"n": 2}}], ids=str)
@pytest.mark.parametrize("at_once", [False, True])
def test_another_call_under_a_pending_key_is_an_error_and_nothing_is_written(
    subject: Subject, changed: dict[str, Any], at_once: bool
) -> None:
    first = effect("e1")
    other = effect("e1", id=UUID(int=7), effect=replace(first.effect, **changed))
    if not at_once:
        subject.write(["toy/o1"], effects=[first])
    rows = [first, other] if at_once else [other]
    with pytest.raises(EffectKeyClash, match="'e1' of 'toy/o1' is taken") as e:
        subject.write(["toy/o1"], outbox=[row("o1")], effects=rows)
    assert e.value.effect_id == other.id
    assert subject.outbox() == []
    assert [found.id for found in subject.claim()] == ([] if at_once else [first.id])


def test_the_second_call_under_one_key_is_parked_and_says_why(subject: Subject) -> None:
    """Of a batch, only the record that clashes is parked; the first call is made."""
    store = getattr(subject.database, "store", None) or table_store()
    handler, wire = handler_on(subject.database, store), Wire(Codec(CONTRACT))
    ticks = [("o1", "call", 1), ("o1", "other", 2), ("o3", "fine", 1)]
    messages = [
        decode_message(wire.codec, wire.record(Ticked(key, word), seq)) for key, word, seq in ticks
    ]
    fates = [handled.disposition for handled in handler.handle(messages)]
    assert fates == [Disposition.HANDLED, Disposition.PARKED, Disposition.HANDLED]
    (why,) = subject.queue("toy/o1")
    assert why.code == "decide"
    assert why.error == (
        "EffectKeyClash: the effect key 'call' of 'toy/o1' is taken by another call, which is "
        "pending; give each call of a saga its own key"
    )
    (found,) = subject.claim()
    assert found.effect.payload == {"n": 1}
    assert handler.redrive("toy/o1") == [], "still taken"
    assert found.lease
    assert subject.finish(found.lease) == {found.id}
    assert [handled.disposition for handled in handler.redrive("toy/o1")] == [Disposition.HANDLED]
    assert [found.effect.payload for found in subject.claim()] == [{"n": 2}]


def test_a_claim_takes_no_more_than_asked_for(subject: Subject) -> None:
    subject.write(["o1"], effects=[effect(f"e{n}") for n in range(5)])
    first, second, none = subject.claim(2), subject.claim(10), subject.claim(0)
    assert (len(first), len(second), none) == (2, 3, [])
    assert {e.id for e in first}.isdisjoint(e.id for e in second)


def test_an_effect_born_with_a_lease_is_claimed_once_that_has_run_out(subject: Subject) -> None:
    born = leased("e1", NOW + LEASE)
    subject.write(["o1"], effects=[born])
    assert subject.claim(now=NOW + LEASE - timedelta(microseconds=1)) == []
    (found,) = subject.claim(now=NOW + LEASE)
    assert found.lease != born.lease
    assert born.lease is not None
    assert subject.finish(born.lease) == set(), "who held it first comes too late"
    assert found.lease is not None
    assert subject.finish(found.lease) == {found.id}


def test_a_lease_that_is_extended_does_not_run_out(subject: Subject) -> None:
    subject.write(["o1"], effects=[effect("e1"), effect("e2")])
    leases = {e.effect.key: e.lease for e in subject.claim()}
    foreign = Lease(effect("e2").id, uuid4())
    subject.database.extend([leases["e1"], foreign], NOW + 2 * LEASE)
    assert [e.effect.key for e in subject.claim(now=NOW + LEASE)] == ["e2"]
    assert [e.effect.key for e in subject.claim(now=NOW + 2 * LEASE)].count("e1") == 1


def test_an_effect_given_back_is_due_later_with_one_attempt_more(subject: Subject) -> None:
    subject.write(["o1"], effects=[effect("e1")])
    (first,) = subject.claim()
    assert first.lease
    subject.database.retry(first.lease, "no answer \0", LATER)
    assert subject.claim(now=LATER - timedelta(seconds=1)) == []
    (again,) = subject.claim(now=LATER)
    assert (again.id, again.attempts) == (first.id, 1)


def test_only_who_holds_an_effect_can_give_it_back_or_finish_it(subject: Subject) -> None:
    subject.write(["o1"], effects=[effect("e1")])
    (slow,) = subject.claim()
    (quick,) = subject.claim(now=NOW + LEASE)
    assert slow.lease
    assert quick.lease
    subject.database.retry(slow.lease, "timeout", NOW)
    assert subject.claim(now=NOW + LEASE) == [], "still held by the second"
    assert subject.finish(slow.lease) == set()
    assert subject.finish(slow.lease, quick.lease) == {quick.id}
    assert subject.finish(quick.lease) == set(), "it is gone"


# --- parked -------------------------------------------------------------------------------------


def test_parked_records_queue_by_order_as_they_came_and_keep_every_byte(subject: Subject) -> None:
    subject.write(["a", "b"], park=[parked("a", 5), parked("b", 9), parked("a", 3, "queued")])
    subject.write(["a"], park=[parked("a", 4, "queued", seq=None)])
    queue = subject.queue("a")
    assert [replace(p, id=0) for p in queue] == [
        parked("a", 5),
        parked("a", 3, "queued"),
        parked("a", 4, "queued", seq=None),
    ]
    assert (subject.inbox_row("a").parked, subject.inbox_row("b").parked) == (3, 1)
    with subject.transaction() as tx:
        assert tx.parked("a", 2) == queue[:2]


def test_what_a_pause_keeps_is_kept_and_not_counted(subject: Subject) -> None:
    subject.write(["a"], park=[parked("a", 5, "paused"), parked("a", 6)])
    assert [row.code for row in subject.queue("a")] == ["paused", "decide"]
    assert subject.inbox_row("a").parked == 1


def test_a_record_is_parked_once(subject: Subject) -> None:
    subject.write(["a"], park=[parked("a", 1)])
    subject.write(["a"], park=[parked("a", 1, "queued"), parked("a", 2, "queued")])
    assert [(p.code, p.record.offset) for p in subject.queue("a")] == [("decide", 1), ("queued", 2)]
    assert subject.inbox_row("a").parked == 2


def test_the_reason_follows_what_is_known_last(subject: Subject) -> None:
    subject.write(["a"], park=[parked("a", 1), parked("a", 2, "queued")])
    subject.write(["a"], park=[parked("a", 2, "undecodable", error="garbage")])
    assert [(p.code, p.error) for p in subject.queue("a")] == [
        ("decide", "why 1"),
        ("undecodable", "garbage"),
    ]


def test_unparked_records_leave_the_queue_and_are_counted_down(subject: Subject) -> None:
    subject.write(["a", "b"], park=[parked("a", n) for n in range(3)] + [parked("b", 7)])
    first, second, third = subject.queue("a")
    subject.write(["a"], unpark=[first.id, third.id])
    assert subject.queue("a") == [second]
    assert (subject.inbox_row("a").parked, subject.inbox_row("b").parked) == (1, 1)


def test_a_record_parked_again_moves_to_the_queue_of_its_saga(subject: Subject) -> None:
    """Given records whose flow is not known; when one is parked again, its flow known by now; then
    it is queued there, also behind others, and both queues are counted."""
    subject.write(["/a"], park=[parked("/a", 1, "unknown_flow"), parked("/a", 2)])
    subject.write(["toy/a"], park=[parked("toy/a", 7)])
    subject.write(["/a", "toy/a"], park=[parked("toy/a", 1, "queued")])
    assert [(p.code, p.record.offset) for p in subject.queue("/a")] == [("decide", 2)]
    assert {(p.code, p.record.offset) for p in subject.queue("toy/a")} == {
        ("queued", 1),
        ("decide", 7),
    }
    assert (subject.inbox_row("/a").parked, subject.inbox_row("toy/a").parked) == (1, 2)


# --- two flows ----------------------------------------------------------------------------------


def test_two_flows_with_equal_ids_do_not_touch_each_other(subject: Subject) -> None:
    """Given two sagas of one id, whose events have the same sequence numbers and event ids; when
    both call the outside under the same name; then each has its state, its call and its events."""
    codec = Codec(replace(CONTRACT, declared=(TOY, OTHER)))
    router, store = Router(Flows(TOY, OTHER), "counter"), table_store()
    handler = StartedHandler(participant(store), subject.database, router, codec, lambda: NOW)
    wire = Wire(codec)
    records = [
        wire.record(Ticked("a", word), seq, flow=flow)
        for flow in ("toy/1", "other/1")
        for seq, word in enumerate(("call", f"of {flow}"), 1)
    ]
    results = handler.handle([decode_message(codec, record) for record in records])
    assert [result.disposition for result in results] == [Disposition.HANDLED] * 4
    assert subject.state("toy/a").words == ("called", "of toy/1")
    assert subject.state("other/a").words == ("called", "of other/1")
    calls = {row.effect.idempotency_key: row for row in subject.claim()}
    assert set(calls) == {"toy/a:call", "other/a:call"}
    own = [codec.decode(as_record(row)) for row in subject.outbox()]
    assert {row.key for row in subject.outbox()} == {"a"}, "one partition"
    assert [(e.key, e.seq) for e in own] == [
        *(("toy/a", 1), ("toy/a", 2)),
        *(("other/a", 1), ("other/a", 2)),
    ]
    assert len({trace_of(e.key) for e in own}) == 2
    answered = calls["toy/a:call"]
    outcome = EffectResult(answered.effect, "ok")
    message = Message(uuid4(), answered.saga, trigger=outcome, lease=answered.lease)
    handler.handle([message])
    assert subject.state("toy/a").words[-1] == "outcome ok"
    assert subject.inbox_row("other/a").in_flight == ["call"], "the other waits for its own answer"
