"""Notification: what it answers in every situation; one mail per order and kind."""

from dataclasses import replace

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from sagakit.decider import (
    NOTHING,
    Callback,
    Command,
    Decision,
    Do,
    Effect,
    EffectResult,
    Observed,
    Trigger,
    Undo,
)
from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Participant
from sagakit.testing import DecisionMatrix, Past, given, round_trip
from schemas.events import (
    CancellationMailSent,
    ConfirmationMailSent,
    InventoryRejected,
    InventoryReleased,
    PaymentRefunded,
    PaymentRefundFailed,
    RefundMailSent,
    ShipmentCreated,
    ShipmentPickedUp,
    ShippedMailSent,
)
from services.notification.decide import (
    EVENT_BY_KIND,
    MailAccepted,
    Mailing,
    MailKind,
    MailRefused,
    decide,
    evolve,
    mail_key,
)
from services.notification.gateway import message, message_id
from services.notification.store import store
from tests.order_facts import TWO_TEAS

NOTIFICATION = Participant("notification", decide, evolve, MemoryStore(Mailing()))
ADA = TWO_TEAS.email
FACTS = TWO_TEAS
NO_ADDRESS = "this is no mail address; correct it in the shop and write to the customer"


def labelled(email: str = ADA) -> ShipmentCreated:
    order = replace(FACTS, email=email)
    return ShipmentCreated(order_id="o1", order=order, label_id="lb1", tracking="T1")


def picked_up(email: str = ADA) -> ShipmentPickedUp:
    order = replace(FACTS, email=email)
    return ShipmentPickedUp(order_id="o1", order=order, label_id="lb1", tracking="T1")


def refunded(
    amount_minor: int = 2500, currency: str | None = "EUR", email: str | None = ADA
) -> PaymentRefunded:
    return PaymentRefunded(
        order_id="o1", amount_minor=amount_minor, currency=currency, reason="undone", email=email
    )


def refund_failed(amount_minor: int = 2500, email: str | None = ADA) -> PaymentRefundFailed:
    return PaymentRefundFailed(
        order_id="o1",
        refund_id="re1",
        amount_minor=amount_minor,
        currency="EUR",
        reason="the account is closed",
        email=email,
    )


def released(email: str | None = ADA) -> InventoryReleased:
    return InventoryReleased(order_id="o1", lines=(), reason="cancelled", email=email)


def mail(kind: MailKind, **facts: str) -> Effect:
    return Effect("mail", mail_key(kind), {"order_id": "o1", "kind": kind.value, "to": ADA} | facts)


SENT = {kind: event_type(order_id="o1", to=ADA) for kind, event_type in EVENT_BY_KIND.items()}
MAILS = {
    MailKind.CONFIRMED: mail(MailKind.CONFIRMED),
    MailKind.SHIPPED: mail(MailKind.SHIPPED, tracking="T1"),
    MailKind.CANCELLED: mail(MailKind.CANCELLED),
    MailKind.REFUNDED: mail(MailKind.REFUNDED, amount="25.00 EUR"),
    MailKind.CORRECTED: mail(MailKind.CORRECTED, amount="25.00 EUR"),
}

# --- the matrix -----------------------------------------------------------------------------------

STATES: dict[str, Past] = {
    "nothing sent": Past(),
    **{f"{kind} sent": Past((SENT[kind],)) for kind in MailKind},
    **{f"{kind} in flight": Past(in_flight=(mail_key(kind),)) for kind in MailKind},
    "all sent": Past(tuple(SENT.values())),
}
TRIGGERS: dict[str, Trigger] = {
    "do": Do(picked_up()),
    "do, no address": Do(picked_up("nobody")),
    "label made": Observed("ShipmentCreated", labelled()),
    "refunded": Observed("PaymentRefunded", refunded()),
    "refunded nothing": Observed("PaymentRefunded", refunded(0)),
    "refunded, address unknown": Observed("PaymentRefunded", refunded(email=None)),
    "refund failed": Observed("PaymentRefundFailed", refund_failed()),
    "refund failed, nothing was booked": Observed("PaymentRefundFailed", refund_failed(0)),
    "refund failed, address unknown": Observed("PaymentRefundFailed", refund_failed(email=None)),
    "undone": Observed("undone", released()),
    "undone, address unknown": Observed("undone", released(None)),
    "undone, event without address": Observed("undone", labelled()),
    "observed something else": Observed("completed", labelled()),
    **{f"{kind} accepted": EffectResult(MAILS[kind], MailAccepted(kind, ADA)) for kind in MailKind},
    **{
        f"{kind} refused": EffectResult(MAILS[kind], MailRefused(kind, ADA, "550 no"))
        for kind in MailKind
    },
    "other result": EffectResult(MAILS[MailKind.SHIPPED], None),
    "undo": Undo(released(), "never comes"),
    "callback": Callback(MailAccepted(MailKind.SHIPPED, ADA)),
    "verdict": Command("approve", "bob", "fine"),
}


