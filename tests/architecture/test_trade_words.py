"""The platform speaks of no trade: what an application is about stands in its own folders."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, TEMPLATE

PLATFORM = ("sagakit", "saga_monitor", "saga_cli", "saga_lab")
SUFFIXES = {".py", ".toml", ".avsc", ".html", ".j2", ".md"}
TRADE = frozenset(
    word
    for line in (
        "order orders ordered payment payments pay paid payer charge charges charged sku skus",
        "parcel parcels stock captured capture captures refund refunds refunded customer customers",
        "carrier carriers warehouse shipment shipments shipping shipped ship basket baskets cart",
        "card cards invoice invoices currency price prices mail mails email emails",
        "hotel hotels trip trips airline loyalty fraud",
    )
    for word in line.split()
)
"""Words of trades. `label` is missing: a flow has labels (`order/2`), and so has a metric."""
HARMLESS = re.compile(
    r"""
    \bin\ ((any|this|that|which|whatever|the|log|their|one|sorted|the\ other|the\ same)\ )?order\b
    | \b(sort|lock|log|total|partial|record|source|topological|reverse|step|right|same)[ _]order
    | \b(id|commit|key|random|insertion|offset|their|another|this)\ order\b
    | \bkeeps?\ the\ order\b
    | \b_order\( | \bkey=_order\b | \b_(log|record|out_of)_order\b
    | \(order=True | ^The\ order: | \border\ per\ producer\b | ^\s+order\.$
    | \border\ (of|in\ which|by)\b | \bORDER\ BY\b | \border_by\b | \bout\ of\ order\b
    | \bround[ _]trips?\b                    # of a network, of a value
    | \bcapture_(output|logs|signals)\b      # of subprocess, structlog and uvicorn
    | \bemail\.utils\b                       # parses the dates of HTTP
    """,
    re.VERBOSE | re.MULTILINE,
)
EXCEPTIONS: Mapping[str, frozenset[str]] = {}
"""File -> the words that it may have, each with its reason beside it."""


def files() -> Iterator[Path]:
    """All but the template: it is an application."""
    for package in PLATFORM:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in SUFFIXES and TEMPLATE not in str(path):
                yield path


def trade_words(text: str) -> Iterator[tuple[int, str]]:
    """(line number, word): words of texts and of names, which are taken apart."""
    for number, line in enumerate(text.splitlines(), 1):
        rest = HARMLESS.sub(" ", line)
        for name in re.findall(r"[A-Za-z]+", rest):
            for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name):
                if part.lower() in TRADE:
                    yield number, part


def test_the_platform_has_no_word_of_a_trade() -> None:
    found = [
        f"{name}, line {number}: {word}"
        for path in files()
        for name in [str(path.relative_to(ROOT))]
        for number, word in trade_words(path.read_text())
        if word.lower() not in EXCEPTIONS.get(name, ())
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("def place_order(card_token: str)", ["order", "card"]),
        ("class PaymentCaptured:", ["Payment", "Captured"]),
        ("in the order of the log", []),
        ("SELECT 1 ORDER BY seq", []),
        ("one round trip", []),
    ],
)
def test_a_trade_is_found_in_names_and_texts(line: str, words: list[str]) -> None:
    assert [word for _, word in trade_words(line)] == words
