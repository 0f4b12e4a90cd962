"""Republish a topic that lost its tail or was recreated: `saga republish`."""

import click

from saga_cli.application import application
from saga_cli.declarations import LateChoice
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.stack_file import default_home, read_manifest


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
    from sqlalchemy import exc

    from sagakit.outbox.republish import RelayLock, RelayRunning
    from sagakit.store.postgres import engine_for

    databases = read_manifest(default_home()).get("databases")
    if not databases:
        raise StackError(f"there is no stack in {default_home()}; set SAGA_HOME to the home of one")
    if service not in databases:
        raise StackError(
            f"the stack in {default_home()} has no database of {service}; set SAGA_HOME to the "
            "home of one that has"
        )
    try:
        engine = engine_for(databases[service])
    except (ValueError, exc.ArgumentError) as error:
        raise StackError(
            f"{default_home()} has no usable address of the database of {service} "
            f"({type(error).__name__}); start the stack again, which writes it"
        ) from error
    try:
        outbox = RelayLock(engine)
        try:
            rows = outbox.republish(topic)
        finally:
            outbox.close()
    except RelayRunning as error:
        raise StackError(f"{service}: {error}") from error
    except exc.DBAPIError as error:
        raise StackError(
            f"the database of {service} does not answer: {error.orig}. Is PostgreSQL up?"
        ) from error
    finally:
        engine.dispose()
    click.echo(f"{service} will publish {rows} rows to {topic} again once it is started")
