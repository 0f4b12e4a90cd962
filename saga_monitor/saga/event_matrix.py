"""What becomes of an event in every situation an order can be in, declared. Pure.

An event may come early, late, twice, or to an order that is somewhere else by now. Each has a role
in its flow version; role and situation say what it does, and a test holds `reading` to it, cell by
cell. Whoever speaks where it should never have spoken opens a case, `unexpected_event`. Shown as a
page by `late_page`.
"""

from enum import StrEnum

from saga_monitor.saga.flow_plan import Role


class Situation(StrEnum):
    """Where an order is when the event comes."""

    UNPLACED = "unplaced"
    PLACED = "placed"
    READY = "ready"
    UNDOING = "undoing"
    CANCELLED = "cancelled"
    PAST = "past the pivot"
    COMPLETED = "completed"


class Outcome(StrEnum):
    """What the event does to it; whatever it does, it stands on the timeline."""

    STARTS = "starts"
    MOVES = "moves"
    TURNS = "turns back"
    AGAIN = "undone again"
    PAUSES = "pauses"
    NOTHING = "-"
    CONTRADICTS = "case: undone"
    UNEXPECTED = "case: unexpected"


S, M, T, A = Outcome.STARTS, Outcome.MOVES, Outcome.TURNS, Outcome.AGAIN
P, N, C, U = Outcome.PAUSES, Outcome.NOTHING, Outcome.CONTRADICTS, Outcome.UNEXPECTED
DECLARED: dict[Role, tuple[Outcome, ...]] = {
    # in the order of Situation: unplaced, placed, ready, undoing, cancelled, past, completed
    Role.START: (S, N, N, N, N, N, N),
    Role.DONE: (N, M, N, N, A, N, N),
    Role.ENDED: (N, T, T, M, N, C, C),
    Role.DECLINED: (N, T, T, N, N, C, C),  # what was captured still has to come back
    Role.WAIT: (N, M, M, N, A, M, M),
    Role.PIVOT_DONE: (N, M, M, M, C, N, N),
    Role.PIVOT_ENDED: (N, T, T, N, N, C, C),
    Role.PIVOT_WAIT: (N, M, M, M, A, M, M),
    Role.LAST_DONE: (N, M, M, N, U, M, N),
    Role.LAST_WAIT: (N, M, M, N, U, M, M),
    Role.UNDO: (N, T, T, N, N, N, N),
    Role.VERDICT: (N, N, N, N, N, N, N),
    Role.PAUSE: (N, P, P, N, N, P, N),
    Role.SIGN: (N, N, N, N, N, N, N),
    Role.WORD: (N, N, N, N, N, N, N),
    Role.FOREIGN: (U, U, U, U, U, U, U),
}
_SITUATIONS = tuple(Situation)


def declared(role: Role, situation: Situation) -> Outcome:
    """What is declared for an event of this role."""
    return DECLARED[role][_SITUATIONS.index(situation)]


UNEXPECTED = {
    where: frozenset(role for role in Role if declared(role, where) == U) for where in Situation
}
"""Situation -> who should never speak there."""
