"""Money that is not what was asked for, and money that does not stay where it was told to be."""

from dataclasses import replace
from typing import Any

import pytest

from sagakit.decider import Callback, EffectResult, fold
from sagakit.testing import NOW, given
from schemas.events import (
    PaymentCaptured,
    PaymentDisputeLost,
    PaymentDisputeOpened,
    PaymentDisputeWon,
    PaymentMismatched,
    PaymentRefunded,
    PaymentRefundFailed,
)
from services.payment.decide import decide
from services.payment.ledger import (
    Captured,
    Declined,
    Disputed,
    Payment,
    Pending,
    Phase,
    Refunded,
    RefundFailed,
    evolve,
    look_effect,
)
from services.payment.service import too_early
from tests.unit.services.payment_examples import (
    CAPTURED,
    CHARGE,
    CHARGE_KEY,
    DOUBTED,
    LATE,
    LOOK,
    MISMATCHED,
    PAYMENT,
    PENDING,
    REFUND_FAILED,
    REFUND_KEY,
    REFUNDED,
    STARTED,
    TOOK,
    do,
    refund,
    undo,
)
from tests.unit.services.payment_reports import BLIND_FAILED
from tests.unit.services.test_payment import MATRIX

PART = Captured("ch1", 1, "EUR")
YEN = Captured("ch1", 2500, "JPY")


@pytest.mark.parametrize("odd", [PART, YEN, replace(TOOK, amount_minor=5000)])
def test_a_reported_capture_of_something_else_is_never_a_yes(odd: Captured) -> None:
    """Given a charge under way; when a signed report tells of another amount or currency; then a
    person is called and the provider asked, and the true capture pays the order."""
    reported = MATRIX.given("pending").when(Callback(odd))
    (doubted,) = reported.decision.events
    assert (doubted.amount_minor, doubted.currency) == (odd.amount_minor, odd.currency)
    (look,) = reported.decision.effects
    assert look == look_effect("o1", "ch1", f"{odd.amount_minor}{odd.currency}")
    asked = reported.state()
    asked.when(Callback(odd)).then_nothing()
    still = asked.without_pending(look.key).when(EffectResult(look, Pending("ch1"))).then_nothing()
    paid = still.when(Callback(TOOK)).then(CAPTURED)
    assert (paid.state.phase, paid.state.left_minor) == (Phase.CAPTURED, 2500)


@pytest.mark.parametrize("first", [PART, YEN, replace(TOOK, amount_minor=5000)])
def test_a_charge_that_is_answered_with_something_else_is_never_a_yes(first: Captured) -> None:
    asked = given(PAYMENT, Payment()).when(do()).then(effects=[CHARGE])
    reported = asked.without_pending(CHARGE_KEY).when(EffectResult(CHARGE, first))
    (event,) = reported.decision.events
    assert isinstance(event, PaymentMismatched)
    odd = reported.then(event)
    assert odd.state.phase is Phase.MISMATCHED
    odd.when(do()).then_nothing().when(EffectResult(CHARGE, first)).then_nothing()
    odd.when(Callback(Declined("ch1", "funds", "no money"))).then_nothing()


def test_the_rest_of_a_part_pays_the_order_and_nothing_is_refunded() -> None:
    look = look_effect("o1", "ch1", "1EUR")
    part = MATRIX.given("pending").when(Callback(PART)).then(DOUBTED, effects=[look])
    known = part.without_pending(look.key).when(EffectResult(look, PART)).then(MISMATCHED)
    paid = known.when(Callback(TOOK)).then(CAPTURED)
    assert [(c.charge_id, c.captured_minor) for c in paid.state.charges] == [("ch1", 2500)]
    paid.when(Callback(PART)).then_nothing().when(Callback(TOOK)).then_nothing()
    paid.when(undo()).then(STARTED, effects=[refund(1)])


def test_a_part_is_refunded_when_the_order_is_undone_and_the_rest_as_well_when_it_comes() -> None:
    started = replace(STARTED, amount_minor=1)
    all_of_it = refund(1, "ch1", None)
    undone = MATRIX.given("mismatched").when(undo()).then(started, effects=[all_of_it])
    back = undone.without_pending(REFUND_KEY).when(
        EffectResult(all_of_it, Refunded("re1", 1, "ch1"))
    )
    gone = back.then(replace(REFUNDED, amount_minor=1))
    gone.when(Callback(TOOK)).then(LATE, effects=[refund(2, "ch1", 2499)])


