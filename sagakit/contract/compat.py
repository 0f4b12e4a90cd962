"""Every schema stays compatible with every released set, both ways (FULL_TRANSITIVE).

    python -m sagakit.contract.compat PACKAGE               check; status 1 and a line a problem
    python -m sagakit.contract.compat PACKAGE --release 2   check, then keep them as released/2/

Topics keep events for weeks and old services run beside new ones during a deployment, so today's
code reads what every released set wrote, and every released set's code reads what is written today.
Apache's own `avro` package judges (Avro 1.12, "Schema Resolution"). What it does not look at is
judged here: an event that is gone, an event that changed its owner (its topic with it), its saga id
or its `void_when`, and a field that changed its logical type (the same long, read as another time).

A version of a flow that is out is never changed either: sagas in flight are on it, and old and new
code have to mean the same by it. It may go (`saga flows retire`); another order of steps is another
version.
"""

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import ArraySchema, RecordSchema, Schema, UnionSchema

from sagakit.contract.files import read_set, released_folders, released_sets
from sagakit.contract.loader import load_contract
from sagakit.contract.marks import Records
from sagakit.contract.model import inline
from sagakit.contract.package_tool import read_arguments, run_tool
from sagakit.errors import ContractError
from sagakit.flow.loader import load
from sagakit.flow.model import Flow


def problems(current: Records, released: Records, name: str) -> Iterator[str]:
    """Yield the incompatibilities of `current` with the released set called `name`, one line each.

    A line names the event, the field, the released set and the remedy.
    """
    for event, old in released.items():
        if "owner" not in old:
            continue  # a shared record is judged as part of the events that use it
        new = current.get(event)
        where = f"{event}, against released set {name}"
        if new is None:
            yield (
                f"{where}: the schema is gone, but topics still hold its records. "
                f"Restore {event}.avsc."
            )
        elif new.get("owner") != old["owner"]:
            yield (
                f"{where}: its owner was {old['owner']}, now it is {new.get('owner')}, which would "
                "move it to another topic. Keep the owner, or add a new event."
            )
        elif changed := [m for m in ("saga_id", "void_when") if new.get(m) != old.get(m)]:
            was, now = (schema.get(changed[0]) for schema in (old, new))
            yield (
                f"{where}: {changed[0]} named {was}, now it names {now}, so old and new code would "
                "mean different things by it. Restore it, or add a new event."
            )
        else:
            then, today = _parsed(event, released), _parsed(event, current)
            yield from (f"{where}: {fault}" for fault in _incompatibilities(then, today))


def _incompatibilities(then: Schema, today: Schema) -> Iterator[str]:
    for field, fault in _faults(today, then):
        yield (
            f"today's code cannot read its old records, field {field}: {fault}. "
            "Give a new field a default; never retype one, add a new field instead."
        )
    for field, fault in _faults(then, today):
        yield (
            f"its old code cannot read today's records, field {field}: {fault}. "
            "Restore the field; only fields that had a default may be removed."
        )
    for field, before, after in _logical_type_changes(then, today):
        yield (
            f"field {field} had logical type {before}, now it has {after}: the same number would "
            "mean something else. Restore the type, and add a new field for the new meaning."
        )


def _parsed(event: str, records: Records) -> Schema:
    return avro.schema.make_avsc_object(inline(event, records))


def _compatible(reader: Schema, writer: Schema) -> str | None:
    """Return the checker's messages; None if the two are compatible."""
    judge = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    found = judge.get_compatibility(reader, writer)
    if found.compatibility is SchemaCompatibilityType.compatible:
        return None
    return "; ".join(sorted(found.messages))


