r"""Defines the payment provider: what a charge and its refunds become. Pure.

    captured ---refund---> captured, money given back (at once, in halves, or after a time)
     |    ^\---- time ----/ a part at first, then the rest; a refund that fails afterwards
     \---- time ---------> disputed, then won or lost: what is lost is taken back
    action_required, pending --time, customer--> captured or declined
         \--refund--> voided --(a plan that captures what is voided)--> captured
    declined

A refund by the key of a charge that was never made voids the key: a later charge under it is
declined. Requests under a known key return the record as it is now.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from saga_lab.fakes.machine import (
    AccountStep,
    ErrorAnswer,
    Timer,
    Webhook,
    key_reused,
    parse_directive,
    planned_failure,
)

WAITING = ("pending", "action_required")
"""The statuses of a charge that may still end in one way or the other."""
CAPTURE, DECLINE, REFUND = "capture", "decline", "refund"
REST, FAILURE = "rest", "failure"
DISPUTE, DISPUTE_END = "dispute", "dispute_end"
"""The kinds of timers; the subject is the id of a charge or refund."""


@dataclass(frozen=True, slots=True)
class CardPlan:
    """Decides how the provider treats one card.

    `status`: of the new charge. `final_after_s`: when it changes to `final`, each time with a
    webhook, in seconds from the charge, or from its void if `counted_from_void`.
    `captures_voided`: the change comes although the charge was voided. `failing_charges`,
    `failing_refunds`: how many calls answer 500 first. `halves`: the first refund returns half.
    `refund_after_s`: how long a refund is pending, None: not at all; `reports_refund`: its end is
    reported by a webhook. `refuses_refund`: code with which every refund of a captured charge is
    refused, None if it is made. `part_minor`: what the first capture takes, None: all; the rest
    follows `rest_after_s` later, None: never. `refund_fails_after_s`: when the first refund fails
    after it was made. `disputed_after_s`: when a captured charge is disputed, and as much later
    decided as `dispute_end` says.
    """

    status: str = "captured"
    decline_code: str | None = None
    final: str = "captured"
    final_after_s: tuple[float, ...] = ()
    counted_from_void: bool = False
    captures_voided: bool = False
    webhook_first: bool = False
    answer_after_s: float = 0.0
    answer_lost: bool = False
    failing_charges: float = 0
    failing_refunds: float = 0
    halves: bool = False
    refund_after_s: float | None = None
    reports_refund: bool = True
    refuses_refund: str | None = None
    part_minor: int | None = None
    rest_after_s: float | None = None
    refund_fails_after_s: float | None = None
    disputed_after_s: float | None = None
    dispute_end: str = "lost"


@dataclass(frozen=True, slots=True)
class ChargeRecord:
    """One charge in the provider's ledger; `created`: Unix seconds.

    `amount_minor`: what was asked for; `lost_minor`: what a dispute took back.
    """

    id: str
    idempotency_key: str
    reference: str
    amount_minor: int
    currency: str
    card_token: str
    status: str
    decline_code: str | None
    created: int
    refunded_minor: int = 0
    captured_minor: int = 0
    lost_minor: int = 0

    @property
    def saga(self) -> str:
        """Return the saga key, which is the caller's reference."""
        return self.reference

    @property
    def held_minor(self) -> int:
        """The amount that the shop has of this charge."""
        return self.captured_minor - self.refunded_minor - self.lost_minor

    def view(self) -> dict[str, Any]:
        """Return the charge as the API shows it; a captured one with what was captured."""
        captured = self.status == "captured"
        waits = self.status == "action_required"
        return {
            "id": self.id,
            "idempotency_key": self.idempotency_key,
            "reference": self.reference,
            "amount_minor": self.captured_minor if captured else self.amount_minor,
            "currency": self.currency,
            "status": self.status,
            "decline_code": self.decline_code,
            "created": self.created,
            "amount_refunded_minor": self.refunded_minor,
            "action_url": f"/v1/charges/{self.id}/complete" if waits else None,
        }


