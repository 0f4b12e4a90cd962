"""Defines the kinds of orders and the end each must reach.

An order's content (card token, address tag, mailbox) chooses how the provider, the carrier and the
mail server of `shop.outside` treat it, as documented there; people do the rest.
"""

from dataclasses import dataclass
from enum import StrEnum

from saga_lab.workload import End, SagaKind


class Basket(StrEnum):
    """Lists the kinds of order lines."""

    FEW = "few"
    MANY = "many"
    DEAR = "dear"
    SOLD_OUT = "sold_out"
    EMPTY = "empty"
    NEGATIVE = "negative"
    OVERFLOW = "overflow"


class ActionMoment(StrEnum):
    """Lists the moments a person waits for before acting."""

    PLACED = "placed"
    ASKED = "asked"
    LABELLED = "labelled"
    PICKED_UP = "picked_up"


class PersonAction(StrEnum):
    """Lists the actions of a person."""

    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"


class DuplicateContent(StrEnum):
    """Lists the contents of a second order under the same id."""

    SAME = "same"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class OrderKind(SagaKind):
    """Describes a kind of order. `tags`: address tags of the carrier; `acts`: when a person does
    what; `second`: a second order under the same id; `captured_late`: after its end money is
    captured and refunded, and only then is it settled."""

    card: str = "tok_ok"
    tags: str = ""
    mailbox: str = ""
    basket: Basket = Basket.FEW
    currency: str | None = None
    fraud_score: float = 0.0
    acts: tuple[ActionMoment, PersonAction] | None = None
    second: DuplicateContent | None = None
    captured_late: bool = False

    @property
    def invalid(self) -> bool:
        """Return True for invalid content, which HTTP refuses and the participants cancel."""
        return self.end is End.REFUSED


_DONE, _UNDONE, _NO = End.COMPLETED, End.CANCELLED, End.REFUSED
_ASKED, _PICKED_UP = ActionMoment.ASKED, ActionMoment.PICKED_UP
_NEVER = "[no-pickup]"
_GREYLIST = "greylist4+"  # the mail, and so the order, stays open for some seconds after the pickup

KINDS: tuple[OrderKind, ...] = (
    OrderKind("plain", _DONE, "nothing special", share=20),
    OrderKind("many_lines", _DONE, "eight SKUs, all or nothing", share=5, basket=Basket.MANY),
    OrderKind("declined", _UNDONE, "the card is declined", share=2, card="tok_declined"),
    OrderKind("out_of_stock", _UNDONE, "one line is sold out", share=2, basket=Basket.SOLD_OUT),
    OrderKind("bounced_mail", _DONE, "the mail server refuses the address", mailbox="bounce+"),
    OrderKind("greylisted_mail", _DONE, "the mail server says: later", mailbox="greylist2+"),
    # payment
    OrderKind(
        "action_required", _DONE, "the customer confirms with the bank", card="tok_action_auto:1"
    ),
    OrderKind(
        "action_never",
        _UNDONE,
        "the customer never confirms: times out",
        card="tok_action",
        times_out=True,
    ),
    OrderKind("async_capture", _DONE, "captured later, by webhook", card="tok_async:2"),
    OrderKind("async_declined", _UNDONE, "declined later, by webhook", card="tok_async_declined:2"),
    OrderKind("slow_charge", _DONE, "the provider takes 3 s to answer", card="tok_slow:3"),
    OrderKind("provider_500", _DONE, "the provider fails three times", card="tok_500:3"),
    OrderKind("response_lost", _DONE, "charged, but the answer is lost", card="tok_lost"),
    OrderKind(
        "callback_first", _DONE, "the webhook overtakes the answer", card="tok_async_before:2"
    ),
    OrderKind(
        "late_capture",
        _UNDONE,
        "times out, is undone, and then captured: goes back",
        card="tok_late:1",
        times_out=True,
        captured_late=True,
    ),
    # people
    OrderKind(
        "review_approved",
        _DONE,
        "a person approves a large order",
        basket=Basket.DEAR,
        acts=(_ASKED, PersonAction.APPROVE),
    ),
    OrderKind(
        "review_rejected",
        _UNDONE,
        "a person rejects a doubtful order",
        fraud_score=0.95,
        acts=(_ASKED, PersonAction.REJECT),
    ),
    OrderKind(
        "fraudulent",
        _UNDONE,
        "taken for fraud; where nobody checks, a person rejects it",
        fraud_score=0.995,
        acts=(_ASKED, PersonAction.REJECT),
    ),
    OrderKind(
        "review_ignored",
        _UNDONE,
        "nobody reviews it: times out",
        basket=Basket.DEAR,
        times_out=True,
    ),
    OrderKind(
        "cancelled_early",
        _UNDONE,
        "cancelled right after it was placed",
        tags=_NEVER,
        acts=(ActionMoment.PLACED, PersonAction.CANCEL),
    ),
    OrderKind(
        "cancelled_labelled",
        _UNDONE,
        "cancelled when the parcel is packed",
        tags=_NEVER,
        acts=(ActionMoment.LABELLED, PersonAction.CANCEL),
    ),
    OrderKind(
        "cancelled_too_late",
        _DONE,
        "cancelled when the carrier has it: refused",
        mailbox=_GREYLIST,
        acts=(_PICKED_UP, PersonAction.CANCEL),
    ),
    # shipping, and money that goes back
    OrderKind("carrier_refuses", _UNDONE, "no delivery there", tags="[refuse]"),
    OrderKind("carrier_500", _DONE, "the carrier fails three times", tags="[500:3]"),
    OrderKind("carrier_lost", _DONE, "the carrier's answer is lost", tags="[lost]"),
    OrderKind("no_pickup", _UNDONE, "never picked up: times out", tags=_NEVER, times_out=True),
    OrderKind(
        "cancel_500",
        _UNDONE,
        "never picked up, and cancelling fails twice",
        tags=f"{_NEVER} [cancel-500:2]",
        times_out=True,
    ),
    OrderKind(
        "refund_500",
        _UNDONE,
        "the refund fails three times",
        card="tok_refund_500:3",
        tags="[refuse]",
    ),
    OrderKind(
        "refund_partial",
        _UNDONE,
        "the refund comes in two parts",
        card="tok_refund_partial",
        tags="[refuse]",
    ),
    OrderKind(
        "refund_async",
        _UNDONE,
        "the refund is reported later",
        card="tok_refund_async:2",
        tags="[refuse]",
    ),
    # what a shop may send by mistake
    OrderKind("duplicate", _DONE, "the same order twice", second=DuplicateContent.SAME),
    OrderKind("conflict", _DONE, "another order under the same id", second=DuplicateContent.OTHER),
    OrderKind("no_lines", _NO, "nothing is ordered", basket=Basket.EMPTY),
    OrderKind("negative_quantity", _NO, "-1 units", basket=Basket.NEGATIVE),
    OrderKind("no_such_currency", _NO, "a currency that does not exist", currency="ZZZ"),
    OrderKind("overflow_amount", _NO, "a total beyond all bounds", basket=Basket.OVERFLOW),
)

BY_NAME = {kind.name: kind for kind in KINDS}
