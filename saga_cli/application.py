"""Find the application that a command works with: `saga --app DIR`, SAGA_APP, or this folder's."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from saga_lab.application import Application, CommandSpec


class Misdeclared(click.ClickException):
    """The application cannot be used: its manifest, a module, its contract or a flow is wrong."""

    exit_code = click.UsageError.exit_code


def choose(_context: click.Context, _parameter: click.Parameter, folder: str | None) -> str | None:
    """Take the folder of --app."""
    if folder is not None:
        use(Path(folder))
    return folder


def use(folder: Path) -> None:
    """Work with the application in this folder, in this process and those that it starts."""
    os.environ["SAGA_APP"] = str(folder.absolute())


def from_any_folder(command: str) -> str:
    """Return the shell command that works with the chosen application in any folder."""
    chosen = os.environ.get("SAGA_APP")
    return f"SAGA_APP={shlex.quote(chosen)} {command}" if chosen else command


def application() -> "Application":
    """Return the application, its modules ready to be imported. Raises ManifestError."""
    from saga_lab.application import enter, find_application

    found = find_application()
    enter(found)
    return found


def own_commands(taken: Mapping[str, object]) -> "Mapping[str, CommandSpec]":
    """Return the commands of the application, none where there is no application.

    Raises ManifestError, also for a command whose name is in `taken`.
    """
    from saga_lab.application import FILE_NAME, ManifestError, application_folder

    if application_folder() is None:
        return {}
    found = application()
    for name in found.commands.keys() & taken.keys():
        raise ManifestError(
            f"{found.folder / FILE_NAME}: commands.{name}: `saga {name}` exists for every "
            "application; choose another name"
        )
    return found.commands


def own_command(spec: "CommandSpec") -> click.Command:
    """Import a command of the application. Raises ManifestError."""
    from saga_lab.application import FILE_NAME, ManifestError, resolve

    found = application()
    command = resolve(found, f"commands.{spec.name}.call", spec.call)
    if not isinstance(command, click.Command):
        raise ManifestError(
            f"{found.folder / FILE_NAME}: commands.{spec.name}.call: {spec.call} is no click "
            "command; decorate the function with @click.command()"
        )
    return command
