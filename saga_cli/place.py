"""Place one order, and wait for its end: `saga place` and `saga wait`."""

import secrets
import sys
import time
from typing import Any
from urllib.parse import quote

import click
import httpx

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.stack_file import default_home, read_manifest

DEMO_SKU = "TEA-100"
DEMO_UNITS = 1000
LONGEST_WAIT_S = 30.0  # per request; the front door answers within 60 s


@click.command()
@click.option("--order-id", help="Yours to choose, unique for ever.  [default: a new one]")
@click.option("--sku", default=DEMO_SKU, show_default=True)
@click.option("--quantity", default=1, show_default=True)
@click.option("--price", default=1250, show_default=True, help="Of one unit, in minor units.")
@click.option("--currency", default="EUR", show_default=True)
@click.option(
    "--card",
    default="tok_ok",
    show_default=True,
    help="Chooses what the provider does; see python -m pydoc saga_lab.fakes.provider.",
)
@click.option(
    "--ship-to",
    default="1 Main Street, Springfield",
    show_default=True,
    help="Tags at its end choose what the carrier does; see pydoc saga_lab.fakes.carrier.",
)
@click.option("--email", default="ada@customer.example", show_default=True)
@click.option("--flow", help="For example order/2.  [default: the front door's]")
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
    """Place one order through the front door and print its id.

    If none of the default SKU is on hand, stock is put in first.
    """
    urls = _urls()
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
    with httpx.Client(timeout=30, trust_env=False) as client:
        if sku == DEMO_SKU:
            _stock(client, urls["inventory"], sku)
        answer = _asked(client, "POST", f"{urls['order']}/orders", json=body)
    told = _told(answer)
    if answer.is_error:
        raise StackError(f"order {body['order_id']} was not placed: {_problem(told)}")
    new = answer.status_code == httpx.codes.CREATED
    click.echo(body["order_id"])
    click.echo("placed" if new else f"placed before; it is {told['status']} now", err=True)


@click.command()
@click.argument("order_id", metavar="ORDER")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="Seconds.")
def wait(order_id: str, timeout_s: float) -> None:
    """Wait until an order has ended. Exit status 0 only if it completed."""
    url = f"{_urls()['order']}/orders/{quote(order_id, safe='')}/wait"
    deadline = time.monotonic() + timeout_s
    with httpx.Client(timeout=LONGEST_WAIT_S + 30, trust_env=False) as client:
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            asked = {"timeout_s": min(left_s, LONGEST_WAIT_S)}
            answer = _asked(client, "GET", url, params=asked)
            told = _told(answer)
            if answer.is_error:
                raise StackError(_problem(told))
            if told["status"] != "placed" or left_s == 0:
                break
    reason = f": {told['reason']}" if told.get("reason") else ""
    ended = told["status"] != "placed"
    click.echo(f"{told['status']}{reason}" if ended else f"not ended within {timeout_s:g} s")
    sys.exit(0 if told["status"] == "completed" else 1)


def _stock(client: httpx.Client, inventory: str, sku: str) -> None:
    """Put units of a SKU on hand if none are left."""
    found = _asked(client, "GET", f"{inventory}/stock", params={"sku": sku})
    if found.status_code == httpx.codes.NOT_FOUND:
        on_hand = 0
    else:
        on_hand = sum(row["on_hand"] for row in _good(found)["data"])
    if not on_hand:
        units = {"sku": sku, "quantity": DEMO_UNITS, "actor": "saga place", "reason": "sold out"}
        delivery = {**units, "id": secrets.token_hex(16)}
        _good(_asked(client, "POST", f"{inventory}/stock", json=delivery))


def _urls() -> dict[str, str]:
    """Return name -> URL of the running stack. Raises StackError if none was started."""
    home = default_home()
    content = read_manifest(home)
    if not (content.get("processes") and content.get("urls")):
        raise StackError(
            f"nothing is running in {home}. Start it with `saga up --detach`, "
            "or set SAGA_HOME to the home of the stack you mean."
        )
    urls: dict[str, str] = content["urls"]
    return urls


def _asked(client: httpx.Client, method: str, url: str, **more: Any) -> httpx.Response:
    try:
        return client.request(method, url, **more)
    except httpx.TransportError as error:
        raise StackError(
            f"{url} does not answer ({error}). Look at it with `saga up`, which starts what is "
            "not running, and in the log that it names."
        ) from error


def _told(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises StackError if the answer is something else."""
    try:
        return dict(answer.json())
    except (ValueError, TypeError) as error:
        raise StackError(
            f"{answer.url} answers {answer.status_code} {answer.text[:80]!r}, which is no answer "
            "of the stack's. Look at the address in stack.json, and at the process's log."
        ) from error


def _good(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises StackError if it is a refusal."""
    told = _told(answer)
    if answer.is_error:
        raise StackError(f"{answer.url}: {_problem(told)}")
    return told


def _problem(told: dict[str, Any]) -> str:
    """Format problem details (RFC 9457) in one line."""
    wrong = [f"{p['field']} {p['reason']}: {p['remedy']}" for p in told.get("problems") or ()]
    return "; ".join(wrong) or str(told.get("detail") or told)
