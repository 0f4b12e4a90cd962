"""Declare the command `saga drill`; `drill_run` does its work."""

from typing import Any

import click
from click.core import ParameterSource

from saga_cli.application import application
from saga_cli.declarations import FiniteRange, LateChoice

ALL, LOST_DATABASE = "all", "lost-database"


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

    def rehearse(live: bool, yes: bool, **options: Any) -> None:
        targets = None if target == ALL else (target,)
        if live:
            refuse_with_live(click.get_current_context(), options["scenario"])
            from saga_cli.lab.drill_live import run_live

            run_live(target, targets, confirmed=yes)
            return
        if yes:
            raise click.UsageError("--yes confirms a drill with --live; leave it out without")
        from saga_cli.lab.drill_run import run  # here, since the help need not take 1 s to load it

        run(target, targets, **options)

    return click.Command(
        target,
        help=f"Lose what {target} keeps, under load, recover it, and score the recovery.",
        callback=rehearse,
        params=[
            click.Option(
                ["--scenario"],
                type=LateChoice(_scenarios),
                default=LOST_DATABASE,
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
            click.Option(
                ["--fresh"],
                is_flag=True,
                help="Drill on a stack without data, not on a copy of the home's.",
            ),
            click.Option(
                ["--live"],
                is_flag=True,
                help="Rebuild beside the running stack and compare; nothing is lost.",
            ),
            click.Option(["--yes"], is_flag=True, help="Do not ask before a drill with --live."),
        ],
    )


def refuse_with_live(context: click.Context, scenario: str) -> None:
    """Raise UsageError for options that a drill on the running stack cannot honour."""
    if scenario != LOST_DATABASE:
        raise click.UsageError(
            f"--scenario {scenario} destroys what it recovers, and a drill with --live destroys "
            "nothing: it can only rebuild databases beside the live ones. Leave out --live to "
            "rehearse it on a copy of the stack"
        )
    given = [
        f"--{'sagas' if name == 'count' else name}"
        for name in ("minutes", "count", "seed", "fresh")
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(
            f"{', '.join(given)}: a drill with --live has no traffic and no stack of its own; "
            "leave out these options, or --live"
        )


@click.group(cls=Drills, subcommand_metavar="TARGET [OPTIONS] | ls | show REPORT")
def drill() -> None:
    """Rehearse a disaster: lose a database or a topic under load, recover it, and score that.

    TARGET is a participant, `monitor`, or `all`. A drill runs on a stack of its own in the folder
    `drill` of the home (SAGA_HOME): a copy of the home's stack, which has to be stopped, or one
    without data where the home has none. With --live the running stack is drilled: databases are
    rebuilt beside the live ones and compared with them. Reports are written to the folder `reports`
    of the home. Exit status 0: 100 points; 1: fewer, or the stack failed.
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
