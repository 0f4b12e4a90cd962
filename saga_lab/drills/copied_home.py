"""Copies the stack of a home into the home of a drill, while nothing of it runs.

A running stack is not copied: files of databases and logs that are copied at different times do
not belong together. The copy starts on ports of its own.
"""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saga_lab.application import Application
from saga_lab.devstack.disks import disks_of
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.home import check_application
from saga_lab.devstack.options import StackKind
from saga_lab.devstack.private_files import close_home
from saga_lab.devstack.stack import StackHome
from saga_lab.devstack.stack_file import write_manifest

DATA = "data"
SPARE_BYTES = 500 * 2**20
"""So much has to be left beside the copy."""
FRESH = "or drill without data: --fresh"


@dataclass(frozen=True, slots=True)
class CopiedStack:
    """Says of a copied stack what the options of its start depend on.

    env: extra environment of its processes; registry: it has a schema registry.
    """

    size_bytes: int
    brokers: int
    registry: bool
    env: Mapping[str, str]


def has_data(home: Path) -> bool:
    """Return True if a stack was ever started in this home. Raises StackError."""
    return bool(StackHome(home).read()) and (home / DATA).is_dir()


def copy_stack(source: Path, target: Path, application: Application) -> CopiedStack:
    """Copy the data of the stack in `source` to the home `target`, in place of what is there.

    Raises StackError if it runs, belongs to another application, or cannot be copied.
    """
    stack = StackHome(source)
    content = stack.read()
    _check_application(application, content)
    _check_kind(source, content)
    with stack.at_rest(f"stop it with `saga down`, its data is kept; {FRESH}"):
        size_bytes = _size_of(source / DATA)
        _check_room(source, size_bytes)
        shutil.rmtree(target, ignore_errors=True)
        close_home(target)
        _copy(source / DATA, target / DATA)
    write_manifest(target, moved(content))
    env, urls = content.get("env", {}), content.get("urls", {})
    return CopiedStack(size_bytes, content.get("brokers", 1), "registry" in urls, env)


def moved(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `stack.json` of a copy: the same data, but neither processes nor ports. Pure."""
    return {**content, "processes": {}, "ports": {}, "port_base": 0}


def _check_application(application: Application, content: Mapping[str, Any]) -> None:
    try:
        check_application(application, content)
    except StackError as error:
        raise StackError(f"{error} To drill without its data, give --fresh.") from error


def _check_kind(source: Path, content: Mapping[str, Any]) -> None:
    kind = content.get("stack")
    if kind != StackKind.EMBEDDED:
        raise StackError(
            f"the stack in {source} keeps Kafka and PostgreSQL elsewhere (--stack={kind}), so its "
            f"data cannot be copied. Drill it with --live, {FRESH}."
        )
    if disks_of(source / DATA):
        raise StackError(
            f"PostgreSQL of the stack in {source} is on disks of its own, which are not copied. "
            f"Choose another SAGA_HOME, {FRESH}."
        )


def _check_room(source: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(source).free
    if free < size_bytes + SPARE_BYTES:
        raise StackError(
            f"the data in {source} takes {size_bytes // 2**20} MB, and {free // 2**20} MB are free "
            f"there; a copy needs that and {SPARE_BYTES // 2**20} MB. Free some space, {FRESH}."
        )


def _size_of(folder: Path) -> int:
    """Return the bytes that the files of a folder take on disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with the owners of its files: PostgreSQL's are another user's."""
    words = ["cp", "-a", "--reflink=auto", "--sparse=always", f"{source}/.", str(target)]
    try:
        subprocess.run(words, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise StackError("there is no command `cp`; install coreutils") from None
    except subprocess.CalledProcessError as error:
        raise StackError(
            f"{source} cannot be copied to {target}: {error.stderr.strip()[-500:]}. Check that the "
            f"disk has room, {FRESH}."
        ) from None
