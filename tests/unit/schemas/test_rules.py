"""What makes an order invalid, and that each reason names the field."""

import math
from dataclasses import replace
from typing import Any

import pytest

from schemas.events import OrderFacts, OrderLine
from schemas.rules import email_of, minor_digits, printable, problems

LINE = OrderLine(sku="tea", quantity=2, unit_price_minor=450)
ORDER = OrderFacts(
    customer_id="c-1",
    email="ada@example.org",
    currency="EUR",
    total_minor=900,
    lines=(LINE,),
    card_token="tok_ok",
    ship_to="1 Lovelace Road\nLondon",
)


def test_a_good_order_has_no_problems() -> None:
    assert problems("o-1", ORDER) == ()


def test_several_lines_of_one_sku_are_fine() -> None:
    assert problems("o-1", replace(ORDER, lines=(LINE, LINE), total_minor=1800)) == ()


def test_a_free_line_is_fine_where_the_total_is_not_zero() -> None:
    gift = OrderLine(sku="sticker", quantity=1, unit_price_minor=0)
    assert problems("o-1", replace(ORDER, lines=(LINE, gift))) == ()


def line(**change: Any) -> dict[str, Any]:
    """An order of one changed line whose total agrees with it."""
    changed = replace(LINE, **change)
    return {"lines": (changed,), "total_minor": changed.quantity * changed.unit_price_minor}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lines": (), "total_minor": 0}, "lines has 0 entries"),
        ({"lines": (LINE,) * 1001, "total_minor": 900_900}, "lines has 1001 entries"),
        (line(quantity=0), "lines[0].quantity is 0"),
        (line(quantity=-1), "lines[0].quantity is -1"),
        (line(quantity=10**6 + 1), "lines[0].quantity is 1000001"),
        (line(unit_price_minor=-5), "lines[0].unit_price_minor is -5"),
        (line(sku=""), "lines[0].sku is empty"),
        (line(sku="x" * 129), "lines[0].sku 'xxx"),
        (line(sku="a\x00b"), "lines[0].sku 'a\\x00b'"),
        ({"total_minor": 899}, "the lines add up to 900"),
        (line(unit_price_minor=0), "total_minor is 0"),
        (line(quantity=10**6, unit_price_minor=10**7), "total_minor is 10000000000000"),
        (line(unit_price_minor=10**12 + 1), "lines[0].unit_price_minor is 1000000000001"),
        (line(unit_price_minor=2**63 - 1), "lines[0].unit_price_minor is 9223372036854775807"),
        (line(unit_price_minor=10**5000), "lines[0].unit_price_minor is above 1000"),
        ({"currency": "eur"}, "currency 'eur'"),
        ({"currency": "XYZ"}, "currency 'XYZ'"),
        ({"currency": "XAU"}, "currency 'XAU'"),
        ({"currency": ""}, "currency ''"),
        ({"email": ""}, "email ''"),
        ({"email": "nobody"}, "email 'nobody'"),
        ({"email": "a@b\r\nBcc: c@d"}, "email"),
        ({"email": "a" * 320 + "@example.org"}, "email"),
        ({"customer_id": " "}, "customer_id is empty"),
        ({"card_token": ""}, "card_token is empty"),
        ({"card_token": "t" * 256}, "card_token"),
        ({"ship_to": ""}, "ship_to is empty"),
        ({"ship_to": "a\x00b"}, "ship_to"),
        ({"ship_to": "a\ud800b"}, "ship_to"),
        ({"ship_to": "x" * 1001}, "ship_to"),
        ({"fraud_score": math.nan}, "fraud_score is nan"),
        ({"fraud_score": math.inf}, "fraud_score is inf"),
        ({"fraud_score": -0.1}, "fraud_score is -0.1"),
        ({"loyalty_card": ""}, "loyalty_card is empty"),
        ({"loyalty_card": "L" * 65}, "loyalty_card"),
    ],
)
def test_a_problem_names_its_field(change: dict[str, Any], field: str) -> None:
    (reason,) = problems("o-1", replace(ORDER, **change))
    assert field in reason
    assert reason.isprintable()
    assert len(reason) < 250


@pytest.mark.parametrize("order_id", ["", " ", "x" * 129, "a\nb", "\ud800"])
def test_an_order_id_is_printable_and_short(order_id: str) -> None:
    (reason,) = problems(order_id, ORDER)
    assert reason.startswith("order_id")


def test_all_problems_are_reported_at_once() -> None:
    assert len(problems("", replace(ORDER, currency="?", email="", total_minor=-1))) == 5


@pytest.mark.parametrize(("currency", "digits"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_minor_digits(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits


@pytest.mark.parametrize("currency", ["XXX", "XAU", "eur", "", "E" * 10_000])
def test_minor_digits_of_no_currency(currency: str) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        minor_digits(currency)


def test_the_address_is_known_even_of_a_bad_order() -> None:
    assert email_of(replace(ORDER, lines=())) == "ada@example.org"
    assert email_of(replace(ORDER, email="a@b\r\nBcc: c@d")) is None


def test_speakable_text_has_no_control_characters() -> None:
    assert printable("a\x00b\nc\ud800") == "a b c "
    assert printable("x" * 1000, 10) == "x" * 10
