"""Declares what `python -m sagakit MODULE` runs: the `PROGRAM` of a module's `service` module."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sagakit.service.definition import Service
from sagakit.service.lifecycle import Lifecycle, StartStep
from sagakit.service.settings import ServiceSettings

T = TypeVar("T", bound=ServiceSettings)


@dataclass(frozen=True)
class Program(Generic[T]):
    """Declares a process: its name, its settings, its migrations, and how its parts are wired.

    `wire` gets the settings and the step of the start that waits for the migrations.
    """

    name: str
    settings: type[T]
    migrations: Path | None
    wire: Callable[[T, StartStep], Lifecycle]


def service_program(
    name: str,
    build: Callable[[T], Service[Any]],
    settings: type[T],
    *,
    migrations: Path | None,
) -> Program[T]:
    """Declare the program of a participant; `build` makes its service from its settings.

    Events and flows are those of the packages that the setting `contract` names.
    """

    def wire(found: T, migrated: StartStep) -> Lifecycle:
        from sagakit.service.process import ServiceProcess  # loads Kafka, HTTP and database

        process = ServiceProcess(build(found), found)
        return process.lifecycle(migrated)

    return Program(name, settings, migrations, wire)
