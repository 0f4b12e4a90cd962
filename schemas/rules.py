"""Holds the rules about orders that every participant shares: validation and currency digits.

Pure. Each participant calls `problems` itself, since anyone may publish an OrderPlaced.
"""

import re
from collections.abc import Iterator

from iso4217 import Currency

from sagakit.identity import id_fault
from sagakit.privacy.sealed_text import is_sealed
from schemas.events import OrderFacts, OrderLine

MAX_ORDER_ID = MAX_SKU = MAX_CUSTOMER_ID = 128
MAX_EMAIL = 320
MAX_CARD_TOKEN = 255
MAX_LOYALTY_CARD = 64
MAX_SHIP_TO = 1000
MAX_LINES = 1000
MAX_QUANTITY = 10**6
MAX_TOTAL_MINOR = 10**12
_SHOWN = 40
_LONGEST = 10**20
"""A number from here on is not quoted digit by digit."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and lone surrogates, which UTF-8 cannot encode."""

# Funds codes, metals and test codes have no minor unit: nothing can be charged in them.
_MINOR_DIGITS = {c.code: c.exponent for c in Currency if c.exponent is not None}


def minor_digits(currency: str) -> int:
    """Return the digits of a currency's minor unit: 2 for EUR, 0 for JPY, 3 for KWD (ISO 4217).

    Raises ValueError for a code that is not a currency one can pay in.
    """
    try:
        return _MINOR_DIGITS[currency]
    except KeyError:
        raise ValueError(_no_currency(currency)) from None


def problems(order_id: str, order: OrderFacts) -> tuple[str, ...]:
    """Return the reasons why an order is invalid; empty for a valid order.

    Each reason names the field, its value and the remedy. Several lines of one SKU are allowed;
    they are added up.
    """
    return tuple(_problems(order_id, order))


def id_problems(field: str, value: str) -> tuple[str, ...]:
    """Return why the id of an order or a batch is unfit; both follow the rule for order ids."""
    return tuple(_name(field, value, MAX_ORDER_ID))


def email_of(order: OrderFacts) -> str | None:
    """Return the customer's address, even of an otherwise invalid order; None if it is unfit."""
    return None if list(_address("email", order.email)) else order.email


def printable(text: str, limit: int = 500) -> str:
    """Return `text` in a form that is safe to store and show.

    Control characters become spaces; at most `limit` characters are kept.
    """
    return _CONTROL.sub(" ", text[:limit])


def _problems(order_id: str, order: OrderFacts) -> Iterator[str]:
    yield from _name("order_id", order_id, MAX_ORDER_ID)
    yield from _name("customer_id", order.customer_id, MAX_CUSTOMER_ID)
    yield from _name("card_token", order.card_token, MAX_CARD_TOKEN)
    yield from _address("email", order.email)
    yield from _place("ship_to", order.ship_to)
    if order.currency not in _MINOR_DIGITS:
        yield _no_currency(order.currency)
    if not 0 <= order.fraud_score <= 1:
        yield f"fraud_score is {order.fraud_score}: give a number from 0 to 1"
    if order.loyalty_card is not None:
        yield from _name("loyalty_card", order.loyalty_card, MAX_LOYALTY_CARD)
    yield from _lines(order)


def _lines(order: OrderFacts) -> Iterator[str]:
    if not 1 <= len(order.lines) <= MAX_LINES:
        yield f"lines has {len(order.lines)} entries: an order has 1 to {MAX_LINES}"
        return
    wrong = [reason for i, line in enumerate(order.lines) for reason in _line(f"lines[{i}]", line)]
    if wrong:
        yield from wrong
        return
    total = sum(line.quantity * line.unit_price_minor for line in order.lines)
    if total != order.total_minor:
        given = _number(order.total_minor)
        yield f"total_minor is {given}, but the lines add up to {total}: correct one"
    if not 1 <= order.total_minor <= MAX_TOTAL_MINOR:
        yield f"total_minor is {_number(order.total_minor)}: it must be 1 to {MAX_TOTAL_MINOR}"


def _line(where: str, line: OrderLine) -> Iterator[str]:
    yield from _name(f"{where}.sku", line.sku, MAX_SKU)
    if not 1 <= line.quantity <= MAX_QUANTITY:
        yield f"{where}.quantity is {_number(line.quantity)}: it must be 1 to {MAX_QUANTITY}"
    if not 0 <= line.unit_price_minor <= MAX_TOTAL_MINOR:
        price = _number(line.unit_price_minor)
        yield f"{where}.unit_price_minor is {price}: it must be 0 to {MAX_TOTAL_MINOR}"


def _number(number: int) -> str:
    """Return the number as it is quoted: Python prints none of more than 4,300 digits."""
    if abs(number) < _LONGEST:
        return str(number)
    return f"below -{_LONGEST}" if number < 0 else f"above {_LONGEST}"


def _name(field: str, value: str, limit: int) -> Iterator[str]:
    if not value.strip():
        yield f"{field} is empty: give 1 to {limit} printable characters"
    elif fault := id_fault(value, limit):
        yield f"{field} {_quote(value)} {fault}"


def _address(field: str, value: str) -> Iterator[str]:
    if is_sealed(value):
        return  # only the adapter that opens it sees the address
    local, _, domain = value.rpartition("@")
    fit = len(value) <= MAX_EMAIL and value.isprintable() and " " not in value
    if not (fit and local and domain):
        yield (
            f"{field} {_quote(value)} is not valid: "
            f"write name@domain, at most {MAX_EMAIL} characters"
        )


def _place(field: str, value: str) -> Iterator[str]:
    """Check a postal address; line feeds are allowed, since addresses have lines."""
    if is_sealed(value):
        return
    if not value.strip():
        yield f"{field} is empty: give an address of 1 to {MAX_SHIP_TO} characters"
    elif len(value) > MAX_SHIP_TO or _CONTROL.search(value.replace("\n", "")):
        yield (
            f"{field} {_quote(value)} is not valid: "
            f"give 1 to {MAX_SHIP_TO} characters, no control characters"
        )


def _quote(value: str) -> str:
    """Return the start of a value in ASCII, harmless to print."""
    return ascii(value[:_SHOWN]) + ("..." if len(value) > _SHOWN else "")


def _no_currency(code: str) -> str:
    return f"currency {_quote(code)} cannot be charged: give an ISO 4217 code such as EUR or JPY"
