"""Simulates the outside world: the fakes' state machines in memory, with calls that are lost.

The order's `Behaviour` decides how a charge, label or mail goes. The seed decides which calls are
lost on the way there or back.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, partial
from typing import Any

from saga_lab.fakes.machine import AccountStep, Timer
from saga_lab.simulation.outside import Later, Outside
from sagakit.decider import Callback, Effect
from sagakit.messages.envelope import Envelope
from sagakit.web.signed_webhook import ReadReport
from services.notification.decide import MailAccepted, MailKind, MailRefused
from services.payment.service import REPORTS as PROVIDER_REPORTS
from services.shipping.decide import LABEL
from services.shipping.service import REPORTS as CARRIER_REPORTS
from shop.outside.carrier_machine import LabelRecord, LabelStep, ParcelPlan
from shop.outside.memory import (
    CarrierLedger,
    ProviderLedger,
    cancel_result,
    charge_result,
    label_result,
    look_result,
    refund_result,
    reports_of,
)
from shop.outside.provider_machine import CardPlan, ChargeRecord, ChargeStep, RefundRecord
from shop.simulation.claims import Claims


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Decides how the outside treats one order.

    `delay`: delay of the provider's callbacks. `pickup`: time from label to pickup; None: never.
    `refund`: a `forgotten` refund goes through as late as a `later` one, but nobody calls back; of
    `failing` ones the first fails after it was made; a `refused` one is never made.
    `careless`: the carrier picks the parcel up although it accepted the cancellation. `parcels`:
    into how many it splits the shipment.
    """

    charge: str = "captured"
    refund: str = "refunded"
    label: str = "created"
    mail: str = "accepted"
    delay: timedelta = timedelta(seconds=5)
    pickup: timedelta | None = timedelta(seconds=30)
    careless: bool = False
    parcels: int = 1


_CARDS: Mapping[str, Callable[[float], CardPlan]] = {
    "captured": lambda _: CardPlan(),
    "told_first": lambda _: CardPlan(webhook_first=True),
    "declined": lambda _: CardPlan("declined", "insufficient_funds"),
    "action": lambda s: CardPlan("action_required", final_after_s=(s,)),
    "action_never": lambda _: CardPlan("action_required"),
    "later": lambda s: CardPlan("pending", final_after_s=(s,)),
    "later_declined": lambda s: CardPlan(
        "pending", "insufficient_funds", final="declined", final_after_s=(s,)
    ),
    "part": lambda s: CardPlan(part_minor=1, rest_after_s=s),
    "part_only": lambda _: CardPlan(part_minor=1),
    "part_later": lambda s: CardPlan("pending", final_after_s=(s,), part_minor=1, rest_after_s=s),
    "dispute_won": lambda s: CardPlan(disputed_after_s=s, dispute_end="won"),
    "dispute_lost": lambda s: CardPlan(disputed_after_s=s),
    "late": lambda s: CardPlan("pending", final_after_s=(s, 2 * s), captures_voided=True),
}
"""`Behaviour.charge` -> the provider's plan, its callbacks delayed by so many seconds."""


def card_plan(behaviour: Behaviour) -> CardPlan:
    """Return the provider's plan for a behaviour."""
    delay_s = behaviour.delay.total_seconds()
    return replace(
        _CARDS[behaviour.charge](delay_s),
        halves=behaviour.refund == "partial",
        refund_after_s=delay_s if behaviour.refund in ("later", "forgotten") else None,
        reports_refund=behaviour.refund != "forgotten",
        refund_fails_after_s=delay_s if behaviour.refund == "failing" else None,
        refuses_refund="charge_disputed" if behaviour.refund == "refused" else None,
    )


def parcel_plan(behaviour: Behaviour, pickup_after_cancel_s: float = 0.0) -> ParcelPlan:
    """Return the carrier's plan for a behaviour."""
    return ParcelPlan(
        refusal="refused by the carrier" if behaviour.label == "refused" else None,
        pickup_after_s=None if behaviour.pickup is None else behaviour.pickup.total_seconds(),
        pickup_after_cancel_s=pickup_after_cancel_s if behaviour.careless else None,
        parcels=behaviour.parcels,
    )