@pytest.mark.parametrize("charge_id", ["ch1", None])
def test_a_rest_captured_just_before_the_undo_is_refunded_too(charge_id: str | None) -> None:
    """Given a part that was captured, and the rest of which nobody has reported yet; when the order
    is undone; then all is refunded at once, and the books show both."""
    started = replace(STARTED, amount_minor=1)
    undone = MATRIX.given("mismatched").when(undo())
    asked = undone.then(started, effects=[refund(1, "ch1", None)])
    answer = EffectResult(refund(1, charge_id, None), Refunded("re1", 2500, "ch1"))
    back = asked.without_pending(REFUND_KEY).when(answer)
    gone = back.then(LATE, replace(REFUNDED, refund_id="re1"))
    assert [(c.captured_minor, c.left_minor) for c in gone.state.charges] == [(2500, 0)]
    gone.when(Callback(TOOK)).then()


def test_a_refund_above_what_was_asked_for_books_no_more_than_that() -> None:
    all_of_it = refund(1, "ch1", None)
    started = replace(STARTED, amount_minor=1)
    undone = MATRIX.given("mismatched").when(undo()).then(started, effects=[all_of_it])
    back = undone.without_pending(REFUND_KEY).when(
        EffectResult(all_of_it, Refunded("re1", 9999, "ch1"))
    )
    back.then(LATE, replace(REFUNDED, refund_id="re1"))


def test_captures_of_one_charge_count_once_with_the_highest_amount() -> None:
    """Given reports of one charge in different amounts and orders; then the last is not the sum,
    and a lower one takes nothing away."""
    events = tuple(replace(LATE, amount_minor=minor) for minor in (1000, 2500, 1700))
    state = fold(evolve, Payment(), events)
    assert [(c.captured_minor, c.left_minor) for c in state.charges] == [(2500, 2500)]


def test_another_charge_that_took_a_part_goes_back_once_the_order_is_paid() -> None:
    other = replace(MISMATCHED, charge_id="ch9", amount_minor=700)
    odd = given(PAYMENT, Payment(), PENDING, other).when(EffectResult(LOOK, TOOK))
    odd.then(CAPTURED, effects=[refund(1, "ch9", 700)])


def test_a_report_is_looked_up_although_an_older_look_is_in_flight() -> None:
    """Given an undone order of which nothing is known, and a look that is in flight; when a capture
    is reported; then it is looked up once more, since that answer may be from before."""
    blind = MATRIX.given("refunding blind").state
    looking = replace(blind, in_flight=frozenset({LOOK.key}))
    look = look_effect("o1", "ch1", "2500EUR")
    assert decide(looking, Callback(TOOK), NOW).effects == (look,)


# --- refunds that fail ----------------------------------------------------------------------------


def test_a_refund_that_fails_after_it_was_made_reopens_the_books_and_is_asked_for_again() -> None:
    failed = Callback(RefundFailed("re1", "ch1", 2500))
    reopened = MATRIX.given("refunded").when(failed).then(REFUND_FAILED)
    assert (reopened.state.phase, reopened.state.left_minor) == (Phase.REFUNDING, 2500)
    reopened.when(failed).then_nothing()
    reopened.when(Callback(Refunded("re1", 2500, "ch1"))).then_nothing()
    again = reopened.when(undo()).then(effects=[refund(2)])
    done = again.without_pending("refund:2").when(
        EffectResult(refund(2), Refunded("re2", 2500, "ch1"))
    )
    gone = done.then(replace(REFUNDED, refund_id="re2"))
    assert gone.state.left_minor == 0


def test_a_failure_reported_before_its_success_is_no_refund() -> None:
    failed = Callback(RefundFailed("re1", "ch1", 2500))
    early = MATRIX.given("refunding").when(failed).then(replace(REFUND_FAILED, amount_minor=0))
    early.when(Callback(Refunded("re1", 2500, "ch1"))).then_nothing()
    early.when(undo()).then(effects=[refund(2)])


