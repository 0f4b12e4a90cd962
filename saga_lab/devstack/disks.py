"""Mounts separate disks for PostgreSQL's data and WAL, which can be filled on their own.

Each is ext4 in a sparse file, mounted through a loop device. A tmpfs would not do: there fsync does
nothing, commits cost nothing, and a stop would lose the data. Mounting takes root; `refusal` says
what else is missing. A home's disks are mounted from `up` to `down`.
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
"""Several times what a chaos run of 20,000 sagas writes; the file is sparse."""
_TRIAL_BYTES = 16 * 2**20
_TIMEOUT_S = 60
_BUSY_S = 10.0
_POLL_S = 0.1
_BALLAST = "ballast"
_SMALLEST_PIECE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk `name` in a home's folder `data`."""

    data: Path
    name: str
    size_bytes: int = SIZE_BYTES

    @property
    def image(self) -> Path:
        """The file that holds its file system."""
        return self.data / f"{self.name}.ext4"

    @property
    def mount_point(self) -> Path:
        """Its mount point."""
        return self.data / self.name

    def mount(self) -> None:
        """Mount the disk, creating it first if there is none. Raises StackError."""
        if self.mount_point.is_mount():
            return
        if not self.image.exists():
            self._make()
        self.mount_point.mkdir(exist_ok=True)
        # `discard`: removed files free space in the image too, so that it does not keep growing.
        _run("mount", "-o", "loop,discard", str(self.image), str(self.mount_point))

    def unmount(self) -> None:
        """Unmount the disk, keeping its data. Raises StackError if it stays in use."""
        deadline = time.monotonic() + _BUSY_S
        while self.mount_point.is_mount():
            try:
                _run("umount", str(self.mount_point))
            except StackError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)

    def fill(self) -> None:
        """Use up all free space, until `free`; call again if files were removed meanwhile."""
        piece = self.size_bytes
        with (self.mount_point / _BALLAST).open("ab") as ballast:
            size = ballast.tell()
            while piece >= _SMALLEST_PIECE_BYTES:
                try:
                    os.posix_fallocate(ballast.fileno(), size, piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece //= 2
                # Part of a piece that did not fit may have been allocated all the same.
                size = os.fstat(ballast.fileno()).st_size

    def free(self) -> None:
        """Release the space that `fill` took."""
        (self.mount_point / _BALLAST).unlink(missing_ok=True)

    def _make(self) -> None:
        # Create under a temporary name: an interrupted start leaves no partial image. No journal:
        # it would cost every commit a second write, and guards only against a power cut.
        aside = self.image.with_suffix(".new")
        with aside.open("wb") as file:
            file.truncate(self.size_bytes)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", str(aside))
        aside.rename(self.image)


def disks_of(data: Path) -> tuple[Disk, ...]:
    """Return the disks in a home's folder `data`, mounted or not; most homes have none."""
    disks = (Disk(data, name) for name in DISKS)
    return tuple(disk for disk in disks if disk.image.exists())


def refusal(folder: Path) -> str | None:
    """Try to create a disk in this folder; return why that fails, None if it works."""
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
