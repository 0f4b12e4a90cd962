"""Reads and writes `stack.json`, the file in a stack's home that says where everything is.

Commands that only talk to a running stack import this module and nothing else of the package.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saga_lab.application.folder import application_folder
from saga_lab.devstack.errors import StackError

FILE_NAME = "stack.json"


def default_home() -> Path:
    """Return `$SAGA_HOME`, else `.saga` in the application's folder or the working directory."""
    if given := os.environ.get("SAGA_HOME"):
        return Path(given).expanduser().absolute()
    return (application_folder() or Path.cwd()) / ".saga"


def read_manifest(home: Path) -> dict[str, Any]:
    """Return the content of `stack.json` of this home; empty before the first start.

    Raises `StackError` if the file cannot be read.
    """
    path = home / FILE_NAME
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, OSError) as error:
        raise StackError(
            f"{path} cannot be read ({error}). Set SAGA_HOME to the home of a stack, or remove "
            "the file: `saga up` writes a new one."
        ) from error


def write_manifest(home: Path, content: Mapping[str, Any]) -> None:
    """Replace the file atomically: a reader sees the old or the new one, never half of it."""
    aside = home / f"{FILE_NAME}.new"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    aside.replace(home / FILE_NAME)
