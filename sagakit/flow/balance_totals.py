"""Sums the movements of a balance, and compares the sums with a rule of the flow file. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from sagakit.flow.balances import ONE_MOVEMENT, POSITIVE, ZERO, Movement

_SHOWN_KINDS = 5
_DEMANDS = {
    ONE_MOVEMENT: "the amount of exactly one movement",
    POSITIVE: "more than zero",
    ZERO: "nothing",
}


@dataclass(frozen=True, slots=True)
class KindTotal:
    """Sums what was added to a balance, and removed from it, of one kind."""

    kind: str
    added: int
    removed: int

    @property
    def held(self) -> int:
        """Return what was added and not removed."""
        return self.added - self.removed


@dataclass(frozen=True, slots=True)
class BalanceTotals:
    """Sums a balance by kind. movements: kind -> the amounts added, one for each movement."""

    kinds: tuple[KindTotal, ...] = ()
    movements: Mapping[str, Collection[int]] = field(default_factory=dict)

    @property
    def is_zero(self) -> bool:
        """Return True if nothing is held of any kind, and nothing is owed."""
        return not any(total.held for total in self.kinds)

    def problem(self, rule: str, status: str) -> str | None:
        """Describe what contradicts the rule for a saga with this status; None if nothing does.

        In any status, no more may be removed than was added.
        """
        held = [total for total in self.kinds if total.held]
        if held and min(total.held for total in held) < 0:
            return f"{self}: more was removed than added"
        if self._fits(rule, held):
            return None
        return f"{self}: a {status} saga must hold {_DEMANDS[rule]}"

    def _fits(self, rule: str, held: list[KindTotal]) -> bool:
        if rule == ONE_MOVEMENT:
            return self._is_one_movement(held)
        return bool(held) if rule == POSITIVE else rule != ZERO or not held

    def _is_one_movement(self, held: list[KindTotal]) -> bool:
        if held:
            return len(held) == 1 and held[0].held in self.movements.get(held[0].kind, ())
        return any(0 in amounts for amounts in self.movements.values())

    def __str__(self) -> str:
        """Format the sums as `added 2 A, removed nothing, held 2 A`."""
        named = ("added", "removed", "held")
        return ", ".join(
            f"{name} {_amounts_text({t.kind: getattr(t, name) for t in self.kinds})}"
            for name in named
        )


NOTHING = BalanceTotals()


def sum_up(movements: Iterable[Movement]) -> BalanceTotals:
    """Sum movements by kind.

    A movement told several times counts once, with its largest amount. One that names no kind is of
    the only kind that was added, if there is only one.
    """
    known = list(movements)
    if not known:
        return NOTHING
    added = {m.kind for m in known if m.adds and m.kind}
    only = added.pop() if len(added) == 1 else ""
    amounts: dict[tuple[bool, str, str], int] = {}
    for one in known:
        key = (one.adds, one.kind or only, one.id)
        if one.adds or one.amount:
            amounts[key] = max(amounts.get(key, one.amount), one.amount)
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    single: dict[str, list[int]] = defaultdict(list)
    for (adds, kind, _), amount in amounts.items():
        sums[kind][0 if adds else 1] += amount
        if adds:
            single[kind].append(amount)
    return BalanceTotals(tuple(KindTotal(kind, *sums[kind]) for kind in sorted(sums)), dict(single))


def _amounts_text(amounts: Mapping[str, int]) -> str:
    """Format the first five kinds only, so that a reason stays readable."""
    named = [f"{n} {kind}".rstrip() for kind, n in amounts.items() if n]
    more = f" and {len(named) - _SHOWN_KINDS} kinds more" if len(named) > _SHOWN_KINDS else ""
    return " + ".join(named[:_SHOWN_KINDS]) + more if named else "nothing"
