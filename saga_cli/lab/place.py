"""Place one order, and wait for its end: `saga place` and `saga wait`."""

import secrets
import sys
import time
from http import HTTPStatus
from typing import Any

import click

from saga_cli import client
from saga_cli.answers import PlacedOrderJson, StockJson
from saga_cli.declarations import ID, ORDER, FiniteRange

DEMO_SKU = "TEA-100"
DEMO_UNITS = 1000
LONGEST_WAIT_S = 30.0
"""Per request; the order API answers a wait within 60 s."""
IN_FLIGHT = "placed"
LONGEST_TIMEOUT_S = 7 * 86400.0


@click.command()
@click.option(
    "--order-id", type=ID, help="Id of the order, never used before. [default: a new one]"
)
@click.option("--sku", default=DEMO_SKU, show_default=True, help="What to order.")
@click.option(
    "--quantity",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of units.",
)
@click.option(
    "--price",
    default=1250,
    show_default=True,
    type=click.IntRange(min=0),
    help="Price of a unit, in minor units.",
)
@click.option("--currency", default="EUR", show_default=True, help="ISO 4217 code.")
@click.option(
    "--card",
    default="tok_ok",
    show_default=True,
    help="Chooses what the provider does; see python -m pydoc saga_lab.outside.provider.",
)
@click.option(
    "--ship-to",
    default="1 Main Street, Springfield",
    show_default=True,
    help="Tags at its end choose what the carrier does; see pydoc saga_lab.outside.carrier.",
)
@click.option(
    "--email", default="ada@customer.example", show_default=True, help="The customer's address."
)
@click.option("--flow", help="Flow version, for example order/2. [default: the order API's]")
def place(
    order_id: str | None,
    sku: str,
    quantity: int,
    price: int,
    currency: str,
    card: str,
    ship_to: str,
    email: str,
    flow: str | None,
) -> None:
    """Place one order through the order API and print its id.

    If none of the default SKU is on hand, stock is put in first.
    """
    body: dict[str, Any] = {
        "order_id": order_id or f"cli-{secrets.token_hex(4)}",
        "customer_id": "c-cli",
        "email": email,
        "currency": currency,
        "lines": [{"sku": sku, "quantity": quantity, "unit_price_minor": price}],
        "card_token": card,
        "ship_to": ship_to,
        "flow": flow,
    }
    if sku == DEMO_SKU:
        _put_in_stock(sku)
    try:
        placed = client.call("order", "POST", "/orders", PlacedOrderJson, json=body)
    except client.RequestRefused as error:
        message = f"order {body['order_id']} was not placed: {error.message}"
        raise click.ClickException(message) from error
    click.echo(body["order_id"])
    if placed.status == HTTPStatus.CREATED:
        click.echo("placed", err=True)
    else:
        click.echo(f"placed before, its status is {placed.body['status']}", err=True)


@click.command()
@ORDER
@click.option(
    "--timeout",
    "timeout_s",
    default=60.0,
    show_default=True,
    type=FiniteRange(0, LONGEST_TIMEOUT_S),
    help="Seconds to wait at most.",
)
def wait(order_id: str, timeout_s: float) -> None:
    """Wait until an order ends.

    Exit status 0: it completed; 1: it was cancelled or rejected, or did not end in time.
    """
    path = f"{client.order_path(order_id, '/orders')}/wait"
    deadline = time.monotonic() + timeout_s
    while True:
        left_s = max(0.0, deadline - time.monotonic())
        params = {"timeout_s": min(left_s, LONGEST_WAIT_S)}
        try:
            order = client.call(
                "order",
                "GET",
                path,
                PlacedOrderJson,
                timeout_s=params["timeout_s"] + client.TIMEOUT_S,
                params=params,
            ).body
        except client.RequestRefused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            message = f"there is no order {order_id}; check the id, or place it with `saga place`"
            raise client.RequestRefused(message, error.status) from error
        if order["status"] != IN_FLIGHT:
            reason = f": {order['reason']}" if order.get("reason") else ""
            click.echo(f"{order['status']}{reason}")
            sys.exit(0 if order["status"] == "completed" else 1)
        if left_s == 0:
            click.echo(f"not ended within {timeout_s:g} s")
            sys.exit(1)


def _put_in_stock(sku: str) -> None:
    """Put units of a SKU on hand if none are left."""
    try:
        stock = client.call("inventory", "GET", "/stock", StockJson, params={"sku": sku}).body
    except client.RequestRefused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        stock = {"data": []}
    if not sum(row["on_hand"] for row in stock["data"]):
        delivery = {
            "id": secrets.token_hex(16),
            "sku": sku,
            "quantity": DEMO_UNITS,
            "actor": "saga place",
            "reason": "sold out",
        }
        client.call("inventory", "POST", "/stock", None, json=delivery)
