"""Payment decides on triggers that follow, overtake or repeat each other."""

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from sagakit.decider import (
    NOTHING,
    Callback,
    EffectResult,
    Observed,
)
from sagakit.testing import NOW, given
from schemas.events import (
    OrderFacts,
    OrderLine,
    PaymentActionRequired,
    PaymentRefundStarted,
    PaymentReviewRequired,
)
from services.payment.decide import Policy, decide
from services.payment.ledger import (
    Captured,
    NothingLeft,
    Payment,
    Pending,
    Phase,
    Refunded,
    RefundRefused,
    Unknown,
    Voided,
    charge_effect,
    evolve,
    look_effect,
)
from tests.unit.services.payment_examples import (
    CAPTURED,
    CHARGE,
    CHARGE_KEY,
    DEAR,
    DOUBTED_OTHER,
    FACTS,
    FENCE,
    FOUND,
    HALF,
    LATE,
    LOOK,
    MAIL,
    PAYMENT,
    PENDING,
    REASON,
    REFUND_KEY,
    REFUNDED,
    REVIEW,
    STARTED,
    STARTED_BLIND,
    STARTED_VOID,
    SURPLUS,
    TOOK,
    again,
    do,
    facts_without_lines,
    refund,
    undo,
    verdict,
)
from tests.unit.services.payment_reports import ask_refund
from tests.unit.services.test_payment import MATRIX

BOOKED = look_effect("o1", "ch1", "2500:0", booked_minor=2500)
"""The look after a hint about a charge that our books have refunded."""


def test_an_order_is_charged_once_though_events_repeat() -> None:
    asked = given(PAYMENT, Payment()).when(do()).then(effects=[CHARGE])
    asked.when(do()).then_nothing()
    paid = asked.without_pending(CHARGE_KEY).when(EffectResult(CHARGE, TOOK)).then(CAPTURED)
    paid.when(do()).then_nothing().when(Callback(TOOK)).then_nothing()


def test_undo_before_do_leaves_a_fence() -> None:
    fenced = given(PAYMENT, Payment()).when(undo()).then(FENCE)
    fenced.when(do()).then_nothing().when(undo()).then(FENCE)


def test_an_order_above_the_limit_is_charged_when_a_person_approves() -> None:
    dear = given(PAYMENT, Payment()).when(do(DEAR))
    review = dear.then(replace(REVIEW, order=DEAR, reason="the total 2500.00 EUR is above 1000"))
    asked = review.when(verdict("approve")).then(effects=[charge_effect("o1", DEAR)])
    asked.when(verdict("reject")).then_nothing()


def test_undo_waits_for_the_charge_in_flight_and_refunds_it() -> None:
    asked = given(PAYMENT, Payment()).when(do()).then(effects=[CHARGE])
    waiting = asked.when(undo()).then(STARTED_BLIND).when(undo("again")).then_nothing()
    took = waiting.without_pending(CHARGE_KEY).when(EffectResult(CHARGE, TOOK))
    refunding = took.then(LATE, effects=[refund(1)])
    done = refunding.without_pending(REFUND_KEY).when(
        EffectResult(refund(1), Refunded("re1", 2500, "ch1"))
    )
    done.then(REFUNDED).when(Callback(TOOK)).then_nothing()


def test_a_capture_reported_before_the_call_returned_waits_for_it() -> None:
    asked = given(PAYMENT, Payment()).when(do()).then(effects=[CHARGE])
    done = asked.when(Callback(TOOK)).then_nothing()
    pending = done.without_pending(CHARGE_KEY).when(EffectResult(CHARGE, Pending("ch1")))
    looking = pending.then(PENDING, effects=[LOOK])
    looking.without_pending(LOOK.key).when(EffectResult(LOOK, TOOK)).then(CAPTURED)


def test_a_capture_reported_while_the_undo_waits_is_refunded_once() -> None:
    asked = given(PAYMENT, Payment()).when(do()).then(effects=[CHARGE])
    waiting = asked.when(undo()).then(STARTED_BLIND).when(Callback(TOOK)).then_nothing()
    voiding = waiting.without_pending(CHARGE_KEY).when(EffectResult(CHARGE, Pending("ch1")))
    both = voiding.then(STARTED_VOID, effects=[LOOK, refund(1, "ch1", None)])
    gone = both.without_pending(REFUND_KEY).when(
        EffectResult(refund(1, "ch1", None), Refunded("re1", 2500))
    )
    done = gone.then(replace(LATE, order=facts_without_lines(email=MAIL)), REFUNDED)
    done.without_pending(LOOK.key).when(EffectResult(LOOK, TOOK)).then_nothing()