class ShopOutside(Outside):
    """Plays the payment provider, the carrier and the mail server.

    behaviours: saga key -> how it treats the order; `mails`: Message-ID (the idempotency key) ->
    saga key and kind, so a mail sent again is stored once; `stock`: units of each SKU put in.
    """

    def __init__(self, rng: random.Random, later: Later, trouble: float) -> None:
        super().__init__(rng, later, trouble)
        self.behaviours: dict[str, Behaviour] = {}
        self.mails: dict[str, tuple[str, MailKind]] = {}
        self.stock = 0
        self._provider, self._carrier = ProviderLedger(), CarrierLedger()
        self._claims = Claims(
            lambda: self.charges.values(),
            lambda: self.refunds,
            lambda: self.labels.values(),
            lambda saga: (
                self.behaviours[saga].charge == "late"
                or self.behaviours[saga].refund in ("failing", "refused")
            ),
        )

    @property
    def charges(self) -> dict[str, ChargeRecord]:
        """Return the provider's charges by charge key."""
        return self._provider.charges

    @property
    def refunds(self) -> list[RefundRecord]:
        """Return the refunds that have given money back."""
        return self._provider.refunds

    @property
    def labels(self) -> dict[str, LabelRecord]:
        """Return the carrier's labels by label key."""
        return self._carrier.labels

    def carry_out(self, effect: Effect) -> Any:
        """Carry out an effect whose call arrived, and return its result."""
        return {
            "charge": self._charge,
            "look": self._look,
            "refund": self._refund,
            "label": self._label,
            "cancel": self._cancel,
            "mail": self._mail,
        }[effect.kind](effect)

    def false_claims(self, envelope: Envelope) -> Iterable[str]:
        """Return what a new event claims that the ledgers do not say."""
        return self._claims.false_in(envelope)

    def _behaviour(self, effect: Effect) -> Behaviour:
        return self.behaviours[effect.saga]

    # --- provider -----------------------------------------------------------------------------

    def _charge(self, effect: Effect) -> Any:
        plan = card_plan(self._behaviour(effect))
        return charge_result(self._paid(effect, plan, self._provider.charge(effect, plan)))

    def _look(self, effect: Effect) -> Any:
        return look_result(effect, self._provider.look(effect))

    def _refund(self, effect: Effect) -> Any:
        plan = card_plan(self._behaviour(effect))
        return refund_result(effect, self._paid(effect, plan, self._provider.refund(effect, plan)))

    def _paid(self, effect: Effect, plan: CardPlan, step: ChargeStep) -> ChargeStep:
        """Call back with a step's webhooks now, and with those of its timers when they are due."""
        for report in reports_of(step, PROVIDER_REPORTS):
            self.later(timedelta(), "payment", effect.saga, Callback(partial(_same, report)))
        for timer in step.timers:
            due = partial(self._provider.timer_due, plan=plan)
            self._when_due(timer, "payment", effect.saga, due, PROVIDER_REPORTS)
        return step

    # --- carrier ------------------------------------------------------------------------------

    def _label(self, effect: Effect) -> Any:
        plan = parcel_plan(self._behaviour(effect))
        return label_result(effect, self._sent(effect, plan, self._carrier.label(effect, plan)))

    def _cancel(self, effect: Effect) -> Any:
        behaviour = self._behaviour(effect)
        plan = parcel_plan(behaviour)
        known = self._carrier.account(effect.key_of(LABEL)).label
        if behaviour.careless and known and known.status == "created":
            plan = parcel_plan(behaviour, self.rng.choice((0, 1, 60)))
        return cancel_result(self._sent(effect, plan, self._carrier.cancel(effect, plan)))

    def _sent(self, effect: Effect, plan: ParcelPlan, step: LabelStep) -> LabelStep:
        for timer in step.timers:
            due = partial(self._carrier.timer_due, plan=plan)
            self._when_due(timer, "shipping", effect.saga, due, CARRIER_REPORTS)
        return step

    def _when_due(
        self,
        timer: Timer,
        participant: str,
        saga: str,
        due: Callable[[Timer], AccountStep[Any]],
        reports: Mapping[str, ReadReport],
    ) -> None:
        """Run a timer, and those that it starts, at its first delivery; repeats report the same."""

        @cache
        def report() -> Any:
            step = due(timer)
            for further in step.timers:
                self._when_due(further, participant, saga, due, reports)
            return next(iter(reports_of(step, reports)), None)

        self.later(timedelta(seconds=timer.after_s), participant, saga, Callback(report))

    # --- mail server --------------------------------------------------------------------------

    def _mail(self, effect: Effect) -> Any:
        p: Any = effect.payload
        kind = MailKind(p["kind"])
        if self._behaviour(effect).mail == "refused":
            return MailRefused(kind, p["to"], "no such mailbox")
        self.mails[effect.idempotency_key] = (effect.saga, kind)
        return MailAccepted(kind, p["to"])


def _same(report: Any) -> Any:
    return report
