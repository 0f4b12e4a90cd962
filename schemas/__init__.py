"""Defines the contract: events, flows and the rules that every participant shares.

`EVENT_TYPES`: event type -> Python class; `OWNERS`: event type -> owner; `FLOWS`: the flows of
`flows/*.toml`; `CONTRACT`: the input of the codec, which still reads every released set
(`released/<n>/`).
"""

import json
from pathlib import Path
from typing import Any

from sagakit.contract.model import Contract
from sagakit.flow.loader import load
from sagakit.flow.model import Flows
from schemas.events import EVENTS

HERE = Path(__file__).parent
EVENT_TYPES = {event.type: event for event in EVENTS}
OWNERS = {event.type: event.owner for event in EVENTS}
FLOWS = Flows(*(load(path.read_text(), OWNERS) for path in sorted((HERE / "flows").glob("*.toml"))))


def read_set(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the record schemas of a folder by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.avsc"))}


RELEASED = [
    read_set(folder) for folder in sorted((HERE / "released").glob("*"), key=lambda f: int(f.name))
]
CONTRACT = Contract(EVENT_TYPES, read_set(HERE), RELEASED)