@dataclass(frozen=True, slots=True)
class DisputeRecord:
    """A dispute of a charge, as its webhooks show it."""

    id: str
    reference: str
    charge_id: str
    amount_minor: int
    currency: str

    @property
    def saga(self) -> str:
        """Return the saga key, which is the caller's reference."""
        return self.reference

    def view(self) -> dict[str, Any]:
        """Return the dispute as its webhooks show it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RefundRecord:
    """One refund, or void, in the provider's ledger; `created`: Unix seconds."""

    id: str
    idempotency_key: str
    reference: str
    charge_id: str | None
    charge_key: str
    requested_minor: int
    amount_minor: int
    status: str
    created: int

    @property
    def saga(self) -> str:
        """Return the saga key, which is the caller's reference."""
        return self.reference

    def view(self) -> dict[str, Any]:
        """Return the refund as the API shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ChargeAccount:
    """All that the provider keeps of one charge key.

    `voided`: a charge under this key will be declined. `failed_charges`, `failed_refunds`: calls
    answered with 500.
    """

    key: str
    charge: ChargeRecord | None = None
    refunds: tuple[RefundRecord, ...] = ()
    voided: bool = False
    failed_charges: int = 0
    failed_refunds: int = 0


@dataclass(frozen=True, slots=True)
class ChargeAsked:
    """The content of `POST /v1/charges`."""

    reference: str
    amount_minor: int
    currency: str
    card_token: str


@dataclass(frozen=True, slots=True)
class RefundAsked:
    """The content of `POST /v1/refunds`, the charge already looked up."""

    key: str
    reference: str
    amount_minor: int


ChargeStep = AccountStep[ChargeAccount]


# --- the input chooses the behaviour --------------------------------------------------------------

_PLAIN = {
    "tok_ok": CardPlan(),
    "tok_declined": CardPlan("declined", "insufficient_funds"),
    "tok_action": CardPlan("action_required"),
    "tok_lost": CardPlan(answer_lost=True),
    "tok_refund_partial": CardPlan(halves=True),
    "tok_refund_refused": CardPlan(refuses_refund="charge_disputed"),
    "tok_part_only": CardPlan(part_minor=1),
}
_NUMBERED: Mapping[str, Callable[[float], CardPlan]] = {
    "tok_action_auto": lambda s: CardPlan("action_required", final_after_s=(s,)),
    "tok_slow": lambda s: CardPlan(answer_after_s=s),
    "tok_500": lambda n: CardPlan(failing_charges=n),
    "tok_async": lambda s: CardPlan("pending", final_after_s=(s,)),
    "tok_async_declined": lambda s: CardPlan(
        "pending", "insufficient_funds", final="declined", final_after_s=(s,)
    ),
    "tok_async_before": lambda s: CardPlan(webhook_first=True, answer_after_s=s),
    "tok_late": lambda s: CardPlan(
        "pending", final_after_s=(s, s), counted_from_void=True, captures_voided=True
    ),
    "tok_refund_500": lambda n: CardPlan(failing_refunds=n),
    "tok_refund_async": lambda s: CardPlan(refund_after_s=s),
    "tok_refund_fails": lambda s: CardPlan(refund_fails_after_s=s),
    "tok_part": lambda s: CardPlan(part_minor=1, rest_after_s=s),
    "tok_dispute_won": lambda s: CardPlan(disputed_after_s=s, dispute_end="won"),
    "tok_dispute_lost": lambda s: CardPlan(disputed_after_s=s),
}
TOKENS = dict.fromkeys(_PLAIN, False) | dict.fromkeys(_NUMBERED, True)
"""Card token -> whether it takes a number: `shop.outside.provider` lists them."""
INVALID = CardPlan("declined", "invalid_token")


def card_plan(card_token: str) -> CardPlan:
    """Return the plan that a card token chooses; an invalid token is declined."""
    try:
        name, number = parse_directive(card_token, TOKENS)
    except ValueError:
        return INVALID
    return _NUMBERED[name](number) if name in _NUMBERED else _PLAIN[name]


# --- charges --------------------------------------------------------------------------------------


def charge(
    account: ChargeAccount, asked: ChargeAsked, plan: CardPlan, charge_id: str, now_s: int
) -> ChargeStep:
    """Charge under the account's key; a known charge is returned as it is now."""
    if known := account.charge:
        reused = key_reused(
            account.key,
            known,
            reference=asked.reference,
            amount_minor=asked.amount_minor,
            currency=asked.currency,
            card_token=asked.card_token,
        )
        return AccountStep(account, reused or known)
    if account.voided:
        plan = CardPlan("declined", "voided")
    if failure := planned_failure(account.failed_charges, plan.failing_charges):
        return AccountStep(replace(account, failed_charges=account.failed_charges + 1), failure)
    made = ChargeRecord(
        charge_id,
        account.key,
        asked.reference,
        asked.amount_minor,
        asked.currency,
        asked.card_token,
        plan.status,
        plan.decline_code if plan.status == "declined" else None,
        now_s,
    )
    later: tuple[Timer, ...] = () if plan.counted_from_void else _final_timers(made, plan)
    if made.status == "captured":
        made, later = _take(made, plan), (*later, *_timers_of_capture(made, plan))
    return AccountStep(
        replace(account, charge=made),
        made,
        later,
        (Webhook(f"charge.{made.status}", made),) if plan.webhook_first else (),
        answer_after_s=plan.answer_after_s,
        answer_lost=plan.answer_lost,
        webhook_first=plan.webhook_first,
    )


