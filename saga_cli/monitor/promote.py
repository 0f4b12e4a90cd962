"""Make a shadow the live projection, and back again: `saga promote`."""

import click

from saga_cli.monitor.projection_access import errors_explained, monitor_access


@click.command()
@click.argument("shadow", metavar="SHADOW")
@click.option("--yes", is_flag=True, help="Do it without asking.")
def promote(shadow: str, yes: bool) -> None:
    """Swap SHADOW with the live projection, in one transaction.

    Stop every replica of the monitor first, and start it afterwards: it catches up from the offsets
    that the shadow has read. The former live projection is then the shadow, so the same command
    swaps them back.
    """
    from saga_monitor.replay.promote import promote as swap
    from saga_monitor.replay.target import Shadow

    access = monitor_access()
    if not yes:
        click.confirm(f"Make shadow {shadow} the live projection?", abort=True)
    with errors_explained():
        swap(Shadow(access.database_url, shadow))
    click.echo(
        f"{shadow} is the live projection now, and the former one is shadow {shadow}; start the "
        f"monitor, it catches up. `saga promote {shadow}` swaps them back"
    )
