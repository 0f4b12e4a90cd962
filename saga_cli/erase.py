"""Erase the personal data of a customer for good: `saga erase`."""

import click
import httpx

from saga_cli.place import _asked, _problem, _told, _urls
from saga_cli.sagas import actor_and_reason
from saga_lab.devstack.errors import StackError


@click.command()
@click.argument("customer_id", metavar="CUSTOMER")
@click.option("--force", is_flag=True, help="Also while orders are in flight: they are undone.")
@actor_and_reason
def erase(customer_id: str, force: bool, actor: str, reason: str) -> None:
    """Erase a customer's sealed personal data everywhere, by deleting the key that reads it.

    Data that was published unsealed is listed: it stays until topics and databases delete it.
    """
    body = {"customer_id": customer_id, "actor": actor, "reason": reason, "force": force}
    with httpx.Client(timeout=30, trust_env=False) as client:
        answer = _asked(client, "POST", f"{_urls()['order']}/erasures", json=body)
    said = _told(answer)
    if answer.is_error:
        raise StackError(f"nothing is erased: {_problem(said)}")
    if said["erased_at"] is None:
        click.echo(f"nothing of {customer_id} was ever sealed; check the id")
    else:
        click.echo(f"the data of {customer_id} is erased since {said['erased_at']}")
    if said["in_flight"]:
        click.echo(f"orders that will be undone: {', '.join(said['in_flight'])}")
    if said["in_clear"]:
        click.echo(
            "published unsealed, and there until the topics and databases forget them: "
            f"{', '.join(said['in_clear'])}"
        )