def complete(account: ChargeAccount, plan: CardPlan) -> ChargeStep:
    """Capture a charge that waits for the customer's action; repeats change nothing."""
    made = account.charge
    assert made is not None
    if made.status == "captured":
        return AccountStep(account, made)
    if made.status != "action_required":
        message = f"charge {made.id} is {made.status}, only one that waits for an action can be"
        return AccountStep(account, ErrorAnswer(409, "not_completable", message))
    captured = _captured(account, made, plan)
    return replace(captured, answer=captured.account.charge)


def timer_due(account: ChargeAccount, kind: str, subject: str, plan: CardPlan) -> ChargeStep:
    """Change the account when a timer is due; the webhooks report what changed."""
    if kind == REFUND:
        return _refund_through(account, subject, plan)
    if kind == FAILURE:
        return _refund_failed(account, subject)
    made = account.charge
    if made is not None and kind in (REST, DISPUTE, DISPUTE_END):
        return _after_capture(account, made, kind, plan)
    if made is None or (made.status not in WAITING and not plan.captures_voided):
        return AccountStep(account)  # meanwhile voided, or completed by the customer
    if kind == CAPTURE:
        return _captured(account, made, plan)
    return _finished(account, made, "declined", plan.decline_code)


def not_found(charge_id: str) -> ErrorAnswer:
    """Return the refusal of a charge id that the ledger does not have."""
    message = f"no charge has the id {charge_id!r}; without an id, name its charge_key"
    return ErrorAnswer(404, "charge_not_found", message)


def _final_timers(made: ChargeRecord, plan: CardPlan) -> tuple[Timer, ...]:
    kind = CAPTURE if plan.final == "captured" else DECLINE
    return tuple(Timer(after_s, kind, made.id) for after_s in plan.final_after_s)


def _take(made: ChargeRecord, plan: CardPlan) -> ChargeRecord:
    """Return the charge after its first capture."""
    part_minor = made.amount_minor if plan.part_minor is None else plan.part_minor
    return replace(made, captured_minor=max(made.captured_minor, part_minor))


def _timers_of_capture(made: ChargeRecord, plan: CardPlan) -> tuple[Timer, ...]:
    found = ((REST, plan.rest_after_s), (DISPUTE, plan.disputed_after_s))
    return tuple(Timer(after_s, kind, made.id) for kind, after_s in found if after_s is not None)


def _captured(account: ChargeAccount, made: ChargeRecord, plan: CardPlan) -> ChargeStep:
    first = made.status != "captured"
    finished = _finished(account, _take(made, plan), "captured", None)
    return replace(finished, timers=_timers_of_capture(made, plan) if first else ())


def _after_capture(
    account: ChargeAccount, made: ChargeRecord, kind: str, plan: CardPlan
) -> ChargeStep:
    """Capture the rest, or report a dispute; neither of a charge of which money was returned."""
    if made.status != "captured" or made.refunded_minor:
        return AccountStep(account)
    if kind == REST:
        whole = replace(made, captured_minor=made.amount_minor)
        return _finished(account, whole, "captured", None)
    dispute = DisputeRecord(
        f"dp_{made.id}", made.reference, made.id, made.captured_minor, made.currency
    )
    if kind == DISPUTE:
        end = Timer(plan.disputed_after_s or 0.0, DISPUTE_END, made.id)
        return AccountStep(account, timers=(end,), webhooks=(Webhook("dispute.opened", dispute),))
    if plan.dispute_end == "lost":
        account = replace(account, charge=replace(made, lost_minor=made.captured_minor))
    return AccountStep(account, webhooks=(Webhook(f"dispute.{plan.dispute_end}", dispute),))


