"""Erase the personal data of a customer for good: `saga erase`."""

import click

from saga_cli import client
from saga_cli.answers import ErasureJson
from saga_cli.declarations import ID, actor_and_reason


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
