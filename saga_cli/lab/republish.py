"""Republish a topic that lost its tail or was recreated: `saga republish`."""

import click
from sqlalchemy import exc

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.processes import DATABASES
from saga_lab.devstack.stack import Stack
from saga_lab.devstack.stack_file import default_home
from saga_lab.devstack.topics import OWNERS
from sagakit.outbox.republish import RelayLock, RelayRunning
from sagakit.store.postgres import engine_for

TOPICS = tuple(f"{owner}.events" for owner in OWNERS)


@click.command()
@click.argument("service", type=click.Choice(DATABASES))
@click.argument("topic", type=click.Choice(TOPICS))
def republish(service: str, topic: str) -> None:
    """Publish again the events that SERVICE published to TOPIC and still keeps (31 days).

    Stop every replica of the service first, and start it afterwards: its relay then publishes the
    rows, those of each order in sequence. Services and monitor drop what they have handled before.
    """
    databases = Stack(default_home()).read().get("databases")
    if not databases:
        raise StackError(f"there is no stack in {default_home()}; set SAGA_HOME to the home of one")
    engine = engine_for(databases[service])
    try:
        outbox = RelayLock(engine)
        try:
            rows = outbox.republish(topic)
        finally:
            outbox.close()
    except RelayRunning as error:
        raise StackError(f"{service}: {error}") from error
    except exc.OperationalError as error:
        raise StackError(
            f"the database of {service} does not answer: {error.orig}. Is PostgreSQL up?"
        ) from error
    finally:
        engine.dispose()
    click.echo(f"{service} will publish {rows} rows to {topic} again once it is started")