def _faults(reader: Schema, writer: Schema, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield the innermost incompatible fields, each with the checker's message."""
    result = _compatible(reader, writer)
    if result is None:
        return
    deeper = False
    for path, mine, other in _common(reader, writer, at):
        for fault in _faults(mine, other, path):
            deeper = True
            yield fault
    if isinstance(reader, RecordSchema) and isinstance(writer, RecordSchema):
        for field in reader.fields:
            if field.name not in writer.fields_dict and not field.has_default:
                deeper = True
                yield _join(at, field.name), "the writer does not have it, and it has no default"
    if not deeper:
        yield at or "(all)", result


def _common(reader: Schema, writer: Schema, at: str) -> Iterator[tuple[str, Schema, Schema]]:
    """Yield the pairs of schemas one level down, each with its path.

    Pairs are fields of the same name, array items, or the type of an optional that stayed one.
    """
    match reader, writer:
        case RecordSchema(), RecordSchema():
            theirs = writer.fields_dict
            for field in reader.fields:
                if field.name in theirs:
                    yield _join(at, field.name), field.type, theirs[field.name].type
        case ArraySchema(), ArraySchema():
            yield f"{at}[]", reader.items, writer.items
        case UnionSchema(), UnionSchema():
            mine, other = _inner(reader), _inner(writer)
            if len(mine) == len(other) == 1 and len(reader.schemas) == len(writer.schemas):
                yield at, mine[0], other[0]


def _inner(union: UnionSchema) -> list[Schema]:
    return [s for s in union.schemas if s.type != "null"]


def _logical_type_changes(
    then: Schema, today: Schema, at: str = ""
) -> Iterator[tuple[str, str, str]]:
    before, after = then.props.get("logicalType"), today.props.get("logicalType")
    if before != after:
        yield at, str(before or "none"), str(after or "none")
    for path, old, new in _common(then, today, at):
        yield from _logical_type_changes(old, new, path)


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def check(current: Records, released: Sequence[tuple[str, Records]]) -> list[str]:
    """Return all problems of `current` with every released set; each set comes with its name."""
    return [line for name, old in released for line in problems(current, old, name)]


def changed_versions(today: Flow, then: Flow, name: str) -> Iterator[str]:
    """Yield what changed in versions of a flow that are in the released set called `name`."""
    for version in then.versions.keys() & today.versions.keys():
        where = f"{then.label(version)}, against released set {name}"
        if today.versions[version] != then.versions[version]:
            yield (
                f"{where}: its steps were {then.versions[version]}, now they are "
                f"{today.versions[version]}. Restore them, and declare another version."
            )
            continue
        for step in (step for place in then.places(version) for step in place):
            for key in ("kind", "done", "failed", "undone"):
                was, now = getattr(step, key), getattr(today.steps[step.name], key)
                if was != now:
                    yield (
                        f"{where}: `{key}` of {step.name} was {was}, now it is {now}. Restore "
                        "it; for another event, declare a step of another name."
                    )


def check_flows(today: Iterable[Flow], owners: Mapping[str, str], folder: Path) -> list[str]:
    """Return all problems of `today` with the flow files of every released set below `folder`.

    `owners`: event type -> owner, of today's contract.
    """
    flows = {flow.name: flow for flow in today}
    return [
        line
        for released in released_folders(folder)
        for path in sorted((released / "flows").glob("*.toml"))
        for then in [load(path.read_text(), owners)]
        if then.name in flows
        for line in changed_versions(flows[then.name], then, released.name)
    ]


def release(folder: Path, number: int) -> Path:
    """Copy the schemas and flow files of `folder` to its next released set; return the new folder.

    Raises ContractError if `number` is not the next one: a released set never changes.
    """
    last = max((int(path.name) for path in released_folders(folder)), default=0)
    if number != last + 1:
        raise ContractError(
            f"--release {number}: the next released set is {last + 1}; a set that is out is never "
            "changed, since records written with it are on the topics"
        )
    target = folder / "released" / str(number)
    target.mkdir(parents=True)
    for path in sorted(folder.glob("*.avsc")):
        shutil.copyfile(path, target / path.name)
    if (folder / "flows").exists():
        shutil.copytree(folder / "flows", target / "flows")
    return target


def main(arguments: Sequence[str]) -> int:
    """Run the check; return exit status 1 if something is incompatible."""
    files, asked = read_arguments("sagakit.contract.compat", __doc__, arguments, release=True)
    contract = load_contract(files.package)
    found = [
        *check(read_set(files.folder), released_sets(files.folder)),
        *check_flows(contract.declared, contract.owners, files.folder),
    ]
    for line in found:
        print(line)
    if found:
        return 1
    if asked.release is not None:
        print(f"released: {release(files.folder, asked.release)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
