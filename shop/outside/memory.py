"""Runs the state machines of provider and carrier in memory, behind the ports of the gateways.

`ProviderLedger` and `CarrierLedger` keep the accounts; whoever calls them deals with the steps'
timers and webhooks. `MemoryProvider` and `MemoryCarrier` keep timers until a test lets time pass.
Answers and reports are read by the same functions as those over HTTP.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from saga_lab.fakes.machine import AccountStep, ErrorAnswer, Timer
from sagakit.decider import Effect
from sagakit.errors import EffectFailed
from sagakit.web.signed_webhook import ReadReport
from services.payment.gateway import (
    EVERYTHING_MINOR,
    FINAL_REFUSALS,
    NOT_FOUND,
    NOTHING_LEFT,
    ChargeAnswer,
    RefundAnswer,
    charge_answer,
    look_answer,
    refund_answer,
)
from services.payment.ledger import CHARGE, Unknown
from services.payment.service import REPORTS as PROVIDER_REPORTS
from services.shipping.decide import LABEL
from services.shipping.gateway import CancelAnswer, LabelAnswer, cancel_answer, label_answer
from services.shipping.service import REPORTS as CARRIER_REPORTS
from shop.outside import carrier_machine, provider_machine
from shop.outside.carrier_machine import (
    CancelAsked,
    CancellationRecord,
    LabelAccount,
    LabelAsked,
    LabelRecord,
    LabelStep,
    ParcelPlan,
    parcel_plan,
)
from shop.outside.provider_machine import (
    CardPlan,
    ChargeAccount,
    ChargeAsked,
    ChargeRecord,
    ChargeStep,
    RefundAsked,
    RefundRecord,
    card_plan,
)

REFUSALS = (NOTHING_LEFT, NOT_FOUND, *FINAL_REFUSALS)
NEVER_S = 0
"""The time of every record: nobody reads it."""


def answer_of(step: AccountStep[Any]) -> dict[str, Any]:
    """Return a step's answer as the API shows it. Raises EffectFailed where HTTP would."""
    match step.answer:
        case ErrorAnswer(status, code, message) if (status, code) in REFUSALS:
            return {"error": {"code": code, "message": message}}
        case ErrorAnswer(status, code, message):
            raise EffectFailed(f"{status} {code}: {message}; asking again under the same key")
        case None:
            raise AssertionError("a timer's step has no answer")
        case record if step.answer_lost:
            raise EffectFailed(f"the answer about {record.saga!r} is lost; asking again")
        case record:
            return record.view()


def reports_of(step: AccountStep[Any], reports: Mapping[str, ReadReport]) -> list[Any]:
    """Return what a step's webhooks report, as the webhook's route reads it."""
    return [reports[hook.event_type](hook.about.view())[1] for hook in step.webhooks]


def _unusable(answer: Mapping[str, Any]) -> EffectFailed:
    return EffectFailed(f"{dict(answer)} tells nothing; asking again under the same key")


# --- the provider ---------------------------------------------------------------------------------


