"""Declare the effect of each event in every situation of a saga. Pure.

An event may come early, late or twice. Each event has a role in its flow version. Role and
situation determine the effect, and a test compares `interpreter` with every cell. An event that
must not occur in a situation opens an intervention, `unexpected_event`.
`event_matrix_page` writes the table as a page.
"""

from enum import StrEnum

from saga_monitor.saga.flow_plan import Role


class Situation(StrEnum):
    """The situation of a saga when an event comes."""

    UNPLACED = "unplaced"
    PLACED = "placed"
    READY = "ready"
    UNDOING = "undoing"
    CANCELLED = "cancelled"
    PAST = "past the pivot"
    COMPLETED = "completed"


class EventEffect(StrEnum):
    """The effect of an event on a saga. Every event is added to the timeline."""

    STARTS = "starts"
    MOVES = "moves"
    TURNS_BACK = "turns back"
    UNDOES_AGAIN = "undone again"
    PAUSES = "pauses"
    NOTHING = "-"
    CONTRADICTS = "intervention: undone"
    UNEXPECTED = "intervention: unexpected"


S, M, T, A = EventEffect.STARTS, EventEffect.MOVES, EventEffect.TURNS_BACK, EventEffect.UNDOES_AGAIN
P, N, C, U = (
    EventEffect.PAUSES,
    EventEffect.NOTHING,
    EventEffect.CONTRADICTS,
    EventEffect.UNEXPECTED,
)
DECLARED_EFFECTS: dict[Role, tuple[EventEffect, ...]] = {
    # in the order of Situation: unplaced, placed, ready, undoing, cancelled, past pivot, completed
    Role.START: (S, N, N, N, N, N, N),
    Role.DONE: (N, M, N, N, A, N, N),
    Role.ENDED: (N, T, T, M, N, C, C),
    Role.DECLINED: (N, T, T, N, N, C, C),  # its balance must still come to zero
    Role.WAIT: (N, M, M, N, A, M, M),
    Role.PIVOT_DONE: (N, M, M, M, C, N, N),
    Role.PIVOT_ENDED: (N, T, T, N, N, C, C),
    Role.PIVOT_WAIT: (N, M, M, M, A, M, M),
    Role.LAST_DONE: (N, M, M, N, U, M, N),
    Role.LAST_WAIT: (N, M, M, N, U, M, M),
    Role.UNDO: (N, T, T, N, N, N, N),
    Role.VERDICT: (N, N, N, N, N, N, N),
    Role.PAUSE: (N, P, P, N, N, P, N),
    Role.ADDED: (N, N, N, N, A, N, N),  # what it holds must come to zero once more
    Role.PROGRESS: (N, N, N, N, N, N, N),
    Role.OTHER: (N, N, N, N, N, N, N),
    Role.FOREIGN: (U, U, U, U, U, U, U),
}
_SITUATIONS = tuple(Situation)


def declared_effect(role: Role, situation: Situation) -> EventEffect:
    """Return the declared effect of an event with this role in this situation."""
    return DECLARED_EFFECTS[role][_SITUATIONS.index(situation)]


UNEXPECTED_ROLES = {
    situation: frozenset(role for role in Role if declared_effect(role, situation) == U)
    for situation in Situation
}
"""Situation -> roles that must not occur in it."""
