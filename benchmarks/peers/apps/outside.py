"""Defines the calls to provider, carrier and mail server, for both choreographies over HTTP.

Repeating a call is safe: provider and carrier know its idempotency key, and mailbox providers merge
mails with the same Message-ID.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from benchmarks.peers.apps.steps import (
    CAPTURED,
    LABELLED,
    PICKED_UP,
    REJECTED,
    RELEASED,
    RESERVED,
    Order,
)

SENDER = "orders@shop.example"
CONFIRMED, SHIPPED, CANCELLED = "confirmed", "shipped", "cancelled"
TEXTS = {
    CONFIRMED: ("Your order {} is confirmed", "Thank you. Your order {} is paid and packed."),
    SHIPPED: ("Your order {} is on its way", "The carrier has your order {}."),
    CANCELLED: ("Your order {} is cancelled", "Your order {} is cancelled. You pay nothing."),
}
"""Subject and text by kind of mail."""


@dataclass(frozen=True)
class HttpCall:
    """A POST of JSON to a server of the outside, named as its environment variable."""

    server: str
    path: str
    key: str
    body: Mapping[str, Any]


Call = HttpCall | EmailMessage


def charge_call(order: Order) -> HttpCall:
    """Return the call that charges the card."""
    body = {"reference": order["order_id"], "amount_minor": order["total_minor"]}
    body |= {name: order[name] for name in ("currency", "card_token")}
    return HttpCall("BENCH_PROVIDER", "/v1/charges", f"{order['order_id']}:charge", body)


def label_call(order: Order) -> HttpCall:
    """Return the call that makes the label."""
    lines = [{name: line[name] for name in ("sku", "quantity")} for line in order["lines"]]
    body = {"reference": order["order_id"], "lines": lines}
    body |= {name: order[name] for name in ("ship_to", "email")}
    return HttpCall("BENCH_CARRIER", "/v1/labels", f"{order['order_id']}:label", body)


def mail(order: Order, kind: str) -> EmailMessage:
    """Return the customer's mail of this kind."""
    subject, text = TEXTS[kind]
    order_id = order["order_id"]
    message = EmailMessage()
    message["From"], message["To"] = SENDER, order["email"]
    message["Subject"] = subject.format(order_id)
    message["Message-ID"] = f"<{kind}.{order_id}@shop>"
    message["X-Saga-Kind"], message["X-Saga-Reference"] = kind, order_id
    message.set_content(text.format(order_id) + "\n")
    return message


CALLS: Mapping[str, Mapping[str, Callable[[Order], Call]]] = {
    "payment": {RESERVED: charge_call},
    "shipping": {CAPTURED: label_call},
    "notification": {
        LABELLED: lambda order: mail(order, CONFIRMED),
        PICKED_UP: lambda order: mail(order, SHIPPED),
        RELEASED: lambda order: mail(order, CANCELLED),
        REJECTED: lambda order: mail(order, CANCELLED),
    },
}


def call_for(service: str, event: Mapping[str, Any]) -> Call | None:
    """Return the call that the service makes before it handles the event; None without one."""
    make_call = CALLS.get(service, {}).get(event["type"])
    return make_call and make_call(event["order"])
