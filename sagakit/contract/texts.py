"""Reads `docs.toml` of a contract: what its documents say that events and flows do not.

    title = "The events of a visit"
    access = "A system that asks for visits needs `Write` on `dispatch.events`."

    [modules.kit]                       # a package's modules, between the markers of a page
    page = "docs/reference/kit.md"
    package = "sagakit"

    [code.publisher]                    # a file, between the markers of a page
    page = "docs/how-to/publish-from-outside.md"
    file = "examples/publish.py"

Paths are below the folder that holds the contract's package. The file may be absent.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagakit.contract.files import ContractFiles
from sagakit.errors import ContractError
from sagakit.flow.toml_values import reject_unknown_keys, table, text


@dataclass(frozen=True, slots=True)
class DocumentTexts:
    """Holds a contract's own texts.

    `modules`: section -> page and package; `code`: section -> page and file.
    """

    title: str
    access: str = ""
    modules: Mapping[str, tuple[Path, Path]] = field(default_factory=dict)
    code: Mapping[str, tuple[Path, Path]] = field(default_factory=dict)


def read_texts(files: ContractFiles) -> DocumentTexts:
    """Return the texts of a contract. Raises ContractError."""
    path = files.folder / "docs.toml"
    default = DocumentTexts(f"The events of {files.package}")
    if not path.exists():
        return default
    try:
        raw = tomllib.loads(path.read_text())
        reject_unknown_keys("the file", raw, {"title", "access", "modules", "code"})
        return DocumentTexts(
            text("title", raw.get("title", default.title)),
            text("access", raw["access"]) if "access" in raw else "",
            _sections("modules", raw, "package"),
            _sections("code", raw, "file"),
        )
    except ValueError as error:
        raise ContractError(f"{files.package}/docs.toml, {error}") from error


def _sections(name: str, raw: Mapping[str, Any], source: str) -> dict[str, tuple[Path, Path]]:
    found = {}
    for section, value in table(name, raw.get(name, {})).items():
        where = f"{name}.{section}"
        inner = table(where, value)
        reject_unknown_keys(where, inner, {"page", source})
        page, shown = (text(f"{where}.{key}", inner.get(key)) for key in ("page", source))
        found[section] = (Path(page), Path(shown))
    return found
