"""Keeps what a stack writes from other users of the machine."""

import os
from pathlib import Path

_OWN, _OWN_TO_PASS = 0o700, 0o711


def close_home(home: Path) -> None:
    """Make the directories of a home its owner's alone.

    Root's home and its data are passed through by the user that PostgreSQL runs as, who cannot list
    them.
    """
    mode = _OWN_TO_PASS if os.geteuid() == 0 else _OWN
    for folder, its_mode in ((home, mode), (home / "data", mode), (home / "logs", _OWN)):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(its_mode)


def write_private(file: Path, content: str) -> None:
    """Write a file that nobody but its owner can read, not even while it is written."""
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(content)
