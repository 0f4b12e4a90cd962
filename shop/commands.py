"""Commands that the order application adds: `saga place` and `saga erase`."""

import secrets
from http import HTTPStatus
from typing import Any

import click

from saga_cli import client
from saga_cli.declarations import ID, actor_and_reason
from shop.answers import ErasureJson, PlacedOrderJson, StockJson

DEMO_SKU = "TEA-100"
DEMO_UNITS = 1000


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
    help="Chooses what the provider does; see python -m pydoc shop.outside.provider.",
)
@click.option(
    "--ship-to",
    default="1 Main Street, Springfield",
    show_default=True,
    help="Tags at its end choose what the carrier does; see pydoc shop.outside.carrier.",
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
@click.argument("customer_id", metavar="CUSTOMER", type=ID)
@click.option("--force", is_flag=True, help="Also while orders are in flight: they are undone.")
@actor_and_reason
def erase(customer_id: str, force: bool, actor: str, reason: str) -> None:
    """Erase a customer's sealed personal data everywhere, by deleting the key that opens it.

    Data that was published unsealed is listed: it stays until topics and databases delete it.
    """
    body = {"customer_id": customer_id, "actor": actor, "reason": reason, "force": force}
    try:
        erased = client.call("order", "POST", "/erasures", ErasureJson, json=body).body
    except client.RequestRefused as error:
        raise click.ClickException(f"nothing was erased: {error.message}") from error
    if erased["erased_at"] is None:
        click.echo(f"no data of customer {customer_id} was ever sealed; check the id")
    else:
        click.echo(f"the sealed data of {customer_id} cannot be read since {erased['erased_at']}")
    if erased["in_flight"]:
        click.echo(f"orders that will be undone: {', '.join(erased['in_flight'])}")
    if erased["in_clear"]:
        click.echo(
            "orders published unsealed, readable until topics and databases delete them: "
            f"{', '.join(erased['in_clear'])}"
        )


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
