"""Imports what a manifest names."""

import importlib
import importlib.util
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from saga_lab.application.folder import FILE_NAME
from saga_lab.application.loader import ManifestError
from saga_lab.application.model import Application
from sagakit.errors import ContractError, FlowError

if TYPE_CHECKING:
    from sagakit.contract.model import Contract


def enter(application: Application) -> None:
    """Let this process and its children import the application's modules.

    The folder goes first on `sys.path` and PYTHONPATH, unless it is there already.
    """
    folder = str(application.folder)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = python_path(application)


def python_path(application: Application) -> str:
    """Return the PYTHONPATH of processes that import the application's modules."""
    folder = str(application.folder)
    inherited = os.environ.get("PYTHONPATH", "")
    paths = [path for path in inherited.split(os.pathsep) if path]
    return inherited if folder in paths else os.pathsep.join([folder, *paths])


def contract_of(application: Application) -> "Contract":
    """Return the application's contract. Raises ManifestError, ContractError and FlowError."""
    enter(application)
    for package in application.contract:
        _check_found(application, "contract", package)
    return _loaded(application.contract)


@cache
def _loaded(packages: tuple[str, ...]) -> "Contract":
    from sagakit.contract.loader import load_contract  # a command that needs none starts faster

    return load_contract(*packages)


def check_modules(application: Application) -> None:
    """Check that every module that the manifest names can be found. Raises ManifestError."""
    enter(application)
    for place, module in _modules(application):
        _check_found(application, place, module)


def resolve(application: Application, place: str, reference: str) -> Any:
    """Return what a reference `module:attribute` names. `place`: its place in the manifest.

    Raises ManifestError, and what a module raises that loads its contract itself: ContractError
    and FlowError.
    """
    enter(application)
    module, _, attribute = reference.partition(":")
    try:
        imported = importlib.import_module(module)
    except (ContractError, FlowError):
        raise
    except Exception as error:
        raise _error(application, place, module, f"{type(error).__name__}: {error}") from error
    try:
        return getattr(imported, attribute)
    except AttributeError as error:
        raise ManifestError(
            f"{application.folder / FILE_NAME}: {place}: {module} has no {attribute}; define it "
            "there, or mend the reference"
        ) from error


def _check_found(application: Application, place: str, module: str) -> None:
    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        found = False
    except Exception as error:
        raise _error(application, place, module, f"{type(error).__name__}: {error}") from error
    if not found:
        raise _error(application, place, module, "there is no such module")


def _error(application: Application, place: str, module: str, reason: str) -> ManifestError:
    return ManifestError(
        f"{application.folder / FILE_NAME}: {place}: {module} cannot be imported ({reason}); "
        f"write the module below {application.folder}, install it, or mend the name"
    )


def _modules(application: Application) -> list[tuple[str, str]]:
    """Return (place in the manifest, module) of everything that the manifest names."""
    references = {
        "lab.workload": application.workload,
        "lab.simulation": application.simulation,
        "lab.invariants": application.invariants,
        "lab.chaos": application.chaos,
        "monitor.reconciliation": application.reconciliation,
        **{f"commands.{c.name}.call": c.call for c in application.commands.values()},
    }
    return [
        *(("contract", package) for package in application.contract),
        *(
            (f"participants.{part.name}.module", f"{part.module}.service")
            for part in application.participants.values()
        ),
        *((f"outside.{fake.name}.module", fake.module) for fake in application.outside.values()),
        *((place, text.partition(":")[0]) for place, text in references.items() if text),
    ]
