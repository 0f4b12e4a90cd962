"""Simulates the outside world in memory: ledgers that honour idempotency keys, and lost answers.

The order's `Behaviour` decides how a charge, label or mail goes. The seed decides which calls are
lost on the way there or back.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sagakit.decider import Callback, Effect
from sagakit.errors import EffectFailed, ResultPending
from services.notification.decide import MailAccepted, MailKind, MailRefused
from services.payment.ledger import (
    ActionRequired,
    Captured,
    Declined,
    NothingLeft,
    Pending,
    Refunded,
    Voided,
)
from services.shipping.decide import Cancelled, Labelled, PickedUp, Refused, TooLate

Later = Callable[[timedelta, str, str, Callback], None]
"""Schedules the delivery of a callback: (delay, participant, order id, callback)."""


@dataclass(slots=True)
class SimulatedCharge:
    """Records one charge in the provider's ledger."""

    id: str
    order_id: str
    amount_minor: int
    currency: str
    status: str
    refunded_minor: int = 0


@dataclass(slots=True)
class SimulatedLabel:
    """Records one label in the carrier's ledger."""

    id: str
    order_id: str
    status: str


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Decides how the outside treats one order.

    `delay`: delay of the provider's callbacks. `pickup`: time from label to pickup; None: never.
    `refund`: a `forgotten` refund goes through as late as a `later` one, but nobody calls back.
    `careless`: the carrier picks the parcel up although it accepted the cancellation.
    """

    charge: str = "captured"
    refund: str = "refunded"
    label: str = "created"
    mail: str = "accepted"
    delay: timedelta = timedelta(seconds=5)
    pickup: timedelta | None = timedelta(seconds=30)
    careless: bool = False


@dataclass
class Outside:
    """Plays the payment provider, the carrier and the mail server.

    `trouble`: chance that a call is lost on its way there, and again that its answer is lost.
    """

    rng: random.Random
    behaviours: dict[str, Behaviour]
    later: Later
    trouble: float = 0.0
    charges: dict[str, SimulatedCharge] = field(default_factory=dict)
    refunds: dict[str, tuple[str, int]] = field(default_factory=dict)
    labels: dict[str, SimulatedLabel] = field(default_factory=dict)
    mails: dict[str, tuple[str, MailKind]] = field(default_factory=dict)
    """Message-ID (the effect's key) -> order id and kind: a mail sent again is stored once."""
    _answers: dict[str, Any] = field(default_factory=dict)
    _pending: set[str] = field(default_factory=set)
    """Idempotency keys of refunds that are not final yet."""
    _voided: set[str] = field(default_factory=set)

    def perform(self, effect: Effect) -> Any:
        """Carry out an effect and return its result. Raises EffectFailed if the answer is lost."""
        if self.rng.random() < self.trouble:
            raise EffectFailed("the call did not arrive")
        answer = {
            "charge": self._charge,
            "look": self._look,
            "refund": self._refund,
            "label": self._label,
            "cancel": self._cancel,
            "mail": self._mail,
        }[effect.kind](effect)
        if self.rng.random() < self.trouble:
            raise EffectFailed("the answer was lost")
        return answer

    def _behaviour(self, effect: Effect) -> Behaviour:
        return self.behaviours[str(effect.payload["order_id"])]

    # --- provider -----------------------------------------------------------------------------

    def _charge(self, effect: Effect) -> Any:
        if effect.key not in self.charges:
            p: Any = effect.payload
            made = SimulatedCharge(
                f"ch_{len(self.charges) + 1}", p["order_id"], p["amount_minor"], p["currency"], ""
            )
            self.charges[effect.key] = made
            self._begin(made, "declined" if effect.key in self._voided else "", effect)
        return self._charge_now(self.charges[effect.key])

    def _begin(self, made: SimulatedCharge, forced: str, effect: Effect) -> None:
        behaviour = self._behaviour(effect)
        kind = forced or behaviour.charge
        made.status = {
            "captured": "captured",
            "told_first": "captured",
            "declined": "declined",
            "action": "action",
            "action_never": "action",
        }.get(kind, "pending")
        ends = {"action": "captured", "later": "captured", "late": "captured"}
        if kind == "told_first":
            self._report(made, timedelta())
        elif kind in ends or kind == "later_declined":
            made.status = "action" if kind == "action" else "pending"
            end = ends.get(kind, "declined")
            self._settle_later(made, end, behaviour.delay, stubborn=kind == "late")

    def _settle_later(
        self, made: SimulatedCharge, end: str, delay: timedelta, *, stubborn: bool = False
    ) -> None:
        def settle() -> Any:
            if made.status in ("action", "pending") or stubborn:
                made.status = end
            return self._charge_now(made) if made.status == end else None

        self.later(delay, "payment", made.order_id, Callback(settle))
        if stubborn:
            self.later(delay * 2, "payment", made.order_id, Callback(settle))

    def _report(self, made: SimulatedCharge, delay: timedelta) -> None:
        self.later(delay, "payment", made.order_id, Callback(lambda: self._charge_now(made)))

    def _charge_now(self, made: SimulatedCharge) -> Any:
        match made.status:
            case "captured":
                return Captured(made.id, made.amount_minor, made.currency)
            case "action":
                return ActionRequired(made.id, "/confirm")
            case "pending":
                return Pending(made.id)
        return Declined(made.id, made.status, f"the provider says {made.status}")

    def _look(self, effect: Effect) -> Any:
        return self._charge_now(
            next(c for c in self.charges.values() if c.id == effect.payload["charge_id"])
        )

    def _refund(self, effect: Effect) -> Any:
        if effect.key not in self._answers:
            self._answers[effect.key] = self._give_back(effect)
        if effect.key in self._pending:
            raise ResultPending(f"{effect.key} is pending")
        return self._answers[effect.key]

    def _give_back(self, effect: Effect) -> Any:
        p: Any = effect.payload
        refund_id = f"re_{len(self._answers) + 1}"
        made = self.charges.get(p["charge_key"])
        if made is None or made.status != "captured":
            self._voided.add(p["charge_key"])
            if made and made.status in ("pending", "action"):
                made.status = "voided"
            return Voided(refund_id)
        left_minor = made.amount_minor - made.refunded_minor
        if left_minor <= 0:
            return NothingLeft()
        wanted = left_minor if p["amount_minor"] is None else min(p["amount_minor"], left_minor)
        behaviour = self._behaviour(effect)
        if behaviour.refund == "partial" and not made.refunded_minor:
            wanted = max(1, wanted // 2)
        made.refunded_minor += wanted
        self.refunds[refund_id] = (made.order_id, wanted)
        done = Refunded(refund_id, wanted, made.id, partial=wanted < left_minor)
        if behaviour.refund in ("later", "forgotten"):
            self._pending.add(effect.key)
            told = done if behaviour.refund == "later" else None

            def through() -> Refunded | None:
                self._pending.discard(effect.key)
                return told

            self.later(behaviour.delay, "payment", made.order_id, Callback(through))
        return done

    # --- carrier ------------------------------------------------------------------------------

    def _label(self, effect: Effect) -> Any:
        behaviour = self._behaviour(effect)
        made = self.labels.get(effect.key)
        if made is None:
            status = "refused" if behaviour.label == "refused" else "created"
            made = SimulatedLabel(
                f"lb_{len(self.labels) + 1}", str(effect.payload["order_id"]), status
            )
            self.labels[effect.key] = made
            if status == "created" and behaviour.pickup is not None:
                self._pick_up_later(made, behaviour)
        match made.status:
            case "created":
                return Labelled(made.id, f"TRK-{made.id}")
            case "picked_up":
                return PickedUp(made.order_id, made.id, f"TRK-{made.id}")
        return Refused(f"the carrier says {made.status}")

    def _pick_up_later(self, made: SimulatedLabel, behaviour: Behaviour) -> None:
        assert behaviour.pickup is not None

        def pick_up() -> Any:
            if made.status == "cancelled" and not behaviour.careless:
                return None
            made.status = "picked_up"
            return PickedUp(made.order_id, made.id, f"TRK-{made.id}")

        self.later(behaviour.pickup, "shipping", made.order_id, Callback(pick_up))

    def _cancel(self, effect: Effect) -> Any:
        p: Any = effect.payload
        made = self.labels.get(p["label_key"])
        if made is None:
            self.labels[p["label_key"]] = SimulatedLabel("none", p["order_id"], "refused")
        elif made.status == "created":
            made.status = "cancelled"
            behaviour = self._behaviour(effect)
            if behaviour.careless:
                soon = timedelta(seconds=self.rng.choice((0, 1, 60)))
                self._pick_up_later(made, replace(behaviour, pickup=soon))
        elif made.status == "picked_up":
            return TooLate()
        return Cancelled()

    # --- mail server --------------------------------------------------------------------------

    def _mail(self, effect: Effect) -> Any:
        p: Any = effect.payload
        kind = MailKind(p["kind"])
        if self._behaviour(effect).mail == "refused":
            return MailRefused(kind, p["to"], "no such mailbox")
        self.mails[effect.key] = (p["order_id"], kind)
        return MailAccepted(kind, p["to"])
