"""Loads contracts from packages: schemas, generated classes and flow files."""

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sagakit.contract.balance_fields import check_balance_fields
from sagakit.contract.conflicts import check_contracts, check_flow
from sagakit.contract.files import PLATFORM, ContractFiles, files_of, read_set, released_sets
from sagakit.contract.marks import EventMarks, Records, marks_of
from sagakit.contract.model import Contract
from sagakit.contract.step_marks import check_step_marks
from sagakit.errors import ContractError, FlowError, SagaError
from sagakit.flow.loader import load
from sagakit.flow.model import Flow


def load_contract(*packages: str) -> Contract:
    """Return the contracts of packages and the platform's own events as one.

    A package holds `*.avsc`, `flows/*.toml`, `released/<n>/*.avsc` and the generated `events.py`.
    Raises ContractError for what is wrong with them, FlowError for a flow file.
    """
    files = {package: files_of(package) for package in packages}
    parts = {PLATFORM: load_platform()}
    parts.update((package, load_events(found)) for package, found in files.items())
    check_contracts(parts)
    homes = {event: package for package, part in parts.items() for event in part.event_types}
    declared: dict[str, Flow] = {}
    flows_of: dict[str, list[str]] = {package: [] for package in packages}
    for package, found in files.items():
        own = (PLATFORM, package)
        owners = {event: owner for name in own for event, owner in parts[name].owners.items()}
        foreign = {event: home for event, home in homes.items() if home not in own}
        for path in found.flow_files:
            at = f"{package}/flows/{path.name}"
            schemas = {**parts[PLATFORM].schemas, **parts[package].schemas}
            flow = _load_flow(path, at, owners, foreign, schemas)
            check_flow(at, flow, declared)
            declared[at] = flow
            flows_of[package].append(flow.name)
    return replace(join(*parts.values()), declared=tuple(declared.values()), packages=flows_of)


def load_edited_flow(content: str, contract: Contract) -> Flow:
    """Return the flow that a TOML text declares instead of the contract's flow of that name.

    Raises FlowError, also if the contract has no flow of that name.
    """
    name = load(content, contract.owners).name
    present = next((flow for flow in contract.declared if flow.name == name), None)
    if present is None:
        known = ", ".join(flow.name for flow in contract.declared)
        raise FlowError(
            f"flow {name}: this contract has no flow of that name (known: {known}); edit the file "
            "of one of these, and keep its name"
        )
    flow = load(content, present.owners)
    check_balance_fields(flow, contract.schemas)
    check_step_marks(flow, contract.schemas)
    return flow


def load_platform() -> Contract:
    """Return the platform's own events, which need no flow."""
    return load_events(files_of(PLATFORM))


def load_events(files: ContractFiles) -> Contract:
    """Return the contract of one package without its flows. Raises ContractError."""
    schemas, events = read_set(files.folder), _generated_events(files)
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


def _generated_events(files: ContractFiles) -> tuple[type[Any], ...]:
    """Return the generated classes of a package; none if they were not generated yet."""
    try:
        found: tuple[type[Any], ...] = importlib.import_module(files.module).EVENTS
    except SagaError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == files.module:
            return ()
        raise ContractError(
            f"{files.target.name} of {files.package}: it cannot be imported: "
            f"{type(error).__name__}: {' '.join(str(error).split())}; correct the package's own "
            f"code, or run python -m sagakit.contract.generate {files.package}"
        ) from error
    return found


def _load_flow(
    path: Path, at: str, owners: Mapping[str, str], foreign: Mapping[str, str], schemas: Records
) -> Flow:
    try:
        flow = load(path.read_text(), owners, foreign)
        check_balance_fields(flow, schemas)
        check_step_marks(flow, schemas)
        return flow
    except FlowError as error:
        raise FlowError(f"{at}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FlowError(
            f"{at}: the flow file cannot be read: {error}; make it a text file in UTF-8"
        ) from error


def join(*contracts: Contract) -> Contract:
    """Return several contracts, which define nothing twice, as one."""
    found = Contract({}, {})
    for contract in contracts:
        found = Contract(
            {**contract.event_types, **found.event_types},
            {**contract.schemas, **found.schemas},
            (*found.released, *contract.released),
            (*found.declared, *contract.declared),
        )
    return found
