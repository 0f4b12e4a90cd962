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
TOKENS_FILE = "tokens.jsonl"
"""The file, in a stack's home, of the tokens that its processes take."""
OPERATOR = "operator"
"""The name of the token that the command line and the lab send. It may do everything."""


_OBJECTS = ("processes", "urls", "databases", "ports", "env", "secrets")
_OF_TEXTS = ("urls", "databases")


def default_home() -> Path:
    """Return `$SAGA_HOME`, else `.saga` in the application's folder or the working directory.

    Raises `StackError`.
    """
    given = os.environ.get("SAGA_HOME")
    try:
        if given:
            return Path(given).expanduser().absolute()
        return (application_folder() or Path.cwd()) / ".saga"
    except (RuntimeError, OSError) as error:  # an unknown user, or a deleted working directory
        raise StackError(
            f"there is no folder {given or '.saga'!r} ({error}). Set SAGA_HOME to an absolute path."
        ) from error


def read_manifest(home: Path) -> dict[str, Any]:
    """Return the content of `stack.json` of this home; empty before the first start.

    Raises `StackError` if the file cannot be read.
    """
    path = home / FILE_NAME
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for its writer
            raise ValueError("it is not a file")
        content = json.loads(path.read_text())
        _check(content)
    except FileNotFoundError:
        return {}
    except (ValueError, OSError, RecursionError) as error:
        raise StackError(
            f"{path} cannot be read ({error}). Set SAGA_HOME to the home of a stack, or remove "
            "the file: `saga up` writes a new one."
        ) from error
    return dict(content)


def _check(content: Any) -> None:
    """Raise ValueError if this is not the content of a `stack.json`, with its objects."""
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    for key in _OBJECTS:
        found = content.get(key, {})
        if not isinstance(found, dict):
            raise ValueError(f"{key!r} is not an object")
        if key in _OF_TEXTS and not all(isinstance(value, str) for value in found.values()):
            raise ValueError(f"{key!r} has a value that is not a text")


def token_secret(name: str) -> str:
    """Return the name under which a stack's secrets hold a token."""
    return f"token of {name}"


def operator_token(content: Mapping[str, Any]) -> str | None:
    """Return the operator's token of a `stack.json`, None if it has none."""
    found = content.get("secrets", {}).get(token_secret(OPERATOR))
    return found if isinstance(found, str) else None


def write_manifest(home: Path, content: Mapping[str, Any]) -> None:
    """Replace the file atomically: a reader sees the old or the new one, never half of it."""
    aside = home / f"{FILE_NAME}.new"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    aside.replace(home / FILE_NAME)
