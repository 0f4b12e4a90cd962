"""What an order says of itself, for tests that need one."""

from dataclasses import replace

from schemas.events import OrderFacts, OrderLine

TWO_TEAS = OrderFacts(
    customer_id="c1",
    email="ada@customer.example",
    currency="EUR",
    total_minor=2500,
    lines=(OrderLine(sku="tea", quantity=2, unit_price_minor=1250),),
    card_token="tok_ok",
    ship_to="1 Main Street",
)
ONE_TEA = replace(
    TWO_TEAS,
    total_minor=2501,
    lines=(OrderLine(sku="tea", quantity=1, unit_price_minor=2501),),
)
"""The total is odd: half of it is no whole number of cents."""
