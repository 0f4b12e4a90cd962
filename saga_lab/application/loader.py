"""Reads an application's manifest, `saga.toml`."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saga_lab.application.folder import FILE_NAME, VARIABLE, application_folder
from saga_lab.application.model import (
    MONITOR,
    Application,
    CommandSpec,
    OutsideSpec,
    ParticipantSpec,
    placeholders,
)
from sagakit.errors import ConfigurationError
from sagakit.flow import toml_values as values
from sagakit.web.identity.scopes import scopes_of

ATTRIBUTES = frozenset({"url", "host", "port", "secret"})
RESERVED = frozenset(
    {MONITOR, "kafka", "controller", "postgres", "registry", "links", "world", "services", "infra"}
)
"""Names of the stack's own processes, ports and groups."""
LAB_KEYS = ("workload", "simulation", "invariants", "chaos")


class ManifestError(ConfigurationError):
    """A manifest cannot be used; the message names file, place, reason and remedy."""


class NoManifest(ManifestError):
    """There is no manifest where one was looked for."""


def find_application() -> Application:
    """Return the application of `application_folder`. Raises ManifestError."""
    folder = application_folder()
    if folder is None:
        raise NoManifest(
            f"{Path.cwd()}: there is no {FILE_NAME} here or in a folder above; run in an "
            f"application's folder, or name it with --app DIR or {VARIABLE}"
        )
    return load_application(folder)


def load_application(folder: Path) -> Application:
    """Read the manifest in `folder`. Raises ManifestError."""
    path = folder.absolute() / FILE_NAME
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoManifest(
            f"{path}: there is no such file; name an application's folder with --app DIR or "
            f"{VARIABLE}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: it cannot be read ({error}); mend the file") from error
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: it is not valid TOML: {error}; correct it there") from error
    try:
        return parse(raw, path.parent)
    except ValueError as error:
        raise ManifestError(f"{path}: {error}") from error


def parse(raw: Mapping[str, Any], folder: Path) -> Application:
    """Build the application that a manifest's content declares. Pure.

    Raises ValueError, which names the place, the reason and the remedy.
    """
    known = {"name", "contract", "participants", "outside", "lab", "monitor", "commands"}
    values.reject_unknown_keys(FILE_NAME, raw, known)
    lab = _table(raw, "lab", set(LAB_KEYS))
    monitor = _table(raw, "monitor", {"reconciliation"})
    participants = {
        name: _participant(name, values.table(f"participants.{name}", part))
        for name, part in values.table("participants", raw.get("participants")).items()
    }
    outside = {
        name: _outside(name, values.table(f"outside.{name}", part))
        for name, part in values.table("outside", raw.get("outside", {})).items()
    }
    commands = {
        name: _command(name, values.table(f"commands.{name}", part))
        for name, part in values.table("commands", raw.get("commands", {})).items()
    }
    if not participants:
        raise ValueError("participants is empty; declare each as [participants.NAME]")
    _check_names(participants, outside)
    return Application(
        name=values.name_of("name", raw.get("name")),
        folder=folder,
        contract=_contract(raw.get("contract")),
        participants=participants,
        outside=outside,
        **{key: _reference(f"lab.{key}", lab.get(key)) for key in LAB_KEYS},
        reconciliation=_reference("monitor.reconciliation", monitor.get("reconciliation")),
        commands=commands,
    )


def _participant(name: str, raw: Mapping[str, Any]) -> ParticipantSpec:
    where = f"participants.{name}"
    values.reject_unknown_keys(where, raw, {"module", "env", "replicas", "scopes"})
    replicas = raw.get("replicas", True)
    if not isinstance(replicas, bool):
        raise ValueError(f"{where}.replicas must be true or false, not {values.quote(replicas)}")
    module = _module(f"{where}.module", raw.get("module"))
    try:
        scopes = scopes_of(values.texts(f"{where}.scopes", raw.get("scopes", [])))
    except ValueError as error:
        raise ValueError(f"{where}.scopes: {error}") from error
    return ParticipantSpec(name, module, _env(where, raw), replicas, scopes)


