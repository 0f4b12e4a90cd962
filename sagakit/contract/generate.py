"""Generates a contract's event classes from its `.avsc` files; `--check` fails if they differ.

    python -m sagakit.contract.generate PACKAGE [--check]

Avro types map to Python: record -> frozen dataclass, array -> tuple, union with null -> `| None`,
int and long -> int, timestamp-micros -> aware `datetime` (UTC), uuid -> `UUID`. A class of an event
carries its marks (`marks`) as class attributes: `type`, `owner`, `saga_id_field`, `void_when`,
`pii`.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from sagakit.contract.files import ContractFiles, read_set
from sagakit.contract.marks import LOGICAL, PRIMITIVES, EventMarks, Records, marks_of
from sagakit.contract.package_tool import read_arguments, run_tool
from sagakit.errors import ContractError

HEAD = '''"""Defines events. Made by `python -m sagakit.contract.generate {package}`."""

from __future__ import annotations

from dataclasses import dataclass
{times}from typing import Any, ClassVar
'''


def python_type(avro: Any) -> str:
    """Return the Python annotation of an Avro type of a checked set."""
    if isinstance(avro, list):
        return f"{python_type(next(a for a in avro if a != 'null'))} | None"
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


def _record(name: str, records: Records) -> str:
    schema, marks = records[name], marks_of(name, records)
    fields = schema["fields"]
    lines = ["@dataclass(frozen=True, slots=True, kw_only=True)", f"class {schema['name']}:"]
    lines += [f'    """{schema["doc"]}"""', ""]
    if marks:
        lines += _marks(name, marks)
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


def _marks(name: str, marks: EventMarks) -> list[str]:
    return [
        f"    type: ClassVar[str] = {name!r}",
        f"    owner: ClassVar[str] = {marks.owner!r}",
        f"    saga_id_field: ClassVar[str | None] = {marks.saga_id!r}",
        f"    void_when: ClassVar[str | None] = {marks.void_when!r}",
        f"    pii: ClassVar[tuple[str, ...]] = {marks.pii!r}",
    ]


def generate(files: ContractFiles) -> str:
    """Return the text of the generated module, formatted by ruff. Raises ContractError."""
    records = read_set(files.folder)
    names = sorted(records, key=lambda name: ("owner" in records[name], name))
    written = json.dumps(records)
    times = "from datetime import datetime\n" if '"timestamp-micros"' in written else ""
    text = HEAD.format(package=files.package, times=times)
    if '"uuid"' in written:
        text += "from uuid import UUID\n"
    text += "\n\n" + "\n".join(_record(name, records) for name in names)
    owned = [name for name in names if "owner" in records[name]]
    text += "\nEVENTS: tuple[type[Any], ...] = (\n" + "".join(f"    {n},\n" for n in owned) + ")\n"
    return _formatted(text, files)


def _formatted(text: str, files: ContractFiles) -> str:
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(files.target), "-"]
    done = subprocess.run(ruff, input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        error = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ContractError(
            f"{files.target.name} of {files.package}: ruff did not format it: {error[0]}; install "
            "ruff (pip install ruff) and run again"
        )
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """Write the module; with `--check` only return exit status 1 if it differs."""
    files, asked = read_arguments("sagakit.contract.generate", __doc__, arguments, check=True)
    text = generate(files)
    if files.target.exists() and files.target.read_text() == text:
        return 0
    if asked.check:
        print(
            f"{files.target.name} of {files.package} is not what the .avsc files say: run "
            f"python -m sagakit.contract.generate {files.package}"
        )
        return 1
    files.target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