def unless(answer: Decision, *begun: str) -> dict[str, Decision]:
    """A row of the matrix: this answer, but none in the states named."""
    assert set(begun) <= STATES.keys()
    return {name: NOTHING if name in begun else answer for name in STATES}


def mails(kind: MailKind, *also_not: str) -> dict[str, Decision]:
    asked = Decision(effects=(MAILS[kind],))
    return unless(asked, f"{kind} sent", f"{kind} in flight", "all sent", *also_not)


def reports(kind: MailKind, refused: str | None = None, to: str = ADA) -> Decision:
    return Decision((replace(SENT[kind], refused=refused, to=to),))


CELLS: dict[str, dict[str, Decision]] = {
    "do": mails(MailKind.SHIPPED),
    "do, no address": unless(
        reports(MailKind.SHIPPED, NO_ADDRESS, "nobody"),
        "shipped sent",
        "shipped in flight",
        "all sent",
    ),
    # what was confirmed is cancelled by now: nobody is told the stale news
    "label made": mails(MailKind.CONFIRMED, "cancelled sent", "cancelled in flight"),
    "refunded": mails(MailKind.REFUNDED),
    "refunded nothing": unless(NOTHING),
    "refunded, address unknown": unless(NOTHING),
    "refund failed": {
        **unless(NOTHING),
        "refunded sent": Decision(effects=(MAILS[MailKind.CORRECTED],)),
        "refunded in flight": Decision(effects=(MAILS[MailKind.CORRECTED],)),
    },
    "refund failed, nothing was booked": unless(NOTHING),
    "refund failed, address unknown": unless(NOTHING),
    "undone": mails(MailKind.CANCELLED),
    "undone, address unknown": unless(NOTHING),
    "undone, event without address": unless(NOTHING),
    "observed something else": unless(NOTHING),
    **{f"{kind} accepted": unless(reports(kind), f"{kind} sent", "all sent") for kind in MailKind},
    **{
        f"{kind} refused": unless(reports(kind, "550 no"), f"{kind} sent", "all sent")
        for kind in MailKind
    },
    "other result": unless(NOTHING),
    "undo": unless(NOTHING),
    "callback": unless(NOTHING),
    "verdict": unless(NOTHING),
}


MATRIX = DecisionMatrix(NOTIFICATION, Mailing(), STATES, TRIGGERS, CELLS)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)


@pytest.mark.parametrize("name", STATES)
def test_the_state_survives_its_table(name: str) -> None:
    state = MATRIX.given(name).state
    assert round_trip(store(), state) == replace(state, in_flight=frozenset())


# --- stories --------------------------------------------------------------------------------------


def test_a_customer_gets_a_confirmation_and_a_shipping_mail() -> None:
    start = given(NOTIFICATION, Mailing())
    asked = start.when(Observed("ShipmentCreated", labelled())).then(
        effects=[MAILS[MailKind.CONFIRMED]]
    )
    undone = asked.when(
        EffectResult(MAILS[MailKind.CONFIRMED], MailAccepted(MailKind.CONFIRMED, ADA))
    )
    confirmed = undone.then(ConfirmationMailSent(order_id="o1", to=ADA))
    shipping = confirmed.when(Do(picked_up())).then(effects=[MAILS[MailKind.SHIPPED]])
    done = shipping.when(EffectResult(MAILS[MailKind.SHIPPED], MailAccepted(MailKind.SHIPPED, ADA)))
    done.then(ShippedMailSent(order_id="o1", to=ADA)).when(Do(picked_up())).then_nothing()


