"""Start and stop the stack: `saga up` and `saga down`."""

import signal
import time
from collections.abc import Mapping
from types import FrameType
from typing import TYPE_CHECKING

import click
from rich.table import Table

from saga_cli.application import application
from saga_cli.client import MONITOR, dashboard_link
from saga_cli.output import command_name
from saga_cli.output import console as wide_console
from saga_lab.application import check_modules
from saga_lab.devstack.options import StackKind, StackOptions
from saga_lab.devstack.stack_file import FILE_NAME, default_home
from sagakit.urls import redacted

if TYPE_CHECKING:
    from saga_lab.devstack.stack import Stack

_WATCH_S = 1.0


def _environment(
    _context: click.Context, _parameter: click.Parameter, pairs: tuple[str, ...]
) -> dict[str, str]:
    """Parse KEY=VALUE words into a mapping."""
    for pair in pairs:
        if not pair.partition("=")[1]:
            raise click.BadParameter(f"{pair!r} is not of the form KEY=VALUE")
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


@click.command()
@click.option("--detach", is_flag=True, help="Return once all is ready; `saga down` stops it.")
@click.option(
    "--stack",
    "kind",
    type=click.Choice([str(kind) for kind in StackKind]),
    default=str(StackKind.EMBEDDED),
    show_default=True,
    help="Where Kafka and PostgreSQL run: here, in containers, or at addresses in the environment.",
)
@click.option(
    "--port-base",
    type=click.IntRange(0, 65000),
    help="First port of the stack; 0 takes free ones. [default: that of the last run, else 18000]",
)
@click.option("--registry", is_flag=True, help="Also run a schema registry and use it.")
@click.option(
    "--replicas",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    help="Processes of each participant.",
)
@click.option(
    "--brokers",
    type=click.Choice(["1", "3"]),
    help="Brokers of the embedded Kafka; fixed once a home has data. [default: as before, else 1]",
)
@click.option(
    "--env",
    multiple=True,
    callback=_environment,
    metavar="KEY=VALUE",
    help="Set a variable for the services and the monitor. Repeatable.",
)
@click.option(
    "--only",
    default="",
    metavar="NAMES",
    help="Start only these, comma-separated: names of processes, or infra, world, services.",
)
def up(
    detach: bool,
    kind: str,
    port_base: int | None,
    registry: bool,
    replicas: int,
    brokers: str | None,
    env: Mapping[str, str],
    only: str,
) -> None:
    """Start Kafka, PostgreSQL, the fakes of the outside world, every service and the monitor."""
    from saga_lab.devstack.processes import is_instance_of
    from saga_lab.devstack.stack import (  # here, since the help need not take 0.3 s to load it
        Stack,
        StackHome,
    )

    options = StackOptions(
        kind=StackKind(kind),
        port_base=port_base,
        registry=registry,
        replicas=replicas,
        brokers=int(brokers) if brokers else None,
        only=frozenset(name.strip() for name in only.split(",") if name.strip()),
        env=env,
    )
    chosen = application()
    check_modules(chosen)
    signal.signal(signal.SIGTERM, _as_interrupt)
    console = wide_console()
    home = default_home()
    was_running = StackHome(home).supervisor.running()
    try:
        stack = Stack.up(home, chosen, options, say=lambda line: console.print(line, style="dim"))
    except KeyboardInterrupt:
        raise click.Abort from None
    ready = "already running, all ready" if was_running else "all ready"
    try:
        console.print(_table(stack), f"[green]{ready}", sep="\n")
        if any(is_instance_of(name, MONITOR) for name in stack.read()["processes"]):
            console.print(f"dashboard: {dashboard_link()}", soft_wrap=True, markup=False)
        if detach:
            console.print(f"stop it with: {command_name()} down", style="dim", soft_wrap=True)
            return
        console.print("running; Ctrl-C stops it")
        while stack.supervisor.running():
            time.sleep(_WATCH_S)
        console.print("the stack was stopped by another command")
    except KeyboardInterrupt:  # only once a stack runs that can be stopped
        console.print("stopping, all data is kept", style="dim")
        stack.down()


@click.command()
def down() -> None:
    """Stop everything that `saga up` started. All data is kept."""
    from saga_lab.devstack.stack import StackHome

    home = default_home()
    if StackHome(home).down():
        click.echo("stopped")
        return
    click.echo(f"nothing is running in {home}")
    if not (home / FILE_NAME).exists():
        click.echo(
            f"{home / FILE_NAME} is not there, so no stack is known there. If one runs from "
            "another home, set SAGA_HOME to it; its processes have SAGA_STACK_HOME in their "
            "environment"
        )


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _table(stack: "Stack") -> Table:
    """Return a table of all processes with address, pid and log."""
    content = stack.read()
    table = Table(title=f"stack of {stack.home}", title_justify="left")
    for column in ("process", "address", "pid", "log"):
        table.add_column(column, overflow="fold")
    addresses = {
        "kafka": content["bootstrap_servers"],
        "postgres": next(iter(content["databases"].values())).rpartition("/")[0],
        **content["urls"],
    }
    processes = content["processes"]
    for name, process in processes.items():
        # The first of several replicas has the service's own address.
        address = addresses.get(name) or addresses.get(name.removesuffix("-1"), "")
        table.add_row(name, redacted(address), str(process["pid"] or ""), process["log"])
    further = {port for fake in stack.application.outside.values() for port in fake.ports}
    for name in ("kafka", "postgres", *further):
        if name not in processes:
            table.add_row(name, redacted(addresses[name]), "", "")
    return table
