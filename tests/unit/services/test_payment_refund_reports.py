"""A refund that only a report tells of: the charge is read, and what it shows is booked."""

from dataclasses import replace

import pytest

from sagakit.decider import Callback, EffectResult
from sagakit.testing import Given, Then
from schemas.events import PaymentReportDoubted
from services.payment.ledger import Refunded, look_effect
from tests.unit.services.payment_examples import (
    FENCE,
    HALF,
    LATE,
    REFUNDED,
    STARTED,
    TOOK,
    facts_without_lines,
    refund,
    undo,
)
from tests.unit.services.payment_reports import ask_refund
from tests.unit.services.test_payment import MATRIX

REPORT = Callback(Refunded("re1", 2500, "ch1"))
(LOOK,) = ask_refund("re1").effects


def read(given: Given, refunded_minor: int | None) -> Then:
    """The decision on the charge, read because of the report, and what it shows."""
    looking = given.when(REPORT).then(effects=[LOOK])
    looking.when(REPORT).then_nothing()
    found = replace(TOOK, refunded_minor=refunded_minor)
    return looking.without_pending(LOOK.key).when(EffectResult(LOOK, found))


@pytest.mark.parametrize("state", ["captured", "refunding", "captured twice"])
def test_a_refund_that_the_charge_does_not_show_is_not_booked_and_calls_a_person(
    state: str,
) -> None:
    """Given a report that nobody asked for, or that comes while a refund is asked for; when the
    provider's ledger has no such refund; then the books stay, and the undo gives the money back."""
    doubted = read(MATRIX.given(state), refunded_minor=0)
    (event,) = doubted.decision.events
    assert isinstance(event, PaymentReportDoubted)
    assert "refund re1 of 2500 EUR" in event.reason
    after = doubted.state()
    assert after.state.left_minor == MATRIX.given(state).state.left_minor
    assert [effect.kind for effect in after.when(undo()).decision.effects] == ["refund"]


def test_a_refund_that_the_shop_made_at_the_provider_is_booked() -> None:
    booked = replace(HALF, amount_minor=2500, remaining_minor=0)
    read(MATRIX.given("captured"), refunded_minor=2500).then(booked)


def test_a_refund_is_booked_as_far_as_the_charge_shows_it() -> None:
    """Given books that have 1250 of it already; then no more than the rest is booked."""
    (look,) = ask_refund("re2").effects
    half = MATRIX.given("refunding half").when(Callback(Refunded("re2", 2500, "ch1")))
    looked = half.then(effects=[look]).without_pending(look.key)
    shown = EffectResult(look, replace(TOOK, refunded_minor=2500))
    looked.when(shown).then(replace(REFUNDED, refund_id="re2", amount_minor=1250))


def test_a_capture_that_the_refund_implies_is_booked_with_it() -> None:
    """Given a charge of which nothing is booked, and of which the currency may be unknown; then
    both are taken from the charge."""
    read(MATRIX.given("refunding void"), 2500).then(LATE, REFUNDED)
    blind = replace(LATE, order=facts_without_lines())
    fence = replace(FENCE, refund_id="re1", amount_minor=2500, currency="EUR")
    read(MATRIX.given("refunding blind"), 2500).then(blind, fence)


def test_a_rest_captured_just_before_the_undo_is_booked_with_its_refund() -> None:
    started = replace(STARTED, amount_minor=1)
    undone = MATRIX.given("mismatched").when(undo()).then(started, effects=[refund(1, "ch1", None)])
    read(undone, 2500).then(LATE, REFUNDED)


def test_a_provider_that_does_not_say_what_was_refunded_proves_nothing() -> None:
    read(MATRIX.given("captured"), refunded_minor=None).then_nothing()


def test_a_refund_of_an_order_that_is_kept_is_not_made_to_fit_the_books() -> None:
    """Given books that show a refund of a paid order which the provider does not have; when the
    difference is found; then nothing is refunded: the order keeps its money."""
    booked = read(MATRIX.given("captured"), refunded_minor=2500).state()
    look = look_effect("o1", "ch1", "2500:0", booked_minor=2500)
    found = EffectResult(look, replace(TOOK, refunded_minor=0))
    booked.when(found).then_nothing()