def test_a_cancellation_reported_twice_sends_one_mail() -> None:
    asked = MATRIX.given("nothing sent").when(Observed("undone", released()))
    asked.then(effects=[MAILS[MailKind.CANCELLED]]).when(
        Observed("undone", released())
    ).then_nothing()


def test_a_rejected_order_is_a_cancelled_one_to_its_customer() -> None:
    rejected = InventoryRejected(order_id="o1", code="out_of_stock", reason="", skus=(), email=ADA)
    observed = MATRIX.given("nothing sent").when(Observed("undone", rejected))
    sent = observed.then(effects=[MAILS[MailKind.CANCELLED]])
    accepted = sent.when(
        EffectResult(MAILS[MailKind.CANCELLED], MailAccepted(MailKind.CANCELLED, ADA))
    )
    accepted.then(CancellationMailSent(order_id="o1", to=ADA))


@pytest.mark.parametrize(
    ("amount_minor", "currency", "written"),
    [
        (2500, "EUR", "25.00 EUR"),
        (5, "EUR", "0.05 EUR"),
        (2500, "JPY", "2500 JPY"),
        (2500, "KWD", "2.500 KWD"),
        (10**12, "EUR", "10000000000.00 EUR"),
        (2500, None, "2500 minor units"),
        (2500, "???", "2500 minor units ???"),
    ],
)
def test_amounts_have_their_currencys_digits(
    amount_minor: int, currency: str | None, written: str
) -> None:
    observed = Observed("PaymentRefunded", refunded(amount_minor, currency))
    MATRIX.given("nothing sent").when(observed).then(
        effects=[mail(MailKind.REFUNDED, amount=written)]
    )


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a@b, eve@evil.example",
        "a@b\r\nBcc: eve@evil.example",
        "a@b\nX: y",
        "<a@b>",
        "a b@c",
        "a@b\0",
        "a" * 250 + "@b.example",
    ],
)
def test_what_is_no_address_is_refused_and_never_reaches_the_mail_server(address: str) -> None:
    refused = RefundMailSent(order_id="o1", to=address[:254], refused=NO_ADDRESS)
    observed = Observed("PaymentRefunded", refunded(email=address))
    if address:
        MATRIX.given("nothing sent").when(observed).then(refused)
    else:
        MATRIX.given("nothing sent").when(observed).then_nothing()


# --- the mail -------------------------------------------------------------------------------------


HEADERS = (
    b"From To Subject Message-ID X-Saga-Kind X-Saga-Reference Auto-Submitted MIME-Version".split()
)
HEADERS += [b"Content-Type", b"Content-Transfer-Encoding"]


@forall(st.text(min_size=1, max_size=128), st.sampled_from(MailKind), st.text())
def test_no_text_gets_into_another_header(order_id: str, kind: MailKind, tracking: str) -> None:
    payload = {
        "order_id": order_id,
        "kind": kind.value,
        "to": ADA,
        "tracking": tracking,
        "amount": "25.00 EUR",
    }
    try:
        order_id.encode()
        tracking.encode()
    except UnicodeEncodeError:
        return  # lone surrogates never come out of UTF-8
    written = message(payload, f"order/{order_id}").as_bytes()
    headers = written.split(b"\n\n", 1)[0].split(b"\n")
    names = [line.split(b":")[0] for line in headers if not line.startswith((b" ", b"\t"))]
    assert sorted(names) == sorted(HEADERS)


ORDERS = ("o1", "o1 ", "ö", "<x@y>")


def test_the_message_id_is_that_of_saga_and_kind() -> None:
    ids = {message_id(kind, f"order/{order}") for kind in MailKind for order in ORDERS}
    assert len(ids) == len(MailKind) * len(ORDERS)
    assert message_id("shipped", "order/o1") == message_id(MailKind.SHIPPED, "order/o1")
    assert all(i.isascii() and len(i) < 80 and i.count("@") == 1 for i in ids)