def test_a_late_capture_after_the_void_is_refunded_under_a_new_key() -> None:
    voiding = (
        MATRIX.given("pending").when(undo()).then(STARTED_VOID, effects=[refund(1, "ch1", None)])
    )
    voided = voiding.without_pending(REFUND_KEY).when(
        EffectResult(refund(1, "ch1", None), Voided("re0"))
    )
    done = voided.then(replace(FENCE, refund_id="re0", email=MAIL))
    late = done.when(Callback(TOOK)).then(LATE, effects=[refund(2)])
    twice = late.when(Callback(TOOK)).then_nothing()
    back = twice.without_pending("refund:2").when(
        EffectResult(refund(2), Refunded("re1", 2500, "ch1"))
    )
    back.then(REFUNDED).when(Callback(TOOK)).then_nothing()


def test_a_capture_while_the_void_is_in_flight_is_refunded_next() -> None:
    void = refund(1, "ch1", None)
    voiding = MATRIX.given("pending").when(undo()).then(STARTED_VOID, effects=[void])
    took = voiding.when(Callback(TOOK)).then(LATE)  # one refund at a time
    voided = took.without_pending(REFUND_KEY).when(EffectResult(void, Voided("re0")))
    progressed = replace(HALF, refund_id="re0", amount_minor=0, remaining_minor=2500)
    again = voided.then(progressed, effects=[refund(2)])
    again.without_pending("refund:2").when(EffectResult(refund(2), Refunded("re1", 2500))).then(
        REFUNDED
    )


def test_the_void_itself_refunds_what_was_captured_meanwhile() -> None:
    void = refund(1, "ch1", None)
    voiding = MATRIX.given("pending").when(undo()).then(STARTED_VOID, effects=[void])
    took = voiding.when(Callback(TOOK)).then(LATE)
    back = took.without_pending(REFUND_KEY).when(EffectResult(void, Refunded("re1", 2500, "ch1")))
    back.then(REFUNDED)


def test_a_void_that_gave_back_a_part_of_an_unheard_capture() -> None:
    void = refund(1, "ch1", None)
    voiding = MATRIX.given("pending").when(undo()).then(STARTED_VOID, effects=[void])
    part = voiding.without_pending(REFUND_KEY).when(
        EffectResult(void, Refunded("re1", 1000, "ch1"))
    )
    done = part.then(replace(LATE, amount_minor=1000), replace(REFUNDED, amount_minor=1000))
    rest = done.when(Callback(TOOK))
    rest.then(LATE, effects=[refund(2, "ch1", 1500)])


def test_a_partial_refund_goes_on_under_the_next_key() -> None:
    started = MATRIX.given("captured").when(undo()).then(STARTED, effects=[refund(1)])
    part = started.without_pending(REFUND_KEY).when(
        EffectResult(refund(1), Refunded("re1", 1250, "ch1"))
    )
    rest = part.then(HALF, effects=[refund(2, "ch1", 1250)])
    rest.when(undo()).then_nothing()
    done = rest.without_pending("refund:2")
    done.when(EffectResult(refund(2, "ch1", 1250), Refunded("re2", 1250, "ch1"))).then(
        replace(REFUNDED, refund_id="re2", amount_minor=1250)
    )


def test_an_asynchronous_refund_counts_once_whether_or_not_it_is_reported() -> None:
    """The provider is asked until it is through; what it reports is read, and counts once."""
    started = MATRIX.given("captured").when(undo()).then(STARTED, effects=[refund(1)])
    through = Refunded("re1", 2500, "ch1")
    report, answer = Callback(through), EffectResult(refund(1), through)
    (look,) = ask_refund("re1").effects
    shown = EffectResult(look, replace(TOOK, refunded_minor=2500))
    reported = started.when(report).then(effects=[look]).without_pending(look.key)
    refunded = reported.when(shown).then(REFUNDED)
    refunded.without_pending(REFUND_KEY).when(answer).then_nothing()
    answered = started.without_pending(REFUND_KEY).when(answer).then(REFUNDED)
    answered.when(report).then_nothing()
    answered.when(shown).then_nothing()