def _finished(
    account: ChargeAccount, made: ChargeRecord, status: str, code: str | None
) -> ChargeStep:
    made = replace(made, status=status, decline_code=code)
    account = replace(account, charge=made)
    return AccountStep(account, webhooks=(Webhook(f"charge.{status}", made),))


# --- refunds --------------------------------------------------------------------------------------


def refund(
    account: ChargeAccount, asked: RefundAsked, plan: CardPlan, refund_id: str, now_s: int
) -> ChargeStep:
    """Void a charge that is not captured, refund a captured one up to what is left of it."""
    known = next((r for r in account.refunds if r.idempotency_key == asked.key), None)
    if known:
        reused = key_reused(
            asked.key, known, reference=asked.reference, requested_minor=asked.amount_minor
        )
        return AccountStep(account, reused or known)
    made = account.charge
    if made and made.reference != asked.reference:
        message = f"the charge belongs to another reference than {asked.reference!r}"
        return AccountStep(account, ErrorAnswer(409, "reference_mismatch", message))
    if made and made.status != "declined":
        failure = planned_failure(account.failed_refunds, plan.failing_refunds)
        if failure:
            return AccountStep(replace(account, failed_refunds=account.failed_refunds + 1), failure)
    void = RefundRecord(
        refund_id,
        asked.key,
        asked.reference,
        made.id if made else None,
        account.key,
        asked.amount_minor,
        0,
        "voided",
        now_s,
    )
    if made and made.status == "captured":
        return _give_back(account, made, void, plan)
    account = replace(account, refunds=(*account.refunds, void), voided=made is None)
    if made is None or made.status not in WAITING:
        return AccountStep(account, void)
    account = replace(account, charge=replace(made, status="voided"))
    return AccountStep(account, void, _final_timers(made, plan) if plan.counted_from_void else ())


def _give_back(
    account: ChargeAccount, made: ChargeRecord, asked: RefundRecord, plan: CardPlan
) -> ChargeStep:
    left_minor = made.held_minor
    if made.lost_minor:
        message = f"charge {made.id} is disputed, and the dispute is lost"
        return AccountStep(account, ErrorAnswer(409, "charge_disputed", message))
    if left_minor == 0:
        message = f"charge {made.id} is refunded in full; nothing is left to refund"
        return AccountStep(account, ErrorAnswer(409, "already_refunded", message))
    if plan.refuses_refund:
        message = f"charge {made.id} is disputed; {made.card_token} gets nothing back from us"
        return AccountStep(account, ErrorAnswer(409, plan.refuses_refund, message))
    amount_minor, status = min(asked.requested_minor, left_minor), "refunded"
    timers: tuple[Timer, ...] = ()
    if plan.refund_after_s is not None:
        status, timers = "pending", (Timer(plan.refund_after_s, REFUND, asked.id),)
    elif plan.halves and amount_minor > 1 and not _has_partial(account):
        amount_minor, status = amount_minor // 2, "partial"
    if plan.refund_fails_after_s is not None and not account.refunds:
        timers += (Timer(plan.refund_fails_after_s, FAILURE, asked.id),)
    given = replace(asked, amount_minor=amount_minor, status=status)
    made = replace(made, refunded_minor=made.refunded_minor + amount_minor)
    return AccountStep(
        replace(account, charge=made, refunds=(*account.refunds, given)), given, timers
    )


def _refund_failed(account: ChargeAccount, refund_id: str) -> ChargeStep:
    """Return a refund's money to the charge: the customer's bank did not take it."""
    failed = next(r for r in account.refunds if r.id == refund_id)
    made = account.charge
    assert made is not None
    after = replace(failed, status="failed")
    refunds = tuple(after if r.id == refund_id else r for r in account.refunds)
    made = replace(made, refunded_minor=made.refunded_minor - failed.amount_minor)
    account = replace(account, charge=made, refunds=refunds)
    return AccountStep(account, webhooks=(Webhook("refund.failed", after),))


def _has_partial(account: ChargeAccount) -> bool:
    return any(refund.status == "partial" for refund in account.refunds)


def _refund_through(account: ChargeAccount, refund_id: str, plan: CardPlan) -> ChargeStep:
    through = tuple(
        replace(r, status="refunded") if r.id == refund_id else r for r in account.refunds
    )
    account = replace(account, refunds=through)
    if not plan.reports_refund:
        return AccountStep(account)
    webhooks = tuple(Webhook("refund.succeeded", r) for r in through if r.id == refund_id)
    return AccountStep(account, webhooks=webhooks)
