"""One rule holds for ids, whoever reads them: printable, in one form, joined where words are."""

import unicodedata
from collections.abc import Callable
from contextlib import nullcontext

import click
import pytest

from saga_cli.declarations import ID
from sagakit.errors import BadKey
from sagakit.identity import id_fault, is_plain
from sagakit.messages.codec import record_saga_id
from sagakit.web.signed_webhook import text_of
from schemas.rules import id_problems
from services.inventory.decide import can_be_stocked

PERSIAN, HINDI = "می\u200cروم", "क्\u200dष"
"""Words that are written with a joiner that nobody sees."""


@pytest.mark.parametrize("text", ["o-1", "Auftrag 7/ä", "🫖", PERSIAN, HINDI, "x" * 128])
def test_what_people_write_is_an_id(text: str) -> None:
    assert id_fault(text, 128) is None
    assert is_plain(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("x" * 129, "1 to 128"),
        ("a\nb", "printable"),
        ("a\u202eb", "printable"),
        ("\ud800", "printable"),
        ("\u200ca", "printable"),
        ("a\u200d", "printable"),
        ("o\u200c-1", "printable"),
        ("1\u200d2", "printable"),
        ("👩\u200d🚀", "printable"),
        ("a\u200c\u200db", "printable"),
        (unicodedata.normalize("NFD", "é"), "NFC"),
        ("\u212b", "NFC"),
    ],
)
def test_what_looks_like_another_id_is_none(text: str, fault: str) -> None:
    found = id_fault(text, 128)
    assert found is not None
    assert fault in found


@pytest.mark.parametrize("text", [PERSIAN, unicodedata.normalize("NFD", "é"), "a\u200c", "é", "o1"])
def test_one_rule_holds_at_every_reader(text: str) -> None:
    """A record key, an order's id and SKU, a reference of a webhook and a command take the same."""
    good = id_fault(text, 128) is None
    assert (not list(id_problems("order_id", text))) is good
    assert can_be_stocked(text) is good
    reads: list[Callable[[], str]] = [
        lambda: record_saga_id(text.encode()),
        lambda: text_of({"id": text}, "id"),
    ]
    for read in reads:
        with nullcontext() if good else pytest.raises((BadKey, ValueError)):
            read()
    with nullcontext() if good else pytest.raises(click.BadParameter):
        ID.convert(text, None, None)