def test_a_failure_reported_before_anything_is_known_of_the_capture_is_not_lost() -> None:
    """Given a void that is under way, which refunds a capture that nobody has heard of yet; when
    the failure of that refund comes before the answer to the call; then it is asked for again."""
    failed = Callback(RefundFailed("re1", "ch1", 2500))
    early = MATRIX.given("refunding void").when(failed).then(BLIND_FAILED)
    early.when(failed).then_nothing()
    answered = early.when(EffectResult(refund(1, "ch1", None), Refunded("re1", 2500, "ch1")))
    again = answered.then_nothing().when(undo()).then(effects=[refund(2, "ch1", None)])
    done = again.without_pending("refund:2").when(
        EffectResult(refund(2, "ch1", None), Refunded("re2", 2500, "ch1"))
    )
    assert [type(event) for event in done.decision.events] == [PaymentCaptured, PaymentRefunded]
    assert done.state().state.left_minor == 0
    blind = replace(MATRIX.given("refunding blind").state, in_flight=frozenset({REFUND_KEY}))
    assert decide(blind, failed, NOW).events == (replace(BLIND_FAILED, email=None),)


def test_no_more_comes_back_than_was_refunded() -> None:
    failed = Callback(RefundFailed("re1", "ch1", 9000))
    part = MATRIX.given("refunding half").when(failed)
    (event,) = part.decision.events
    assert isinstance(event, PaymentRefundFailed)
    assert (event.amount_minor, part.state().state.left_minor) == (1250, 2500)


# --- disputes -------------------------------------------------------------------------------------


def disputed(status: str, amount_minor: int = 2500, currency: str = "EUR") -> Callback:
    return Callback(Disputed("dp1", "ch1", amount_minor, currency, status))


@pytest.mark.parametrize(
    ("end", "event_type", "left_minor"),
    [("won", PaymentDisputeWon, 2500), ("lost", PaymentDisputeLost, 0)],
)
def test_a_dispute_is_told_at_once_and_the_books_follow_its_end(
    end: str, event_type: type[Any], left_minor: int
) -> None:
    opened = MATRIX.given("captured").when(disputed("opened"))
    assert isinstance(opened.decision.events[0], PaymentDisputeOpened)
    waiting = opened.state()
    assert waiting.state.left_minor == 2500
    waiting.when(disputed("opened")).then_nothing()
    reported = waiting.when(disputed(end))
    assert isinstance(reported.decision.events[0], event_type)
    ended = reported.state()
    assert (ended.state.phase, ended.state.left_minor) == (Phase.CAPTURED, left_minor)
    for late in ("opened", "won", "lost"):
        ended.when(disputed(late)).then_nothing()


@pytest.mark.parametrize("odd", [disputed("lost", 9000), disputed("lost", 2500, "JPY")])
def test_a_dispute_takes_no_more_than_is_left_of_its_charge(odd: Callback) -> None:
    lost = MATRIX.given("captured").when(odd)
    left_minor = lost.state().state.left_minor
    assert left_minor >= 0
    assert isinstance(lost.decision.events[0], PaymentDisputeLost)
    assert lost.decision.events[0].amount_minor == 2500 - left_minor


def test_what_a_dispute_took_is_not_refunded_as_well() -> None:
    lost = MATRIX.given("captured").when(disputed("lost", 1000)).state()
    lost.when(undo()).then(replace(STARTED, amount_minor=1500), effects=[refund(1, "ch1", 1500)])


@pytest.mark.parametrize(
    ("state", "in_flight", "charge_id", "waits"),
    [
        ("new", CHARGE_KEY, "ch1", True),
        ("review", CHARGE_KEY, "ch1", True),
        ("pending", None, "ch1", True),
        ("declined", LOOK.key, "ch1", True),
        ("declined", None, "ch1", False),
        ("captured", None, "ch1", False),
        ("captured", None, "ch9", False),
    ],
)
def test_a_dispute_is_taken_when_the_capture_of_its_charge_is_booked(
    state: str, in_flight: str | None, charge_id: str, waits: bool
) -> None:
    """Given a dispute whose webhook overtakes what is told of the charge; then it is delivered
    again until the books have the money that it takes. Nothing is awaited of a foreign charge."""
    known = replace(MATRIX.given(state).state, in_flight=frozenset({in_flight} - {None}))
    report = Disputed("dp1", charge_id, 2500, "EUR", "lost")
    assert (too_early(known, report) is not None) == waits
