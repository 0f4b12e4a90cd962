"""Declare the command `saga sim`; `sim_run` does its work."""

import click

from saga_lab.simulation.fault_rates import FAULTS

MAX_NUMBER = 10**15
NUMBER = click.IntRange(0, MAX_NUMBER)


def _sagas(_: click.Context, __: click.Parameter, value: str) -> tuple[int, ...]:
    words = [word for word in value.split(",") if word]
    if not all(word.isascii() and word.isdigit() and len(word) < 6 for word in words):
        raise click.BadParameter(
            f"{value[:40]!r} is not a list of sagas; write their numbers, for example 0,3"
        )
    return tuple(int(word) for word in words)


def _faults(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    words = tuple(word for word in value.split(",") if word)
    for word in words:
        if word not in FAULTS:
            raise click.BadParameter(
                f"{word[:40]!r} is not a fault; choose from {', '.join(FAULTS)}"
            )
    return words


@click.command()
@click.option(
    "--seeds",
    default=200,
    show_default=True,
    type=click.IntRange(1, MAX_NUMBER),
    help="Number of seeds to simulate.",
)
@click.option("--from", "first", default=0, show_default=True, type=NUMBER, help="The first seed.")
@click.option(
    "--sagas",
    "sagas",
    default=6,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Sagas of each seed.",
)
@click.option(
    "--only", default="", callback=_sagas, help="Simulate only these sagas of each seed: 0,3."
)
@click.option(
    "--without", default="", callback=_faults, help="Leave out these faults: crash,pause."
)
@click.option(
    "--schedule", default=0, type=NUMBER, help="Another interleaving of the same sagas and faults."
)
@click.option(
    "--shrink",
    "smaller",
    is_flag=True,
    help="Shrink a seed with a violation to the fewest sagas and faults.",
)
def sim(
    seeds: int,
    first: int,
    sagas: int,
    only: tuple[int, ...],
    without: tuple[str, ...],
    schedule: int,
    smaller: bool,
) -> None:
    """Simulate sagas with crashes, repeated events and lost answers; check every invariant.

    Each seed is one simulation. For a seed with a violation the command prints at once how to
    repeat it, and what happened. Exit status 0: no violation; 1: a violation; 130: interrupted by
    Ctrl-C or SIGTERM without a violation so far.
    """
    from saga_cli.lab.sim_run import run  # here, since the help need not take 0.7 s to load it

    run(range(first, first + seeds), only or tuple(range(sagas)), without, schedule, smaller)
