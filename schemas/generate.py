"""Generates `events.py` from the `.avsc` files; `--check` fails if the file differs.

Avro types map to Python: record -> frozen dataclass, array -> tuple, union with null -> `| None`,
int and long -> int, timestamp-micros -> aware `datetime` (UTC), uuid -> `UUID`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TARGET = HERE / "events.py"
PRIMITIVES = {"string": "str", "int": "int", "long": "int", "double": "float", "boolean": "bool"}
LOGICAL = {"timestamp-micros": "datetime", "uuid": "UUID"}
HEAD = '''"""The events of the contract. Made by `python -m schemas.generate` from *.avsc."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
'''


def records() -> dict[str, dict[str, Any]]:
    """Return all record schemas by name; those without an owner (shared parts) come first.

    Raises ValueError naming a file that does not hold one record of the file's own name.
    """
    found = {}
    for path in sorted(HERE.glob("*.avsc")):
        schema = json.loads(path.read_text())
        if schema.get("type") != "record" or schema.get("name") != path.stem:
            raise ValueError(f"{path.name} must hold one record named {path.stem}")
        found[path.stem] = schema
    return dict(sorted(found.items(), key=lambda item: ("owner" in item[1], item[0])))


def python_type(avro: Any) -> str:
    """Return the Python annotation of an Avro type.

    Raises ValueError for a union other than one of null and a single type.
    """
    if isinstance(avro, list):
        inner = [a for a in avro if a != "null"]
        if len(inner) != 1 or len(avro) != 2:
            raise ValueError(f"only unions of null and one type are used here, not {avro}")
        return f"{python_type(inner[0])} | None"
    if isinstance(avro, dict):
        if avro["type"] == "array":
            return f"tuple[{python_type(avro['items'])}, ...]"
        return LOGICAL[avro["logicalType"]]
    return PRIMITIVES.get(avro, str(avro))


def _writer(expr: str, avro: Any) -> str:
    """Return the expression that turns a field into the value fastavro writes."""
    if isinstance(avro, list):
        inner = _writer(expr, next(a for a in avro if a != "null"))
        return expr if inner == expr else f"None if {expr} is None else {inner}"
    if isinstance(avro, dict) and avro["type"] == "array":
        item = _writer("x", avro["items"])
        return f"list({expr})" if item == "x" else f"[{item} for x in {expr}]"
    if isinstance(avro, str) and avro not in PRIMITIVES:
        return f"{expr}.to_dict()"
    return expr


def _reader(expr: str, avro: Any) -> str:
    """Return the expression that turns a value read by fastavro into a field."""
    if isinstance(avro, list):
        inner = _reader(expr, next(a for a in avro if a != "null"))
        return expr if inner == expr else f"None if {expr} is None else {inner}"
    if isinstance(avro, dict) and avro["type"] == "array":
        item = _reader("x", avro["items"])
        return f"tuple({expr})" if item == "x" else f"tuple([{item} for x in {expr}])"
    if isinstance(avro, str) and avro not in PRIMITIVES:
        return f"{avro}.from_dict({expr})"
    return expr


def _field(field: dict[str, Any]) -> str:
    """Return the expression that reads a field of a record, or its default if it has one.

    Rows and effects stored before the field was added lack it.
    """
    found, avro = f'record["{field["name"]}"]', field["type"]
    if "default" not in field:
        return _reader(found, avro)
    default = "" if field["default"] is None else f", {field['default']!r}"
    perhaps, expr = f'record.get("{field["name"]}"{default})', _reader(found, avro)
    known = f"None if {found}"
    return expr.replace(known, f"None if {perhaps}") if known in expr else _reader(perhaps, avro)


def _record(schema: dict[str, Any]) -> str:
    fields, owner = schema["fields"], schema.get("owner")
    lines = ["@dataclass(frozen=True, slots=True, kw_only=True)", f"class {schema['name']}:"]
    lines += [f'    """{schema["doc"]}"""', ""]
    if owner:
        lines += [f'    type: ClassVar[str] = "{schema["name"]}"']
        lines += [f'    owner: ClassVar[str] = "{owner}"']
    for field in fields:
        default = f" = {field['default']!r}" if "default" in field else ""
        lines.append(f"    {field['name']}: {python_type(field['type'])}{default}")
    lines += ["", "    def to_dict(self) -> dict[str, Any]:"]
    lines += ['        """Return the record as fastavro writes it."""', "        return {"]
    lines += [
        f'            "{f["name"]}": {_writer("self." + f["name"], f["type"])},' for f in fields
    ]
    lines += ["        }", "", "    @classmethod"]
    lines += [f"    def from_dict(cls, record: dict[str, Any]) -> {schema['name']}:"]
    lines += ['        """Build it from a record as fastavro reads it."""', "        return cls("]
    for field in fields:
        expr = _field(field)
        lines.append(f"            {field['name']}={expr},")
    lines += ["        )", "", ""]
    return "\n".join(lines)


def generate() -> str:
    """Return the text of `events.py`, formatted by ruff."""
    schemas = records()
    text = HEAD
    if any("uuid" in json.dumps(s) for s in schemas.values()):
        text += "from uuid import UUID\n"
    text += "\n\n" + "\n".join(_record(schema) for schema in schemas.values())
    owned = [name for name, schema in schemas.items() if "owner" in schema]
    text += "\nEVENTS: tuple[type[Any], ...] = (\n" + "".join(f"    {n},\n" for n in owned) + ")\n"
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(ruff, input=text, text=True, capture_output=True, check=True).stdout


def main() -> int:
    """Write `events.py`; with `--check` only return exit status 1 if it differs."""
    text = generate()
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text() != text:
            print(
                "schemas/events.py is not what the .avsc files say: run python -m schemas.generate"
            )
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
