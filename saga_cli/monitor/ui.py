"""Print a link to the dashboard."""

import click

from saga_cli.client import dashboard_link


@click.command()
def ui() -> None:
    """Print a link to the dashboard, which logs in a browser once.

    It works for ten minutes. Who opens it is logged in as the owner of the token that this command
    sends.
    """
    click.echo(dashboard_link())
