"""Declare the command `saga drill`; `drill_run` does its work."""

from typing import Any

import click

from saga_cli.application import application
from saga_cli.declarations import FiniteRange, LateChoice

ALL = "all"


def _scenarios() -> list[str]:
    from saga_lab.drills.scenarios import SCENARIOS

    return list(SCENARIOS)


class Drills(click.Group):
    """Takes the name of a database, or `all`, beside the subcommands."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the drill of a target."""
        found = super().get_command(ctx, cmd_name)
        if found is not None or cmd_name not in (ALL, *application().databases):
            return found
        return drill_of(cmd_name)


def drill_of(target: str) -> click.Command:
    """Return the command that rehearses a disaster of `target`."""

    def rehearse(**options: Any) -> None:
        from saga_cli.lab.drill_run import run  # here, since the help need not take 1 s to load it

        run(target, None if target == ALL else (target,), **options)

    return click.Command(
        target,
        help=f"Lose what {target} keeps, under load, recover it, and score the recovery.",
        callback=rehearse,
        params=[
            click.Option(
                ["--scenario"],
                type=LateChoice(_scenarios),
                default="lost-database",
                show_default=True,
                help="What is lost: see docs/how-to/drill-a-disaster.md.",
            ),
            click.Option(
                ["--minutes"],
                type=FiniteRange(0.5, 600),
                default=2.0,
                show_default=True,
                help="How long sagas are placed, at least.",
            ),
            click.Option(
                ["--sagas", "count"],
                type=click.IntRange(10, 200_000),
                help="Sagas to place. [default: 3 a second]",
            ),
            click.Option(["--seed"], type=int, default=0, show_default=True, help="Chooses them."),
        ],
    )


@click.group(cls=Drills, subcommand_metavar="TARGET [OPTIONS] | ls | show REPORT")
def drill() -> None:
    """Rehearse a disaster: lose a database or a topic under load, recover it, and score that.

    TARGET is a participant, `monitor`, or `all`. A drill runs on a stack of its own, which lives in
    the folder `drill` of the home (SAGA_HOME) and starts without data each time. Reports are
    written to the folder `reports` beside it. Exit status 0: 100 points; 1: fewer, or the stack
    failed.
    """


@drill.command()
def ls() -> None:
    """List the drills of this home, the oldest first."""
    from saga_cli.lab.drill_run import list_reports

    list_reports()


@drill.command()
@click.argument("report")
def show(report: str) -> None:
    """Show the report of one drill; `ls` prints its name."""
    from saga_cli.lab.drill_run import show_report

    show_report(report)
