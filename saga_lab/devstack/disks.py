"""Disks of PostgreSQL's own, one for its data and one for its WAL, that can be filled without
filling the machine's: ext4 in a sparse file, mounted through a loop device.

Not a tmpfs: there fsync does nothing, commits cost nothing, and a stop would lose the data. It
takes root; `refusal` says what else is missing. A home's disks are mounted from `up` to `down`.
"""

import errno
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from saga_lab.devstack.errors import StackError

DATA_DISK, WAL_DISK = "postgres-data", "postgres-wal"
DISKS = (DATA_DISK, WAL_DISK)
SIZE_BYTES = 8 * 2**30
"""Several times what a day of 20,000 orders writes; the file takes only what is written."""
_TRIAL_BYTES = 16 * 2**20
_TIMEOUT_S = 60
_BUSY_S = 10.0
_POLL_S = 0.1
_BALLAST = "ballast"
_SMALLEST_PIECE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk of this name below a home's folder `data`."""

    data: Path
    name: str
    size_bytes: int = SIZE_BYTES

    @property
    def image(self) -> Path:
        """The file it lies in."""
        return self.data / f"{self.name}.ext4"

    @property
    def room(self) -> Path:
        """The directory it is mounted on."""
        return self.data / self.name

    def mount(self) -> None:
        """Mount it, and make it first where there is none. Raises StackError."""
        if self.room.is_mount():
            return
        if not self.image.exists():
            self._make()
        self.room.mkdir(exist_ok=True)
        # What is removed leaves the image as well, so that it does not grow all day.
        _run("mount", "-o", "loop,discard", str(self.image), str(self.room))

    def unmount(self) -> None:
        """Unmount it, keeping what is on it. Raises StackError where somebody still works there."""
        deadline = time.monotonic() + _BUSY_S
        while self.room.is_mount():
            try:
                _run("umount", str(self.room))
            except StackError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)

    def fill(self) -> None:
        """Leave no room on it, until `free`; again, where something was removed meanwhile."""
        piece = self.size_bytes
        with (self.room / _BALLAST).open("ab") as ballast:
            size = ballast.tell()
            while piece >= _SMALLEST_PIECE_BYTES:
                try:
                    os.posix_fallocate(ballast.fileno(), size, piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece //= 2
                # Of a piece that did not fit in whole, a part may have been given all the same.
                size = os.fstat(ballast.fileno()).st_size

    def free(self) -> None:
        """Give back what `fill` took."""
        (self.room / _BALLAST).unlink(missing_ok=True)

    def _make(self) -> None:
        # Made aside, so that a start that was cut short leaves no half image behind. No journal:
        # it would cost every commit a second write, for a power cut that no gameday has.
        aside = self.image.with_suffix(".new")
        with aside.open("wb") as file:
            file.truncate(self.size_bytes)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", str(aside))
        aside.rename(self.image)


def disks_of(data: Path) -> tuple[Disk, ...]:
    """The disks that lie in a home's folder `data`, mounted or not; none in most homes."""
    disks = (Disk(data, name) for name in DISKS)
    return tuple(disk for disk in disks if disk.image.exists())


def refusal(folder: Path) -> str | None:
    """Why no disk can be had in this folder, found out by trying; None where it can."""
    if os.geteuid() != 0:
        return "only root can mount a file system of its own"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        trial = Disk(Path(scratch), "trial", _TRIAL_BYTES)
        try:
            trial.mount()
            trial.unmount()
        except StackError as error:
            return str(error)
    return None


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except FileNotFoundError:
        raise StackError(
            f"there is no command `{command[0]}`; install util-linux and e2fsprogs"
        ) from None
    except subprocess.TimeoutExpired:
        raise StackError(f"`{' '.join(command)}` took longer than {_TIMEOUT_S} s") from None
    except subprocess.CalledProcessError as error:
        raise StackError(f"`{' '.join(command)}` failed: {error.stderr.strip()}") from None
