"""Declare the command `saga demo`; `demo_run` does its work."""

from typing import Any

import click


@click.command()
@click.option(
    "--sagas",
    "count",
    default=500,
    show_default=True,
    type=click.IntRange(1, 5000),
    help="Number of sagas to place.",
)
@click.option("--seed", default=0, show_default=True, help="Chooses their content.")
@click.option(
    "--open-transactions",
    is_flag=True,
    help="Somebody else always has a transaction open on every partition.",
)
@click.option("--keep-up", is_flag=True, help="Leave the stack running at the end.")
def demo(**options: Any) -> None:
    """Place sagas of every kind on a separate stack, and check every invariant.

    The stack lives in the folder `demo` of the home (SAGA_HOME), apart from yours. Sagas that
    nobody answers come first, with waits of a few seconds; the others keep the waits of the flow
    file. A stack that already runs there is used and left running. Exit status 0: every saga ended
    as its kind requires and every invariant holds; 1: not so, or the stack failed.
    """
    from saga_cli.lab.demo_run import run  # here, since the help need not take 0.3 s to load it

    run(**options)
