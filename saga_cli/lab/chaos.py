"""Declare the command `saga chaos`; `chaos_run` does its work."""

from typing import Any

import click

from saga_cli.application import application
from saga_cli.declarations import FiniteRange, LateChoice


def _kind_names() -> list[str]:
    from saga_lab.chaos.kinds import kinds_of

    return sorted(kinds_of(application()))


@click.command()
@click.option(
    "--minutes",
    default=3.0,
    show_default=True,
    type=FiniteRange(0.5, 600),
    help="How long sagas are placed and faults injected.",
)
@click.option(
    "--sagas",
    "count",
    type=click.IntRange(1, 200_000),
    help="Sagas to place. [default: 5 a second]",
)
@click.option(
    "--faults", type=click.IntRange(0, 10_000), help="Faults to inject. [default: 10 a minute]"
)
@click.option("--seed", default=0, show_default=True, help="Chooses sagas, faults and their times.")
@click.option(
    "--only",
    multiple=True,
    type=LateChoice(_kind_names),
    metavar="KIND",
    help="Inject only this kind of fault, see docs/reference/faults.md. Repeatable.",
)
@click.option(
    "--brokers",
    type=click.Choice(["1", "3"]),
    default="1",
    show_default=True,
    help="Number of Kafka brokers.",
)
@click.option("--registry", is_flag=True, help="The stack has a schema registry.")
@click.option(
    "--open-transactions",
    is_flag=True,
    help="Somebody else always has a transaction open on every partition.",
)
@click.option("--keep-up", is_flag=True, help="Leave the stack running, with its disks.")
def chaos(**options: Any) -> None:
    """Inject faults while sagas of every kind run, and check every invariant at the end.

    The stack lives in the folder `chaos` of the home (SAGA_HOME) and starts without data each time.
    Reports are written to the folder `reports` beside it. Exit status 0: no violation; 1: a
    violation, or the stack failed.
    """
    from saga_cli.lab.chaos_run import run  # here, since the help need not take 1 s to load it

    run(**options)
