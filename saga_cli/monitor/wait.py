"""Wait for the end of one saga: `saga wait`."""

import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import click

from saga_cli import client
from saga_cli.declarations import SAGA
from saga_monitor.saga.view import ENDED, Status

AGAIN_S = 0.2


@click.command()
@SAGA
@click.option(
    "--timeout",
    "timeout_s",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds to wait at most.",
)
def wait(name: str, timeout_s: float) -> None:
    """Wait until a saga ends.

    Exit status 0: it completed; 1: it was cancelled or did not end in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        seen = _seen(name)
        if seen is not None and seen["status"] in ENDED:
            completed = seen["status"] == Status.COMPLETED
            reason = "" if completed else _last_reason(seen)
            click.echo(f"{seen['status']}{reason and f': {reason}'}")
            sys.exit(0 if completed else 1)
        if time.monotonic() >= deadline:
            click.echo(
                f"not ended within {timeout_s:g} s"
                if seen is not None
                else f"the monitor read no event of {name} within {timeout_s:g} s; check the id"
            )
            sys.exit(1)
        time.sleep(AGAIN_S)


def _seen(name: str) -> Mapping[str, Any] | None:
    """Return the saga as the monitor sees it, None as long as it has read no event of it."""
    try:
        found: Mapping[str, Any] = client.ask("GET", client.saga_path(client.find_saga(name)))
    except client.RequestRefused as refused:
        if refused.status == HTTPStatus.NOT_FOUND:
            return None
        raise
    return found


def _last_reason(seen: Mapping[str, Any]) -> str:
    """Return the last reason that an event gives; empty without one."""
    reasons = [event["detail"].get("reason") for event in seen["timeline"]]
    return next((str(reason) for reason in reversed(reasons) if reason), "")
