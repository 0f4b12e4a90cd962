"""Reads the schema files of a contract's package, without importing the package."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagakit.contract.marks import check_records
from sagakit.errors import ContractError, SagaError

PLATFORM = "sagakit.contract"
"""The package of the platform's own events."""


@dataclass(frozen=True, slots=True)
class ContractFiles:
    """Says where a contract's files are.

    `folder` holds `*.avsc`, `flows/*.toml` and `released/<n>/`; `module`: the generated module.
    """

    package: str
    folder: Path
    module: str

    @property
    def target(self) -> Path:
        """The file of the generated module."""
        home = self.folder.parent if self.package == PLATFORM else self.folder
        return home / f"{self.module.rpartition('.')[2]}.py"

    @property
    def root(self) -> Path:
        """The folder that holds the package, with the application's documents."""
        return self.folder.parents[self.module.count(".") - 1]

    @property
    def flow_files(self) -> list[Path]:
        """The flow files, by name."""
        return sorted((self.folder / "flows").glob("*.toml"))


def files_of(package: str) -> ContractFiles:
    """Return the places of a contract's files.

    Raises ContractError if there is no such package, or if it cannot be imported.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ModuleNotFoundError, ValueError):
        spec = None
    except SagaError:
        raise
    except Exception as error:  # find_spec imports the packages that hold this one
        raise ContractError(
            f"contract {package!r}: it cannot be imported: {type(error).__name__}: "
            f"{' '.join(str(error).split())}; correct the packages that hold it"
        ) from error
    if spec is None or not spec.submodule_search_locations:
        raise ContractError(
            f"contract {package!r}: there is no such package; name one with *.avsc files, such as "
            "schemas, and run from the folder that holds it or set PYTHONPATH"
        )
    home = Path(next(iter(spec.submodule_search_locations)))
    if package == PLATFORM:
        return ContractFiles(package, home / "events", f"{package}.platform")
    if not any(home.glob("*.avsc")):
        raise ContractError(
            f"contract {package!r}: {home} holds no *.avsc file; add the schema of each event"
        )
    return ContractFiles(package, home, f"{package}.events")


def read_set(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the record schemas of a folder by name. Raises ContractError, see `check_records`."""
    records = {path.stem: _read(path) for path in sorted(folder.glob("*.avsc"))}
    check_records(records, f"{folder.name}/")
    return records


def released_sets(folder: Path) -> list[tuple[str, dict[str, dict[str, Any]]]]:
    """Return the released sets below `folder` with their names, oldest first."""
    return [(path.name, read_set(path)) for path in released_folders(folder)]


def released_folders(folder: Path) -> list[Path]:
    """Return the folders of the released sets, oldest first."""
    return sorted((folder / "released").glob("[0-9]*"), key=lambda path: int(path.name))


def _read(path: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ContractError(f"{at}, {twice}: it is written twice; write it once")
        return found

    at = f"{path.parent.name}/{path.name}"
    try:
        return json.loads(path.read_text(), object_pairs_hook=unique)
    except (OSError, ValueError, RecursionError) as error:
        raise ContractError(f"{at}: it is not valid JSON: {error}; correct it there") from error
