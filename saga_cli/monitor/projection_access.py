"""Finds the log and database of the monitor: by the environment of its process, else by the stack.

Errors of both are told with what to do about them.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from saga_cli.application import application
from saga_lab.application import MONITOR
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.stack_file import default_home, read_manifest

if TYPE_CHECKING:
    from saga_monitor.replay.pipeline import MonitorAccess
    from sagakit.contract.model import Contract

REQUIRED = ("SAGA_BOOTSTRAP_SERVERS", "SAGA_DATABASE_URL", "SAGA_CONTRACT")
"""The settings of the monitor's process; they are taken where all of these are set."""


def monitor_access() -> "MonitorAccess":
    """Return where the monitor's log and database are. Raises StackError, or exits with 2."""
    from saga_monitor.replay.pipeline import MonitorAccess

    if all(os.environ.get(name) for name in REQUIRED):
        from saga_monitor.service import MonitorSettings
        from sagakit.service.settings import load

        found = load(MonitorSettings)
        return MonitorAccess(
            found.bootstrap_servers,
            found.database_url,
            found.contracts,
            found.schema_registry_url,
            found.deadlines,
        )
    content = read_manifest(default_home())
    if not content.get("databases", {}).get(MONITOR):
        raise StackError(
            f"there is no stack in {default_home()}; set SAGA_HOME to the home of one, or "
            f"{', '.join(REQUIRED)} as the monitor has them"
        )
    return MonitorAccess(
        content["bootstrap_servers"],
        content["databases"][MONITOR],
        application().contract,
        content["urls"].get("registry"),
        content["deadlines"][-1][1],
    )


def chosen_topics(written: str | None) -> tuple[str, ...] | None:
    """Return the names in a list with commas, None if nothing is written."""
    return tuple(name.strip() for name in written.split(",")) if written else None


def topics_of(contract: "Contract", chosen: Sequence[str] | None) -> tuple[str, ...]:
    """Return the chosen topics, or all of the contract. Raises UsageError for another one."""
    if unknown := sorted(set(chosen or ()) - set(contract.topics)):
        raise click.UsageError(
            f"--topics: {', '.join(unknown)} is none of {', '.join(contract.topics)}"
        )
    return tuple(chosen or contract.topics)


@contextmanager
def errors_explained() -> Iterator[None]:
    """Turn errors of a replay, of the brokers and of the database into those of the command."""
    from sqlalchemy import exc

    from saga_monitor.replay.target import ShadowRefused
    from saga_monitor.replay.workers import ReplayFailed
    from sagakit.errors import ArchiveRefused, RecordsGone
    from sagakit.kafka.client import KafkaException

    try:
        yield
    except (ArchiveRefused, ShadowRefused, ReplayFailed, RecordsGone, TimeoutError) as error:
        raise click.ClickException(str(error)) from error
    except KafkaException as error:
        raise click.ClickException(f"Kafka: {error.args[0].str()}; are the brokers up?") from error
    except exc.DBAPIError as error:
        raise click.ClickException(f"the monitor's database: {error.orig}") from error