def test_a_refund_that_only_our_books_have_is_asked_for_once_more_however_often_found() -> None:
    found = Observed("ChargeFound", FOUND)
    looked = MATRIX.given("refunded").when(found).then(effects=[BOOKED])
    looked.when(found).then_nothing()
    held = EffectResult(BOOKED, replace(TOOK, refunded_minor=0))
    asked = looked.without_pending(BOOKED.key).when(held).then(effects=[again()])
    asked.when(held).then_nothing()
    done = asked.without_pending(again().key).when(
        EffectResult(again(), Refunded("re7", 2500, "ch1"))
    )
    looking = done.then_nothing().when(Callback(Refunded("re7", 2500, "ch1"))).state()
    (look,) = ask_refund("re7").effects
    shown = EffectResult(look, replace(TOOK, refunded_minor=2500))
    looking.without_pending(look.key).when(shown).then_nothing()


@pytest.mark.parametrize(("claimed_minor", "given_minor"), [(1000, 1000), (0, 1000), (0, 2500)])
def test_what_the_provider_says_counts_and_not_what_was_found(
    claimed_minor: int, given_minor: int
) -> None:
    found = Observed("ChargeFound", replace(FOUND, refunded_minor=claimed_minor))
    look = look_effect("o1", "ch1", f"2500:{claimed_minor}", booked_minor=2500)
    looked = MATRIX.given("refunded").when(found).then(effects=[look])
    answer = looked.without_pending(look.key).when(
        EffectResult(look, replace(TOOK, refunded_minor=given_minor))
    )
    missing_minor = 2500 - given_minor
    answer.then(effects=[again(missing_minor, given_minor)] if missing_minor else [])


def test_an_answer_older_than_the_last_refund_repeats_none() -> None:
    """Given a surplus that is found missing at the provider, and refunded before the answer comes;
    then the answer, which is from before, takes nothing from what the order has paid."""
    look = look_effect("o1", "ch1", booked_minor=0)
    twice = evolve(MATRIX.given("captured").state, replace(LATE, amount_minor=5000))
    part = evolve(twice, replace(HALF, amount_minor=2500))
    answer = EffectResult(look, Captured("ch1", 5000, "EUR", refunded_minor=0))
    assert decide(part, answer, NOW) == NOTHING


@pytest.mark.parametrize("state", ["new", "review", "captured"])
def test_a_charge_that_is_only_claimed_moves_nothing(state: str) -> None:
    """Given an order under review, or paid; when a charge is claimed that the provider does not
    have, or twice the amount of one that it has; then at most the provider is asked."""
    claimed = replace(FOUND, charge_id="ch9", captured_minor=5000)
    asked = MATRIX.given(state).when(Observed("ChargeFound", claimed))
    look = look_effect("o1", "ch9", "5000:0", booked_minor=0)
    if state != "captured":
        asked.then_nothing()
        return
    looked = asked.then(effects=[look])
    looked.without_pending(look.key).when(EffectResult(look, Unknown("ch9"))).then_nothing()
    own = look_effect("o1", "ch1", "5000:0", booked_minor=0)
    doubled = Observed("ChargeFound", replace(FOUND, captured_minor=5000))
    twice = MATRIX.given("captured").when(doubled).then(effects=[own]).without_pending(own.key)
    twice.when(EffectResult(own, replace(TOOK, refunded_minor=0))).then_nothing()


def test_a_second_charge_that_the_provider_confirms_goes_back_and_the_first_stays() -> None:
    twice = MATRIX.given("captured").when(Callback(Captured("ch9", 700, "EUR")))
    look = look_effect("o1", "ch9", "700EUR")
    asked = twice.then(DOUBTED_OTHER, effects=[look]).without_pending(look.key)
    surplus = asked.when(EffectResult(look, Captured("ch9", 700, "EUR")))
    taken = replace(SURPLUS, charge_id="ch9", amount_minor=700)
    back = surplus.then(taken, effects=[refund(1, "ch9", 700)]).without_pending(REFUND_KEY)
    one = back.when(EffectResult(refund(1, "ch9", 700), Refunded("re1", 700, "ch9"))).then(
        replace(HALF, amount_minor=700, remaining_minor=0)
    )
    assert (one.state.phase, one.state.left_minor) == (Phase.CAPTURED, 2500)
    one.when(undo()).then(STARTED, effects=[refund(2)])


