"""Republish a topic that lost its tail or was recreated: `saga republish`."""

import click

from saga_cli.application import application
from saga_cli.declarations import LateChoice
from saga_lab.devstack.errors import StackError


def _databases() -> list[str]:
    return list(application().databases)


def _topics() -> list[str]:
    from saga_lab.devstack.topics import event_topics

    return list(event_topics(application()))


@click.command()
@click.argument("service", type=LateChoice(_databases))
@click.argument("topic", type=LateChoice(_topics))
def republish(service: str, topic: str) -> None:
    """Publish again the events that SERVICE published to TOPIC and still keeps (31 days).

    Stop every replica of the service first, and start it afterwards: its relay then publishes the
    rows, those of each saga in sequence. Services and monitor drop what they have handled before.
    """
    # Here, since the help of a command need not take 0.5 s to load them.
    from saga_cli.lab.databases import database_of
    from sagakit.outbox.republish import RelayLock, RelayRunning

    with database_of(service) as engine:
        try:
            outbox = RelayLock(engine)
            try:
                rows = outbox.republish(topic)
            finally:
                outbox.close()
        except RelayRunning as error:
            raise StackError(f"{service}: {error}") from error
    click.echo(f"{service} will publish {rows} rows to {topic} again once it is started")
