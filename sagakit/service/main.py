"""Runs a program of a module as a process: `python -m sagakit PACKAGE`.

The order: settings, logs, migrations in a child process, wiring, lifecycle.
"""

import asyncio
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import structlog

from sagakit.errors import ConfigurationError, ContractError, FlowError, RegistryUnavailable
from sagakit.foreign_text import printable
from sagakit.garbage_collection import tune_gc
from sagakit.service.lifecycle import Lifecycle, StartStep
from sagakit.service.migrations import MigrationChild
from sagakit.service.program import Program
from sagakit.service.settings import load
from sagakit.telemetry import logs
from sagakit.urls import redacted

log = structlog.get_logger(__name__)
_WRONG = (ConfigurationError, ContractError, FlowError)
"""Errors that end a process with status 2 and one line."""
USAGE = """\
usage: python -m sagakit MODULE

Runs the program of a module, for example services.dispatch or saga_monitor, until SIGTERM.
Its settings are environment variables, see docs/reference/environment.md."""


def program_of(module: str) -> Program[Any]:
    """Return the `PROGRAM` of `<module>.service`. Raises ConfigurationError.

    Also raises ContractError or FlowError if the module loads a contract that is wrong.
    """
    wanted = f"{module}.service"
    if not all(part.isidentifier() for part in module.split(".")):
        raise ConfigurationError(
            f"{module}: this is no name of a package; name one with a module `service`, such as "
            "services.dispatch"
        )
    try:
        loaded = importlib.import_module(wanted)
    except (ContractError, FlowError):
        raise
    except ModuleNotFoundError as error:
        missing = error.name or wanted
        if wanted != missing and not wanted.startswith(f"{missing}."):
            raise ConfigurationError(
                f"{module}: it imports {missing}, and there is no such module; correct the import, "
                "or install what holds it"
            ) from error
        raise ConfigurationError(
            f"{module}: there is no module {missing}; name a package with a module `service`, such "
            "as services.dispatch, and run from the folder that holds it or set PYTHONPATH"
        ) from error
    except BaseException as error:  # SystemExit too: a module that ends its own import
        traceback.print_exception(error)
        raise ConfigurationError(
            f"{module}: {wanted} cannot be imported: {type(error).__name__}: {error}; correct the "
            "place that the traceback names last"
        ) from error
    program = vars(loaded).get("PROGRAM")
    if not isinstance(program, Program):
        raise ConfigurationError(
            f"{module}: {wanted} declares no PROGRAM; assign service_program(...) to it"
        )
    return program


def run_program(program: Program[Any]) -> NoReturn:
    """Run a program until a signal; does not return. Call it before any thread is started."""
    settings = load(program.settings)
    logs.configure(json=settings.log_json, participant=program.name, level=settings.log_level)
    try:
        child = MigrationChild(settings.database_url, program.migrations)
        try:
            lifecycle = program.wire(settings, StartStep("the database is migrated", child.wait))
            tune_gc()
            asyncio.run(_until_stopped(lifecycle))
        finally:
            child.end()
    except (*_WRONG, RegistryUnavailable) as error:
        print(printable(redacted(f"{program.name}: {error}")), file=sys.stderr)
        leave(1 if isinstance(error, RegistryUnavailable) else 2)
    raise AssertionError("_until_stopped does not return")


async def _until_stopped(lifecycle: Lifecycle) -> NoReturn:
    status = await lifecycle.run()
    log.info("stopped", status=status)
    leave(status)


def leave(status: int) -> NoReturn:
    """End the process now: a thread blocked in a call must not hold it up."""
    logging.shutdown()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):  # closed, or nobody reads it
            stream.flush()
    os._exit(status)


def main(arguments: Sequence[str]) -> NoReturn:
    """Run the program that the command line names; exit with status 2 if it names none."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        asked = arguments in (["-h"], ["--help"])
        print(USAGE, file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    try:
        program = program_of(arguments[0])
    except _WRONG as error:
        print(printable(redacted(f"sagakit: {error}")), file=sys.stderr)
        sys.exit(2)
    run_program(program)