class ProviderLedger:
    """Keeps the provider's accounts by charge key."""

    def __init__(self) -> None:
        self.accounts: dict[str, ChargeAccount] = {}
        self._keys: dict[str, str] = {}  # id of a charge or refund -> charge key
        self._refunded: dict[str, str] = {}  # idempotency key of a refund -> charge key
        self._made = 0

    @property
    def charges(self) -> dict[str, ChargeRecord]:
        """Return the charges by charge key."""
        return {key: it.charge for key, it in self.accounts.items() if it.charge}

    @property
    def refunds(self) -> list[RefundRecord]:
        """Return the refunds that have given money back."""
        return [r for it in self.accounts.values() for r in it.refunds if r.amount_minor]

    def charge(self, effect: Effect, plan: CardPlan) -> ChargeStep:
        """Charge as the effect asks."""
        asked: Any = {
            name: effect.payload[name] for name in ("amount_minor", "currency", "card_token")
        }
        key = effect.idempotency_key
        account, charge_id = self.account(key), self._new_id("ch", key)
        content = ChargeAsked(effect.saga, **asked)
        return self._keep(provider_machine.charge(account, content, plan, charge_id, NEVER_S))

    def look(self, effect: Effect) -> ChargeStep:
        """Read the charge that the effect names."""
        charge_id = str(effect.payload["charge_id"])
        account = self.account(self._keys.get(charge_id, ""))
        return AccountStep(account, account.charge or provider_machine.not_found(charge_id))

    def refund(self, effect: Effect, plan: CardPlan) -> ChargeStep:
        """Refund or void as the effect asks."""
        payload: Any = effect.payload
        # a known key leads to its own refund, whichever charge is named now
        named = self._keys.get(str(payload["charge_id"]), effect.key_of(CHARGE))
        key = self._refunded.get(effect.idempotency_key, named)
        amount_minor = payload["amount_minor"]
        wanted_minor = EVERYTHING_MINOR if amount_minor is None else amount_minor
        content = RefundAsked(effect.idempotency_key, effect.saga, wanted_minor)
        account, refund_id = self.account(key), self._new_id("re", key)
        step = provider_machine.refund(account, content, plan, refund_id, NEVER_S)
        if isinstance(step.answer, RefundRecord):
            self._refunded[effect.idempotency_key] = key
        return self._keep(step)

    def timer_due(self, timer: Timer, plan: CardPlan) -> ChargeStep:
        """Run the machine on a due timer."""
        account = self.account(self._keys[timer.subject])
        return self._keep(provider_machine.timer_due(account, timer.kind, timer.subject, plan))

    def account(self, key: str) -> ChargeAccount:
        """Return the account of a charge key, empty if nothing is known of it."""
        return self.accounts.get(key, ChargeAccount(key))

    def _new_id(self, kind: str, key: str) -> str:
        self._made += 1
        self._keys[f"{kind}_{self._made}"] = key
        return f"{kind}_{self._made}"

    def _keep(self, step: ChargeStep) -> ChargeStep:
        self.accounts[step.account.key] = step.account
        return step


def charge_result(step: ChargeStep) -> ChargeAnswer:
    """Return the answer to a charge. Raises EffectFailed if it is lost or tells nothing."""
    answer = answer_of(step)
    read = charge_answer(answer)
    if read is None:
        raise _unusable(answer)
    return read


def look_result(effect: Effect, step: ChargeStep) -> ChargeAnswer | Unknown:
    """Return the answer to a look. Raises EffectFailed if it is lost or tells nothing."""
    answer = answer_of(step)
    read = look_answer(effect, answer)
    if read is None:
        raise _unusable(answer)
    return read


def refund_result(effect: Effect, step: ChargeStep) -> RefundAnswer:
    """Return the answer to a refund. Raises EffectFailed, ResultPending."""
    answer = answer_of(step)
    read = refund_answer(answer, void=effect.payload["amount_minor"] is None)
    if read is None:
        raise _unusable(answer)
    return read


class MemoryProvider:
    """Implements `services.payment.gateway.Provider` in memory; only `settle` lets time pass.

    `plan_of`: the plan that a card token chooses.
    """

    def __init__(self, plan_of: Callable[[str], CardPlan] = card_plan) -> None:
        self.ledger = ProviderLedger()
        self._plan_of = plan_of
        self._timers: dict[str, list[Timer]] = {}
        self._reports: dict[str, list[Any]] = {}

    @property
    def charges(self) -> dict[str, ChargeRecord]:
        """Return the charges by charge key."""
        return self.ledger.charges

    async def charge(self, effect: Effect) -> ChargeAnswer:
        """See `Provider`."""
        plan = self._plan_of(str(effect.payload["card_token"]))
        return charge_result(self._noted(effect, self.ledger.charge(effect, plan)))

    async def look(self, effect: Effect) -> ChargeAnswer | Unknown:
        """See `Provider`."""
        return look_result(effect, self.ledger.look(effect))

    async def refund(self, effect: Effect) -> RefundAnswer:
        """See `Provider`."""
        plan = self._plan(self.ledger.account(effect.key_of(CHARGE)))
        return refund_result(effect, self._noted(effect, self.ledger.refund(effect, plan)))

    def settle(self, saga: str) -> list[Any]:
        """Let all timers of the saga run out; return its webhook reports since the last time."""
        while timers := self._timers.pop(saga, []):
            for timer in timers:
                account = self.ledger.account(Effect(CHARGE, CHARGE, {}, saga).idempotency_key)
                step = self.ledger.timer_due(timer, self._plan(account))
                self._note(saga, step)
        return self._reports.pop(saga, [])

    def _plan(self, account: ChargeAccount) -> CardPlan:
        return self._plan_of(account.charge.card_token if account.charge else "")

    def _noted(self, effect: Effect, step: ChargeStep) -> ChargeStep:
        self._note(effect.saga, step)
        return step

    def _note(self, saga: str, step: ChargeStep) -> None:
        self._timers.setdefault(saga, []).extend(step.timers)
        self._reports.setdefault(saga, []).extend(reports_of(step, PROVIDER_REPORTS))


