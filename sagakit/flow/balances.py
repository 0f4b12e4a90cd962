"""Parses the flow file's section `units`: events that reserve, release or ship units.

    [units]
    of = "sku"                                     # field that names the kind of unit
    count = "quantity"
    reserved = { InventoryReserved = "order.lines" }   # event -> where its lines are
    released = { InventoryReleased = "lines" }
    shipped = { InventoryShipped = "lines" }

Pure: text in, `Units` out.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sagakit.errors import FlowError
from sagakit.flow.toml_values import reject_unknown_keys, table, text

MOVES = ("reserved", "released", "shipped")


@dataclass(frozen=True, slots=True)
class Units:
    """Declares which events move units and where each event holds its lines.

    reserved, released, shipped: event type -> dotted path of its lines; paths: all three merged;
    moves: event type -> `reserved`, `released` or `shipped`; of, count: fields of a line.
    """

    of: str = ""
    count: str = ""
    reserved: Mapping[str, str] = field(default_factory=dict)
    released: Mapping[str, str] = field(default_factory=dict)
    shipped: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(init=False)
    moves: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        paths = {**self.reserved, **self.released, **self.shipped}
        object.__setattr__(self, "paths", paths)
        moves = {event: move for move in MOVES for event in getattr(self, move)}
        object.__setattr__(self, "moves", moves)

    def units_moved(self, event: Any) -> dict[str, int] | None:
        """Return the units that an event moves, by kind; None if its type moves no units."""
        kind, found = event.type, event
        path = self.paths.get(kind)
        if path is None:
            return None
        for name in path.split("."):
            found = getattr(found, name)
        units = Counter[str]()
        for line in found:
            units[str(getattr(line, self.of))] += int(getattr(line, self.count))
        return dict(units)


NO_UNITS = Units()
"""The units of a flow without a section `units`."""


def read_units(raw: Mapping[str, Any]) -> Units:
    """Parse the table `units`. Raises ValueError, and KeyError for a missing key."""
    if not raw:
        return NO_UNITS
    reject_unknown_keys("units", raw, {"of", "count", *MOVES})
    moves: dict[str, dict[str, str]] = {}
    for move in MOVES:
        where = f"units.{move}"
        named = table(where, raw[move])
        moves[move] = {event: text(f"{where}: {event}", path) for event, path in named.items()}
    return Units(text("units.of", raw["of"]), text("units.count", raw["count"]), **moves)


def check_units(
    flow: str, units: Units, owners: Mapping[str, str], steps: Mapping[str, Any]
) -> None:
    """Validate the units of a flow.

    Raises FlowError for an event that moves units in two ways or whose owner is not a step.
    """
    if sum(len(getattr(units, move)) for move in MOVES) > len(units.paths):
        raise FlowError(f"flow {flow}, units: an event is listed under two keys; list it once")
    for event in units.paths:
        if owners[event] not in steps:
            raise FlowError(
                f"flow {flow}, units: {event} is owned by {owners[event]}, which is not a "
                "step of this flow and so reserves nothing; remove the event, or add the step"
            )
