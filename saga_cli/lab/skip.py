"""Have every reader pass over a record that ends its process: `saga skip`."""

import getpass

import click

from saga_cli.application import application
from saga_cli.declarations import IdType, LateChoice
from sagakit.identity import flow_name, saga_key


def _topics() -> list[str]:
    from saga_lab.devstack.topics import event_topics

    return list(event_topics(application()))


def _saga_of(place: tuple[str, int, int], saga: str | None) -> str:
    """Return the saga key under which the case is opened. Raises UsageError."""
    if saga is None:
        from saga_lab.application import contract_of

        flow = contract_of(application()).declared[0].name
        return saga_key(flow, "skipped-" + "-".join(map(str, place)))
    flow, slash, saga_id = saga.partition("/")
    if not (slash and saga_id and flow_name(flow) == flow):
        raise click.UsageError(f"{saga!r} is no saga key; write it as flow/id, such as errand/1")
    return saga


@click.command()
@click.argument("topic", type=LateChoice(_topics))
@click.argument("partition", type=click.IntRange(0, 2**31 - 1))
@click.argument("offset", type=click.IntRange(0, 2**63 - 2))
@click.option("--reason", required=True, type=IdType(), help="Why the record is skipped.")
@click.option("--saga", type=IdType(), help="The saga of the record, as flow/id, if it is known.")
def skip(topic: str, partition: int, offset: int, reason: str, saga: str | None) -> None:
    """Have every reader pass over a record that ends its process, and open a case for it.

    It is noted in the database of each service and of the monitor, and takes effect when they
    start. Each then parks the record unread.
    """
    # Here, since the help of a command need not take 0.5 s to load them.
    from saga_cli.lab.databases import database_of, databases
    from sagakit.store.skipped_records import skip_record

    place = topic, partition, offset
    key = _saga_of(place, saga)
    for service in databases():
        with database_of(service) as engine, engine.begin() as connection:
            skip_record(connection, place, key, getpass.getuser(), reason)
    click.echo(
        f"{topic}/{partition}@{offset} is skipped by each service that starts from now on; "
        f"the case is an intervention of {key}"
    )