# --- the carrier ----------------------------------------------------------------------------------


class CarrierLedger:
    """Keeps the carrier's accounts by label key."""

    def __init__(self) -> None:
        self.accounts: dict[str, LabelAccount] = {}
        self._keys: dict[str, str] = {}  # id of a label -> label key
        self._cancelled: dict[str, str] = {}  # idempotency key of a cancellation -> label key
        self._made = 0

    @property
    def labels(self) -> dict[str, LabelRecord]:
        """Return the labels by label key."""
        return {key: it.label for key, it in self.accounts.items() if it.label}

    def label(self, effect: Effect, plan: ParcelPlan) -> LabelStep:
        """Make a label as the effect asks."""
        payload: Any = effect.payload
        order = payload["order"]
        lines = orjson.dumps(order["lines"]).decode()
        content = LabelAsked(effect.saga, order["ship_to"], order["email"], 1, lines)
        self._made += 1
        label_id, tracking = f"lb_{self._made}", f"TRK{self._made}"
        self._keys[label_id] = effect.idempotency_key
        account = self.account(effect.idempotency_key)
        return self._keep(
            carrier_machine.label(account, content, plan, label_id, tracking, NEVER_S)
        )

    def cancel(self, effect: Effect, plan: ParcelPlan) -> LabelStep:
        """Cancel a label as the effect asks."""
        # a known key leads to its own cancellation, whichever label is named now
        own_key = effect.idempotency_key
        key = self._cancelled.get(own_key, effect.key_of(LABEL))
        account = self.account(key)
        content = CancelAsked(own_key, effect.saga)
        step = carrier_machine.cancel(account, content, plan, f"cn:{own_key}", NEVER_S)
        if isinstance(step.answer, CancellationRecord):
            self._cancelled[own_key] = key
        return self._keep(step)

    def pick_up(self, key: str, plan: ParcelPlan) -> LabelStep:
        """Pick the parcel of a label key up."""
        return self._keep(carrier_machine.pick_up(self.account(key), plan))

    def timer_due(self, timer: Timer, plan: ParcelPlan) -> LabelStep:
        """Run the machine on a due timer."""
        return self.pick_up(self._keys[timer.subject], plan)

    def account(self, key: str) -> LabelAccount:
        """Return the account of a label key, empty if nothing is known of it."""
        return self.accounts.get(key, LabelAccount(key))

    def _keep(self, step: LabelStep) -> LabelStep:
        self.accounts[step.account.key] = step.account
        return step


def label_result(effect: Effect, step: LabelStep) -> LabelAnswer:
    """Return the answer to a label. Raises EffectFailed if it is lost or tells nothing."""
    answer = answer_of(step)
    read = label_answer(str(effect.payload["order_id"]), answer)
    if read is None:
        raise _unusable(answer)
    return read


def cancel_result(step: LabelStep) -> CancelAnswer:
    """Return the answer to a cancellation. Raises EffectFailed."""
    answer = answer_of(step)
    read = cancel_answer(answer)
    if read is None:
        raise _unusable(answer)
    return read


class MemoryCarrier:
    """Implements `services.shipping.gateway.Carrier` in memory; only `pick_up` lets time pass."""

    def __init__(self) -> None:
        self.ledger = CarrierLedger()

    async def label(self, effect: Effect) -> LabelAnswer:
        """See `Carrier`."""
        order: Any = effect.payload["order"]
        return label_result(effect, self.ledger.label(effect, self._plan(order["ship_to"])))

    async def cancel(self, effect: Effect) -> CancelAnswer:
        """See `Carrier`."""
        known = self.ledger.account(effect.key_of(LABEL)).label
        plan = self._plan(known.ship_to if known else "")
        return cancel_result(self.ledger.cancel(effect, plan))

    def pick_up(self, saga: str) -> list[Any]:
        """Pick up the saga's parcel; return the webhook reports."""
        key = Effect(LABEL, LABEL, {}, saga).idempotency_key
        step = self.ledger.pick_up(key, ParcelPlan())
        return reports_of(step, CARRIER_REPORTS)

    def _plan(self, ship_to: str) -> ParcelPlan:
        return replace(parcel_plan(ship_to, None), pickup_after_s=None)