def _outside(name: str, raw: Mapping[str, Any]) -> OutsideSpec:
    where = f"outside.{name}"
    values.reject_unknown_keys(where, raw, {"module", "env", "ports"})
    ports = values.texts(f"{where}.ports", raw.get("ports", []))
    module = _module(f"{where}.module", raw.get("module"))
    return OutsideSpec(name, module, _env(where, raw), ports)


def _command(name: str, raw: Mapping[str, Any]) -> CommandSpec:
    where = f"commands.{name}"
    if not re.fullmatch("[a-z][a-z0-9-]{0,30}", name):
        raise ValueError(
            f"{where} is no name of a command; use lower-case letters, digits and dashes"
        )
    values.reject_unknown_keys(where, raw, {"call", "help"})
    call = _reference(f"{where}.call", values.text(f"{where}.call", raw.get("call")))
    assert call is not None
    return CommandSpec(name, call, values.text(f"{where}.help", raw.get("help")))


def _contract(raw: Any) -> tuple[str, ...]:
    packages = values.texts("contract", raw) if isinstance(raw, list) else (raw,)
    if not packages or raw is None:
        raise ValueError('contract is empty; name the package with the events: contract = "events"')
    return tuple(_module("contract", package) for package in packages)


def _table(raw: Mapping[str, Any], name: str, known: set[str]) -> dict[str, Any]:
    found = values.table(name, raw.get(name, {}))
    values.reject_unknown_keys(name, found, known)
    return found


def _module(where: str, raw: Any) -> str:
    text = values.text(where, raw)
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", text):
        raise ValueError(f"{where} {values.quote(text)} is no module; write package.module")
    return text


def _reference(where: str, raw: Any) -> str | None:
    if raw is None:
        return None
    text = values.text(where, raw)
    module, colon, attribute = text.partition(":")
    if not colon or not attribute.isidentifier():
        raise ValueError(f"{where} {values.quote(text)} is no reference; write module:ATTRIBUTE")
    _module(where, module)
    return text


def _env(where: str, raw: Mapping[str, Any]) -> dict[str, str]:
    table = values.table(f"{where}.env", raw.get("env", {}))
    return {name: values.text(f"{where}.env.{name}", value) for name, value in table.items()}


def _check_names(
    participants: Mapping[str, ParticipantSpec], outside: Mapping[str, OutsideSpec]
) -> None:
    """Check that each name is used once, and that placeholders name what exists."""
    ports = [port for part in outside.values() for port in part.ports]
    seen = set[str]()
    for name in (*participants, *outside, *ports):
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name):
            raise ValueError(
                f"{values.quote(name)} is no name of a process; use lower-case letters, digits "
                "and underscores, at most 31"
            )
        if name in RESERVED or name in seen:
            reason = "one of the stack's own" if name in RESERVED else "used twice"
            raise ValueError(f"the name {name} is {reason}; choose another")
        seen.add(name)
    known = seen | {MONITOR}
    parts: tuple[tuple[str, ParticipantSpec | OutsideSpec], ...] = (
        *((f"participants.{name}", part) for name, part in participants.items()),
        *((f"outside.{name}", part) for name, part in outside.items()),
    )
    for where, part in parts:
        for variable, text in part.env.items():
            _check_placeholders(f"{where}.env.{variable}", text, known)


def _check_placeholders(where: str, text: str, known: set[str]) -> None:
    try:
        found = placeholders(text)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    for name, attribute in found:
        if name not in known:
            raise ValueError(
                f"{where}: {name} is no participant, fake or port; use {', '.join(sorted(known))}"
            )
        if attribute not in ATTRIBUTES:
            raise ValueError(
                f"{where}: {name}.{attribute} does not exist; use {', '.join(sorted(ATTRIBUTES))}"
            )
