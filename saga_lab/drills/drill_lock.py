"""Keeps a second drill out of a home, and notices that the last one there was killed."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saga_lab.devstack.errors import StackError

FILE_NAME = "drill.lock"
_BEGUN = "begun"


@contextmanager
def only_drill(home: Path) -> Iterator[bool]:
    """Hold the lock of a home's drills; yield True if the last one was killed.

    The system releases the lock of a process that is killed, but what it wrote stays. Raises
    StackError while another drill runs.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / FILE_NAME).open("a+")
    except OSError as error:
        raise StackError(
            f"cannot write to {home}: {error}. Set SAGA_HOME to a directory that can be written."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                f"another drill is running in {home}. Wait for its end, or set another SAGA_HOME."
            ) from None
        file.seek(0)
        killed = file.read() == _BEGUN
        _write(home / FILE_NAME, _BEGUN)
        try:
            yield killed
        finally:
            _write(home / FILE_NAME, "")


def _write(file: Path, text: str) -> None:
    """Replace the content, not the file: the lock is that of the file."""
    with file.open("r+") as out:
        out.truncate()
        out.write(text)
