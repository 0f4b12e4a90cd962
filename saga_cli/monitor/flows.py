"""List flow versions, and tell if one may be retired: `saga flows`."""

import click

from saga_cli import client
from saga_cli.answers import FlowVersionJson, RetirementJson
from saga_cli.declarations import ID, Listing
from saga_cli.output import Column, age, text

VERSIONS = Listing(
    "/flows",
    list[FlowVersionJson],
    (
        text("flow", "flow"),
        text("in flight", "in_flight"),
        text("ended", "ended"),
        text("oldest", "oldest"),
        age("age", "oldest_at"),
        Column(
            "",
            lambda row, _: (
                "not declared" if not row["declared"] else "default" if row["default"] else ""
            ),
        ),
    ),
    "flow versions",
)


@click.group(invoke_without_command=True)
@click.pass_context
def flows(context: click.Context) -> None:
    """List flow versions with the number of sagas in flight on each."""
    if context.invoked_subcommand is None:
        VERSIONS.print()


@flows.command()
@click.argument("flow", metavar="FLOW", type=ID)
def retire(flow: str) -> None:
    """Tell if a version such as errand/1 may be removed from its flow file.

    Exit status 1, with the reason, while sagas are in flight on it.
    """
    answer = client.ask("GET", "/flows/retirement", RetirementJson, params={"flow": flow})
    click.echo(
        f"{flow} has no saga in flight ({answer['ended']} ended on it) and may be removed from "
        "its flow file"
    )
