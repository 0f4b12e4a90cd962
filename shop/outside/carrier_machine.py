"""Defines the parcel carrier: what a label and its cancellation become. Pure.

    created --time--> picked_up
       \\--cancellation--> cancelled --(a careless plan)--> picked_up
    refused

A cancellation by the key of a label that was never made cancels the key: a later label under it is
refused. Requests under a known key return the record as it is now.
"""

import re
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from saga_lab.fakes.machine import (
    AccountStep,
    ErrorAnswer,
    Timer,
    Webhook,
    key_reused,
    parse_directive,
    planned_failure,
)

PICKUP = "pickup"
"""The kind of timers; the subject is a label's id."""


@dataclass(frozen=True, slots=True)
class ParcelPlan:
    """Decides how the carrier treats one parcel.

    `refusal`: code of why it makes no label, None if it does; `refusal_text`: in its own words.
    `pickup_after_s`: seconds from label to pickup; None: the parcel waits. `pickup_after_cancel_s`:
    a careless carrier picks up a cancelled parcel as well, also this long after the cancellation;
    None: it does not. `failing_labels`, `failing_cancels`: how many calls answer 500 first.
    `parcels`: into how many it splits what was sent, each picked up by itself; 1: as asked for.
    """

    refusal: str | None = None
    refusal_text: str | None = None
    pickup_after_s: float | None = None
    pickup_after_cancel_s: float | None = None
    answer_after_s: float = 0.0
    answer_lost: bool = False
    failing_labels: float = 0
    failing_cancels: float = 0
    parcels: int = 1


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """One label in the carrier's ledger; `lines`: JSON; `created`: Unix seconds.

    `gone`: how many of its parcels are picked up.
    """

    id: str
    idempotency_key: str
    reference: str
    ship_to: str
    email: str
    parcels: int
    lines: str
    tracking: str | None
    status: str
    code: str | None
    reason: str | None
    created: int
    gone: int = 0

    @property
    def saga(self) -> str:
        """Return the saga key, which is the caller's reference."""
        return self.reference

    def view(self) -> dict[str, Any]:
        """Return the label as the API shows it."""
        return asdict(self) | {"lines": orjson.loads(self.lines)}


@dataclass(frozen=True, slots=True)
class CancellationRecord:
    """One cancellation in the carrier's ledger; `created`: Unix seconds."""

    id: str
    idempotency_key: str
    reference: str
    label_id: str | None
    label_key: str
    status: str
    created: int

    @property
    def saga(self) -> str:
        """Return the saga key, which is the caller's reference."""
        return self.reference

    def view(self) -> dict[str, Any]:
        """Return the cancellation as the API shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LabelAccount:
    """All that the carrier keeps of one label key.

    `cancelled`: a label under this key will be refused. `failed_labels`, `failed_cancels`: calls
    answered with 500.
    """

    key: str
    label: LabelRecord | None = None
    cancellations: tuple[CancellationRecord, ...] = ()
    cancelled: bool = False
    failed_labels: int = 0
    failed_cancels: int = 0


@dataclass(frozen=True, slots=True)
class LabelAsked:
    """The content of `POST /v1/labels`; `lines`: JSON."""

    reference: str
    ship_to: str
    email: str
    parcels: int
    lines: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """The content of `POST /v1/cancellations`, the label already looked up."""

    key: str
    reference: str


LabelStep = AccountStep[LabelAccount]


# --- the input chooses the behaviour --------------------------------------------------------------

TAGS = {
    "refuse": False,
    "pickup": True,
    "no-pickup": False,
    "500": True,
    "lost": False,
    "slow": True,
    "cancel-500": True,
    "parcels": True,
}
"""Address tag -> whether it takes a number: `shop.outside.carrier` lists them."""


def parse_tags(ship_to: str) -> dict[str, float]:
    """Return the tags at the end of an address with their numbers.

    Raises ValueError for an unknown tag or a wrong number.
    """
    end = re.search(r"(?:\[[^\[\]]*\]\s*)*$", ship_to)
    tags = re.findall(r"\[([^\[\]]*)\]", end.group() if end else "")
    return dict(parse_directive(tag, TAGS) for tag in tags)


def parcel_plan(ship_to: str, pickup_after_s: float | None) -> ParcelPlan:
    """Return the plan that an address chooses; `pickup_after_s` is that of one without a tag."""
    try:
        tags = parse_tags(ship_to)
    except ValueError as error:
        return ParcelPlan("bad_address", f"address tag {error}")
    refused = "refuse" in tags
    return ParcelPlan(
        refusal="no_delivery" if refused else None,
        refusal_text=f"we do not deliver to {ship_to}" if refused else None,
        pickup_after_s=None if "no-pickup" in tags else tags.get("pickup", pickup_after_s),
        answer_after_s=tags.get("slow", 0.0),
        answer_lost="lost" in tags,
        failing_labels=tags.get("500", 0),
        failing_cancels=tags.get("cancel-500", 0),
        parcels=max(1, int(tags.get("parcels", 1))),
    )


# --- labels ---------------------------------------------------------------------------------------


def label(
    account: LabelAccount,
    asked: LabelAsked,
    plan: ParcelPlan,
    label_id: str,
    tracking: str,
    now_s: int,
) -> LabelStep:
    """Make a label under the account's key; a known label is returned as it is now."""
    if known := account.label:
        reused = key_reused(
            account.key,
            known,
            reference=asked.reference,
            ship_to=asked.ship_to,
            email=asked.email,
            parcels=known.parcels if plan.parcels > 1 else asked.parcels,
            lines=asked.lines,
        )
        return AccountStep(account, reused or known)
    if account.cancelled:
        plan = ParcelPlan("cancelled", "cancelled before it was made")
    if failure := planned_failure(account.failed_labels, plan.failing_labels):
        return AccountStep(replace(account, failed_labels=account.failed_labels + 1), failure)
    refused = plan.refusal is not None
    made = LabelRecord(
        label_id,
        account.key,
        asked.reference,
        asked.ship_to,
        asked.email,
        max(plan.parcels, asked.parcels),
        asked.lines,
        None if refused else tracking,
        "refused" if refused else "created",
        plan.refusal,
        plan.refusal_text,
        now_s,
    )
    waits = refused or plan.pickup_after_s is None
    return AccountStep(
        replace(account, label=made),
        made,
        () if waits else (Timer(plan.pickup_after_s or 0.0, PICKUP, label_id),),
        answer_after_s=plan.answer_after_s,
        answer_lost=plan.answer_lost,
    )


