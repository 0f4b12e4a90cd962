"""Keeps files in a folder, here or in any store that fsspec speaks to; each is whole or absent.

A file is written under another name and then renamed. A process that is killed meanwhile leaves
a file `*.part`, which nobody reads.
"""

import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sagakit.errors import ArchiveRefused, ConfigurationError

PART = ".part"
"""End of the name of a file that is not whole."""


class ArchiveFolder:
    """A folder by its path or URL (`s3://bucket/folder`). It need not exist.

    Raises ConfigurationError if fsspec, or what it needs for this kind of store, is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs  # an optional extra, and slow to import
            from fsspec.implementations.local import LocalFileSystem

            self._fs, self._root = url_to_fs(url)
            self._is_local = isinstance(self._fs, LocalFileSystem)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"the archive {url} cannot be used: {error}; install saga-choreography[archive], "
                "and for an object store the package that fsspec names"
            ) from error
        self.url = url

    def read(self, name: str) -> bytes:
        """Return the content of a file. Raises ArchiveRefused if it is missing or unreadable."""
        with self._explained(name):
            return bytes(self._fs.cat_file(self._path(name)))

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name. Raises ArchiveRefused."""
        with self._explained(name):
            self._fs.invalidate_cache()
            return bool(self._fs.exists(self._path(name)))

    def write_whole(self, name: str, content: bytes) -> None:
        """Write a file, or replace it, so that nobody ever finds a part of it.

        On a local disk it is there also after a power failure. Raises ArchiveRefused.
        """
        path = self._path(name)
        aside = f"{path}.{uuid.uuid4().hex[:12]}{PART}"
        with self._explained(name):
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            with self._fs.open(aside, "wb") as file:
                file.write(content)
                file.flush()
                with suppress(AttributeError, io.UnsupportedOperation):  # only a local file has one
                    os.fsync(file.fileno())
            self._fs.mv(aside, path)
            if self._is_local:
                _sync_folder(path.rpartition("/")[0])

    def names(self) -> list[str]:
        """Return the names of all files, `*.part` included."""
        with self._explained(""):
            self._fs.invalidate_cache()
            found = self._fs.find(self._root)
            return sorted(path.removeprefix(self._root).lstrip("/") for path in found)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ArchiveRefused(
                f"{name} is missing in {self.url}; bring it back from a copy"
            ) from error
        except OSError as error:
            raise ArchiveRefused(f"the archive {self.url}: {name}: {error}") from error


def _sync_folder(path: str) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
