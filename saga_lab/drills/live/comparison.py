"""Defines the result of a live drill of one database."""

from dataclasses import dataclass

from saga_lab.invariants.rebuild import RebuildComparison


@dataclass(frozen=True, slots=True)
class LiveComparison:
    """Compares a live database with what was rebuilt beside it.

    rebuilt_s: until everything was rebuilt; settled_s: from then until both stood at the same
    offsets; not_recovered: what nothing brings back.
    """

    rows: RebuildComparison
    sagas: int
    rebuilt_s: float
    settled_s: float
    not_recovered: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """Return the name of the participant, or that of the monitor."""
        return self.rows.name