def pick_up(account: LabelAccount, plan: ParcelPlan) -> LabelStep:
    """Pick a parcel up if its label is valid. A careless carrier ignores a cancellation, and
    reports a parcel each time it comes for it. Of several parcels one is picked up at a time."""
    made = account.label
    careless = plan.pickup_after_cancel_s is not None
    takes = ("created", "cancelled", "picked_up") if careless else ("created",)
    if made is None or made.status not in takes:
        return AccountStep(account)
    gone = min(made.gone + 1, made.parcels)
    last = gone == made.parcels
    made = replace(made, status="picked_up" if last else made.status, gone=gone)
    tracking = made.tracking if made.parcels == 1 else f"{made.tracking}-{gone}"
    again = () if last or plan.pickup_after_s is None else (_next_pickup(made, plan),)
    return AccountStep(
        replace(account, label=made),
        timers=again,
        webhooks=(Webhook("label.picked_up", replace(made, tracking=tracking)),),
    )


def _next_pickup(made: LabelRecord, plan: ParcelPlan) -> Timer:
    return Timer(plan.pickup_after_s or 0.0, PICKUP, made.id)


# --- cancellations --------------------------------------------------------------------------------


def cancel(
    account: LabelAccount, asked: CancelAsked, plan: ParcelPlan, cancellation_id: str, now_s: int
) -> LabelStep:
    """Cancel a label that is not picked up yet: the answer is `cancelled` or `too_late`."""
    known = next((c for c in account.cancellations if c.idempotency_key == asked.key), None)
    if known:
        return AccountStep(
            account, key_reused(asked.key, known, reference=asked.reference) or known
        )
    made = account.label
    if made and made.reference != asked.reference:
        message = f"the label belongs to another reference than {asked.reference!r}"
        return AccountStep(account, ErrorAnswer(409, "reference_mismatch", message))
    if made and made.status != "refused":
        failure = planned_failure(account.failed_cancels, plan.failing_cancels)
        if failure:
            return AccountStep(replace(account, failed_cancels=account.failed_cancels + 1), failure)
    late = made is not None and (made.status == "picked_up" or made.gone > 0)
    record = CancellationRecord(
        cancellation_id,
        asked.key,
        asked.reference,
        made.id if made else None,
        account.key,
        "too_late" if late else "cancelled",
        now_s,
    )
    cancellations = (*account.cancellations, record)
    account = replace(account, cancellations=cancellations, cancelled=made is None)
    if made is None or made.status != "created" or late:
        return AccountStep(account, record)
    account = replace(account, label=replace(made, status="cancelled"))
    again_s = plan.pickup_after_cancel_s
    return AccountStep(
        account, record, () if again_s is None else (Timer(again_s, PICKUP, made.id),)
    )


def not_found(label_id: str) -> ErrorAnswer:
    """Return the refusal of a label id that the ledger does not have."""
    message = f"no label has the id {label_id!r}; without one, name its label_key"
    return ErrorAnswer(404, "label_not_found", message)
