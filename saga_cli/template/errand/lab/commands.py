"""Commands that the application adds to `saga`; `saga.toml` names them."""

import secrets

import click
from saga_cli import client
from saga_lab.devstack.stack_file import default_home, read_manifest
from saga_lab.workload import End
from saga_lab.workload.run import WorkloadRun

from lab.workload import WORKLOAD, ErrandKind, ErrandPlan

from errand_events import CONTRACT, FLOWS


@click.command()
@click.option("--note", default="buy bread", show_default=True, help="What to do.")
@click.option("--minutes", default=30, show_default=True, help="How long it takes.")
def request(note: str, minutes: int) -> None:
    """Request one errand and wait until it ends.

    The note may contain a tag that tells the fake partner what to play: [refuse] or [lost].
    """
    client.ask("GET", "/sagas", None)  # fails here, with the remedy, where no stack runs
    (flow,) = FLOWS
    kind = ErrandKind("by_hand", End.COMPLETED, "requested by hand", note=note, minutes=minutes)
    saga = ErrandPlan(f"my-{secrets.token_hex(3)}", kind, flow.label(flow.default_version))
    stack = read_manifest(default_home())
    (outcome,) = WorkloadRun(stack, WORKLOAD, CONTRACT, [saga]).run()
    click.echo(f"{saga.saga_id} {outcome.end}; look at it: saga show {saga.saga_id}")