def test_what_is_refused_for_good_ends_the_undo_and_a_later_capture_still_goes_back() -> None:
    """Given a disputed charge, then the undo goes on; another charge of the order is refunded."""
    refusal = EffectResult(refund(1), RefundRefused("charge_disputed"))
    ended = (
        MATRIX.given("refunding")
        .when(refusal)
        .then(replace(REFUNDED, refund_id=REFUND_KEY, amount_minor=0, refused="charge_disputed"))
    )
    assert (ended.state.phase, ended.state.left_minor) == (Phase.REFUNDED, 2500)
    # When the call's result comes again, then nothing more happens
    ended.when(refusal).then_nothing()
    # When money is captured late, then that alone goes back, under the next key
    looked = EffectResult(look_effect("o1", "ch2"), Captured("ch2", 900, "EUR"))
    late = ended.when(looked).then(SURPLUS, effects=[refund(2, "ch2", 900)])
    back = EffectResult(refund(2, "ch2", 900), Refunded("re2", 900, "ch2"))
    done = late.when(back).then(replace(REFUNDED, refund_id="re2", amount_minor=900))
    assert done.state.left_minor == 2500


def test_of_two_charges_the_one_that_is_not_refused_goes_back() -> None:
    call = refund(1, "ch2", 900)
    begun = (
        MATRIX.given("captured twice")
        .when(undo())
        .then(replace(STARTED_VOID, amount_minor=3400), effects=[call])
    )
    refused = replace(
        HALF, refund_id=REFUND_KEY, amount_minor=0, remaining_minor=2500, refused="refund_too_old"
    )
    one = begun.when(EffectResult(call, RefundRefused("refund_too_old"))).then(
        refused, effects=[refund(2)]
    )
    back = EffectResult(refund(2), Refunded("re2", 2500, "ch1"))
    ended = one.when(back).then(replace(REFUNDED, refund_id="re2"))
    assert (ended.state.phase, ended.state.left_minor) == (Phase.REFUNDED, 900)


def test_of_a_charge_that_took_too_much_only_the_surplus_goes_back() -> None:
    double = Captured("ch1", 5000, "EUR")
    looked = MATRIX.given("captured").when(EffectResult(LOOK, double))
    back = looked.then(replace(LATE, amount_minor=5000), effects=[refund(1)])
    given_back = back.without_pending(REFUND_KEY).when(
        EffectResult(refund(1), Refunded("re1", 2500, "ch1"))
    )
    paid = given_back.then(replace(HALF, amount_minor=2500, remaining_minor=0))
    assert (paid.state.phase, paid.state.left_minor) == (Phase.CAPTURED, 2500)


def test_a_capture_after_a_decline_carries_nothing_to_ship() -> None:
    late = MATRIX.given("declined").when(EffectResult(LOOK, TOOK))
    (event,) = late.decision.events
    assert event.late
    assert event.order.lines == ()


def test_a_database_rebuilt_while_waiting_asks_the_provider_by_the_key() -> None:
    void = refund(1, None, None, None)
    asked = MATRIX.given("refunding blind").when(undo()).then(effects=[void])
    asked.without_pending(REFUND_KEY).when(EffectResult(void, Voided("re1"))).then(
        replace(FENCE, refund_id="re1")
    )


@pytest.mark.parametrize(
    ("facts", "doubt"),
    [
        (replace(FACTS, fraud_score=0.8), None),
        (replace(FACTS, fraud_score=0.81), "the fraud score 0.81 is above 0.8"),
        (replace(FACTS, currency="JPY"), "the total 2500 JPY is above 1000"),
        (replace(FACTS, currency="KWD"), None),
    ],
)
def test_what_a_person_has_to_look_at(facts: OrderFacts, doubt: str | None) -> None:
    decided = given(PAYMENT, Payment()).when(do(facts))
    if doubt:
        decided.then(replace(REVIEW, order=facts, reason=doubt))
    else:
        decided.then(effects=[charge_effect("o1", facts)])


