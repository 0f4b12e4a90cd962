"""Loads contracts from packages: schemas, generated classes and flow files."""

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sagakit.contract.files import PLATFORM, ContractFiles, files_of, read_set, released_sets
from sagakit.contract.marks import EventMarks, marks_of
from sagakit.contract.model import Contract
from sagakit.errors import ContractError, FlowError
from sagakit.flow.loader import load
from sagakit.flow.model import Flow


def load_contract(*packages: str) -> Contract:
    """Return the contracts of packages and the platform's own events as one.

    A package holds `*.avsc`, `flows/*.toml`, `released/<n>/*.avsc` and the generated `events.py`.
    Raises ContractError for what is wrong with them, FlowError for a flow file.
    """
    platform = load_platform()
    parts = {package: (files_of(package), load_events(files_of(package))) for package in packages}
    events = join(platform, *(part for _, part in parts.values()))
    homes = {name: package for package, (_, part) in parts.items() for name in part.event_types}
    declared = [
        _load_flow(
            path,
            files.package,
            {**platform.owners, **part.owners},
            {n: h for n, h in homes.items() if h != files.package},
        )
        for files, part in parts.values()
        for path in files.flow_files
    ]
    return replace(events, declared=declared)


def load_platform() -> Contract:
    """Return the platform's own events, which need no flow."""
    return load_events(files_of(PLATFORM))


def load_events(files: ContractFiles) -> Contract:
    """Return the contract of one package without its flows. Raises ContractError."""
    schemas = read_set(files.folder)
    try:
        events = importlib.import_module(files.module).EVENTS
    except ModuleNotFoundError as error:
        if error.name != files.module:
            raise
        events = ()
    made = {e.type: EventMarks(e.owner, e.saga_id_field, e.void_when, e.pii) for e in events}
    written = {name: marks for name in schemas if (marks := marks_of(name, schemas))}
    if made != written:
        differs = sorted(name for name in made | written if made.get(name) != written.get(name))
        raise ContractError(
            f"{files.target.name} of {files.package}, {differs[0]}: it is not what its "
            f".avsc says; run python -m sagakit.contract.generate {files.package}"
        )
    released = [records for _, records in released_sets(files.folder)]
    return Contract({event.type: event for event in events}, schemas, released)


def _load_flow(
    path: Path, package: str, owners: Mapping[str, str], foreign: Mapping[str, str]
) -> Flow:
    try:
        return load(path.read_text(), owners, foreign)
    except FlowError as error:
        raise FlowError(f"{package}/flows/{path.name}: {error}") from error


def join(*contracts: Contract) -> Contract:
    """Return several contracts as one.

    Raises ContractError for a record that two of them define, each in its own way.
    """
    found = Contract({}, {})
    for contract in contracts:
        for name in found.schemas.keys() & contract.schemas.keys():
            if found.schemas[name] != contract.schemas[name]:
                raise ContractError(
                    f"{name}.avsc, name: two contracts define {name}, each in its own way; rename "
                    "it in one of them"
                )
        found = Contract(
            {**contract.event_types, **found.event_types},
            {**contract.schemas, **found.schemas},
            (*found.released, *contract.released),
            (*found.declared, *contract.declared),
        )
    return found
