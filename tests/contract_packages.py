"""Contracts made for a test: packages of `.avsc` and flow files in a folder, with their classes.

`TRIP` and `TOUR` are good ones that share no topic: each takes one step that can be undone and one
that cannot.
"""

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sagakit.contract.generate import main as generate
from sagakit.flow.platform_events import PLATFORM

Files = Mapping[str, str]
"""Path below the package -> text."""


def avsc(name: str, owner: str | None, *fields: Mapping[str, Any], **marks: Any) -> tuple[str, str]:
    """The file of an event, or of a shared record without an owner."""
    owned = {} if owner is None else {"owner": owner, **marks}
    record = {"type": "record", "name": name, "doc": f"{name} is a fact.", **owned}
    return f"{name}.avsc", json.dumps({**record, "fields": list(fields)})


def text_field(name: str, **marks: Any) -> dict[str, Any]:
    return {"name": name, "type": "string", **marks}


def flow_file(name: str, start: str, cancel: str, first: str, last: str) -> str:
    """A flow of two steps, `first` and `last`, whose events are named after them."""
    return f"""name = "{name}"
start = "{start}"
cancel = "{cancel}"
default_version = 1

[versions]
1 = ["{first}", "{last}"]

[steps.{first}]
kind = "compensatable"
done = "{first.title()}Booked"
failed = ["{first.title()}Refused"]
undone = "{first.title()}Freed"
deadline = "1m"

[steps.{last}]
kind = "retriable"
done = "{last.title()}Sent"
deadline = "1m"
"""


def application(name: str, first: str, last: str) -> dict[str, str]:
    """The files of a contract with one flow; its saga id is `<name>_id`.

    No event has a field that the kit or the monitor could know: `late` is no mark here.
    """
    saga_id = f"{name}_id"
    kind = name.title()

    def event(event_name: str, owner: str, *more: Mapping[str, Any]) -> tuple[str, str]:
        return avsc(event_name, owner, text_field(saga_id), *more, saga_id=saga_id)

    person = text_field("traveller", default="", pii=True)
    late = {"name": "late", "type": "boolean", "default": False}
    return {
        "__init__.py": "",
        "flows/flow.toml": flow_file(name, f"{kind}Asked", f"{kind}CalledOff", first, last),
        **dict(
            (
                event(f"{kind}Asked", f"{name}s", person),
                event(f"{kind}CalledOff", f"{name}s"),
                event(f"{first.title()}Booked", first, late),
                event(f"{first.title()}Refused", first),
                event(f"{first.title()}Freed", first),
                event(f"{last.title()}Sent", last),
                event(f"{kind}Noted", PLATFORM),
            )
        ),
    }


TRIP = application("trip", "hotel", "ticket")
TOUR = application("tour", "guide", "voucher")


def write(root: Path, package: str, files: Files) -> str:
    """Write a package below `root`, without generated classes; return its name."""
    for path, text in files.items():
        at = root / package.replace(".", "/") / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(text.encode("utf-8", "surrogateescape"))
    importlib.invalidate_caches()
    return package


def write_generated(root: Path, package: str, files: Files) -> str:
    """Write a package below `root`, which is importable, with its classes; return its name."""
    write(root, package, files)
    assert generate([package]) == 0
    importlib.invalidate_caches()
    return package


@contextmanager
def importable(root: Path) -> Iterator[Path]:
    """`root` as a place of packages; what was imported from there is forgotten at the end."""
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield root
    finally:
        sys.path.remove(str(root))
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{root}/"):
                del sys.modules[name]