def test_the_limit_itself_needs_no_review_and_the_policy_is_a_parameter() -> None:
    line = OrderLine(sku="tea", quantity=1, unit_price_minor=100_000)
    order = replace(FACTS, total_minor=100_000, lines=(line,))
    given(PAYMENT, Payment()).when(do(order)).then(effects=[charge_effect("o1", order)])
    strict = decide(Payment(), do(), NOW, policy=Policy(review_above=Decimal("24.99")))
    assert isinstance(strict.events[0], PaymentReviewRequired)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_fraud_score_that_is_no_number_is_declined(score: float) -> None:
    (event,) = given(PAYMENT, Payment()).when(do(replace(FACTS, fraud_score=score))).decision.events
    assert event.code == "invalid"
    assert "fraud_score" in event.reason


def test_reasons_are_stored_without_control_characters() -> None:
    MATRIX.given("new").when(undo("a\0b")).then(replace(FENCE, reason="a b"))


def test_the_first_part_of_a_refund_tells_of_the_whole_charge() -> None:
    """Confirmed while it was being voided, and the provider gives back in parts: the capture, which
    nobody has reported yet, is that of the order."""
    started = PaymentRefundStarted(
        order_id="o1", charge_id="ch1", amount_minor=0, reason=REASON, email=MAIL
    )
    waiting = PaymentActionRequired(order_id="o1", order=FACTS, charge_id="ch1", action_url="/")
    state = evolve(evolve(Payment(), waiting), started)
    part = EffectResult(refund(1, "ch1", None), Refunded("re1", 1000, "ch1", partial=True))
    answer = decide(state, part, NOW)
    captured, progressed = answer.events
    assert (captured.amount_minor, captured.late) == (2500, True)
    assert (progressed.amount_minor, progressed.remaining_minor) == (1000, 1500)
    assert answer.effects == (refund(2, "ch1", 1500),)
    for event in answer.events:
        state = evolve(state, event)
    assert not decide(state, Callback(Captured("ch1", 2500, "EUR")), NOW).events


def test_a_part_of_a_charge_whose_amount_is_not_known_is_booked_when_it_is() -> None:
    """Given an undo that came while the charge was being made, and its void; when the provider
    gives back a part instead; then the part is counted, the charge is read and told as one capture,
    and the rest is requested under new keys until nothing is left."""
    part = EffectResult(refund(1, "ch1", None), Refunded("re1", 1000, "ch1", partial=True))
    counted = replace(HALF, refund_id="re1", amount_minor=0, remaining_minor=0, currency=None)
    looked = (
        given(PAYMENT, Payment(), STARTED_BLIND, STARTED_VOID)
        .when(part)
        .then(counted, effects=[LOOK])
    )
    asked = looked.without_pending(LOOK.key).without_pending(REFUND_KEY)
    rest = asked.when(EffectResult(LOOK, TOOK)).then(
        replace(LATE, order=facts_without_lines(email=MAIL)), effects=[refund(2, "ch1", None)]
    )
    progress = replace(HALF, refund_id="re2", amount_minor=1500, remaining_minor=1000)
    last = (
        rest.without_pending("refund:2")
        .when(EffectResult(refund(2, "ch1", None), Refunded("re2", 1500, "ch1")))
        .then(progress, effects=[refund(3, "ch1", 1000)])
    )
    done = last.without_pending("refund:3")
    done.when(EffectResult(refund(3, "ch1", 1000), NothingLeft())).then(
        replace(REFUNDED, refund_id="refund:3", amount_minor=1000)
    ).when(Callback(TOOK)).then_nothing()


def test_a_part_of_a_charge_nothing_is_known_of_is_never_requested_again_under_its_key() -> None:
    """Given a database lost with the void's answer; when the void gives back a part; then the rest
    is requested under another key: the provider refuses a known key with other content."""
    part = EffectResult(refund(1, None, None), Refunded("re1", 1000, "ch1", partial=True))
    looked = given(PAYMENT, Payment(), STARTED_BLIND).when(part)
    asked = looked.then(
        replace(HALF, refund_id="re1", amount_minor=0, remaining_minor=0, currency=None),
        effects=[LOOK],
    )
    found = asked.without_pending(LOOK.key).when(EffectResult(LOOK, TOOK))
    assert [effect.key for effect in found.decision.effects] == ["refund:2"]
