"""Faults of the payment provider, the carrier and the mail server, and of their webhooks."""

from saga_lab.chaos import fakes
from saga_lab.chaos.fault import OUTAGE, Fault, FaultKind

CALLERS = ("provider", "carrier")
RECEIVER = {"provider": ("payment", "charge.captured"), "carrier": ("shipping", "label.picked_up")}
LEDGER = {"provider": "/v1/charges", "carrier": "/v1/labels"}
ID_FIELD = "reference"


def _replayed(target: str) -> Fault:
    return fakes.ReplayedCallbacks(target, LEDGER[target], ID_FIELD)


def _forged(target: str) -> Fault:
    return fakes.ForgedCallbacks(target, LEDGER[target], *RECEIVER[target])


CHAOS: tuple[FaultKind, ...] = (
    FaultKind(
        "provider out",
        "The provider answers 503 and does nothing.",
        fakes.Outage,
        ("provider",),
        OUTAGE,
    ),
    FaultKind(
        "carrier out",
        "The carrier answers 503 and does nothing.",
        fakes.Outage,
        ("carrier",),
        OUTAGE,
    ),
    FaultKind(
        "mail server out",
        "The mail server answers 451 and does nothing.",
        fakes.Outage,
        ("mail",),
        OUTAGE,
    ),
    FaultKind(
        "slow answers",
        "The fake executes each request at once and answers late.",
        fakes.SlowAnswers,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "garbage answers",
        "The fake executes each request and answers with garbage.",
        fakes.GarbageAnswers,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "hostile answers",
        "The fake executes each request and answers with what it was sent, and control characters.",
        fakes.HostileAnswers,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "huge answers",
        "The fake executes each request and answers with 64 MiB, some of them compressed.",
        fakes.HugeAnswers,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "failures stored",
        "The fake executes each request, answers 500, and repeats that under its key for ever.",
        fakes.StoredFailures,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "calls banned",
        "The fake answers 429 with Retry-After and does nothing.",
        fakes.Ban,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "callbacks twice",
        "Each callback is sent again under the same id.",
        fakes.DuplicateCallbacks,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "callbacks reversed",
        "Callbacks are kept back and then sent in reverse order.",
        fakes.ReversedCallbacks,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "callbacks late",
        "Callbacks are kept back and then sent all at once.",
        fakes.DelayedCallbacks,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "callbacks repeated",
        "Callbacks of orders that ended long ago are sent again.",
        _replayed,
        CALLERS,
    ),
    FaultKind(
        "callbacks forged",
        "Somebody sends callbacks that are unsigned, wrongly signed or stale.",
        _forged,
        CALLERS,
    ),
)
