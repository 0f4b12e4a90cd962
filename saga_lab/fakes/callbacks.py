"""Stores a server's delayed work durably: timers that change its ledger, and webhooks to post.

A webhook is posted until it is answered 2xx (backoff up to 5 s), so it may arrive twice. It is
signed as `sagakit.web.signed_webhook` says; its body:

    {"id": "evt_...", "type": "thing.done", "created": <unix s>, "data": {...}}
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import orjson
from fastapi import APIRouter, FastAPI, Request, Response

from saga_lab.fakes.base import (
    CallbackSettings,
    Ledger,
    Refusal,
    Row,
    SagaNamed,
    control_trouble,
    json_response,
)
from saga_lab.fakes.machine import AccountStep
from saga_lab.fakes.trouble import CALLBACK_WAYS, LATE, REVERSED, TWICE, Trouble
from sagakit.web.signed_webhook import HEADER, sign

SCHEMA = """
CREATE TABLE IF NOT EXISTS timers (
    seq INTEGER PRIMARY KEY, due_at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS timers_due ON timers (due_at, seq);
CREATE TABLE IF NOT EXISTS webhooks (
    seq INTEGER PRIMARY KEY, saga TEXT NOT NULL, body BLOB NOT NULL,
    due_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, delivered_at REAL
);
CREATE INDEX IF NOT EXISTS webhooks_due ON webhooks (due_at, seq) WHERE delivered_at IS NULL;
CREATE INDEX IF NOT EXISTS webhooks_saga ON webhooks (saga, seq);
"""

MAX_IN_FLIGHT = 32
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0
ANSWER_TIMEOUT_S = 10.0

log = logging.getLogger(__name__)
router = APIRouter(prefix="/control")


class Callbacks:
    """Runs the timers and webhooks of one server.

    Call `start_timer`, `enqueue_webhook` and `carry_out` inside a transaction.
    """

    def __init__(self, ledger: Ledger, settings: CallbackSettings, app: FastAPI) -> None:
        self._ledger = ledger
        self._trouble: Trouble = app.state.trouble
        for way in CALLBACK_WAYS:
            control_trouble(app, way, self._trouble_changed)
        self._url = str(settings.webhook_url)
        self._secret = settings.webhook_secret
        self._advance: Callable[[str, str], None]
        self._in_flight: set[int] = set()
        self._awaited: dict[int, asyncio.Event] = {}
        self._wake = asyncio.Event()
        self._reversed = False

    def when_due(self, advance: Callable[[str, str], None]) -> None:
        """Register `advance(kind, subject)`, called in a transaction for each due timer."""
        self._advance = advance

    def carry_out(self, step: AccountStep[Any]) -> int | None:
        """Start a step's timers and enqueue its webhooks.

        Return the number of the webhook that the answer has to wait for, if it has to.
        """
        for timer in step.timers:
            self.start_timer(timer.after_s, timer.kind, timer.subject)
        number = None
        for webhook in step.webhooks:
            number = self.enqueue_webhook(
                webhook.event_type, webhook.about.saga, webhook.about.view()
            )
        return number if step.webhook_first else None

    def start_timer(self, after_s: float, kind: str, subject: str) -> None:
        """Store a timer that is due in `after_s` seconds."""
        due_at = time.time() + after_s
        self._ledger.add("timers", {"due_at": due_at, "kind": kind, "subject": subject})
        self._wake.set()

    def enqueue_webhook(self, event_type: str, saga: str, data: Row) -> int:
        """Store a webhook with `data` about a saga.

        Return its number for `delivered`.
        """
        event = {
            "id": f"evt_{uuid.uuid4().hex}",
            "type": event_type,
            "created": int(time.time()),
            "data": data,
        }
        number = self._enqueue(saga, orjson.dumps(event))
        if self._trouble.on(TWICE):
            self._enqueue(saga, orjson.dumps(event), FIRST_RETRY_S)
        return number

    def _enqueue(self, saga: str, body: bytes, delay_s: float = 0.0) -> int:
        self._wake.set()
        webhook = {"saga": saga, "body": body, "due_at": time.time() + delay_s}
        return self._ledger.add("webhooks", webhook)

    def _trouble_changed(self) -> None:
        """Wake the loop after a control call changed the trouble.

        The call that ends `callbacks-reversed` reverses the order of the undelivered webhooks.
        """
        if self._trouble.on(REVERSED):
            self._reversed = True
        elif self._reversed:
            self._reversed = False
            self._ledger.run(
                "UPDATE webhooks SET due_at = ? - seq WHERE delivered_at IS NULL", time.time()
            )
        self._wake.set()

    async def delivered(self, webhook: int) -> None:
        """Wait until a webhook just announced was answered 2xx."""
        await self._awaited.setdefault(webhook, asyncio.Event()).wait()

    def flush(self) -> Row:
        """Run every timer and make every undelivered webhook due, whatever their due times."""
        timers = 0
        while advanced := self._advance_due(float("inf")):
            timers += advanced
        webhooks = self._ledger.run(
            "UPDATE webhooks SET due_at = ? WHERE delivered_at IS NULL", time.time()
        ).rowcount
        self._wake.set()
        return {"timers": timers, "webhooks": webhooks}

    def resend(self, saga: str) -> None:
        """Post the last webhook of a saga again under the same event id.

        Raises Refusal (404) when the saga has none.
        """
        last = self._ledger.row(
            "SELECT body FROM webhooks WHERE saga = ? ORDER BY seq DESC LIMIT 1",
            saga,
        )
        if last is None:
            message = f"no webhook was ever due for {saga!r}; name a saga that had one"
            raise Refusal(404, "no_webhook", message)
        self._enqueue(saga, last["body"])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run timers and deliveries while inside; a failure of the loop cancels the body."""
        async with asyncio.TaskGroup() as group:
            loop = group.create_task(self._run())
            yield
            loop.cancel()

    async def _run(self) -> None:
        limits = httpx2.Limits(max_connections=MAX_IN_FLIGHT)
        async with (
            httpx2.AsyncClient(timeout=ANSWER_TIMEOUT_S, limits=limits, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            while True:
                self._wake.clear()
                self._advance_due(time.time())
                next_due_at = self._start_deliveries(client, group)
                try:
                    async with asyncio.timeout(next_due_at and next_due_at - time.time()):
                        await self._wake.wait()
                except TimeoutError:
                    pass  # the next timer or webhook is due

    def _advance_due(self, now_s: float) -> int:
        sql = "SELECT * FROM timers WHERE due_at <= ? ORDER BY due_at, seq LIMIT 200"
        due = self._ledger.rows(sql, now_s)
        if due:
            with self._ledger.transaction():
                for timer in due:
                    self._advance(timer["kind"], timer["subject"])
                    self._ledger.run("DELETE FROM timers WHERE seq = ?", timer["seq"])
        return len(due)

    def _start_deliveries(
        self, client: httpx2.AsyncClient, group: asyncio.TaskGroup
    ) -> float | None:
        """Start due deliveries, up to MAX_IN_FLIGHT, and return when to look again."""
        timers = self._ledger.rows("SELECT min(due_at) AS due_at FROM timers")
        next_due_at: float | None = timers[0]["due_at"]
        if kept_s := max(self._trouble.left_s(LATE), self._trouble.left_s(REVERSED)):
            kept_until = time.time() + kept_s
            return min(next_due_at or kept_until, kept_until)
        if len(self._in_flight) == MAX_IN_FLIGHT:
            return next_due_at  # each finished delivery wakes the loop
        waiting = self._ledger.rows(
            "SELECT seq, body, due_at, attempts FROM webhooks WHERE delivered_at IS NULL"
            " ORDER BY due_at, seq LIMIT ?",
            MAX_IN_FLIGHT + 1,  # deliveries in flight are due, so they are among the first rows
        )
        for webhook in waiting:
            if webhook["seq"] in self._in_flight:
                continue
            if len(self._in_flight) == MAX_IN_FLIGHT:
                break
            if webhook["due_at"] > time.time():
                due_at: float = webhook["due_at"]
                return min(due_at, next_due_at or due_at)
            self._in_flight.add(webhook["seq"])
            group.create_task(self._deliver(client, webhook))
        return next_due_at

    async def _deliver(self, client: httpx2.AsyncClient, webhook: Row) -> None:
        seq, attempt, body = webhook["seq"], webhook["attempts"] + 1, webhook["body"]
        headers = {
            "Content-Type": "application/json",
            HEADER: sign(self._secret, body, int(time.time())),
        }
        try:
            answer = await client.post(self._url, content=body, headers=headers)
            problem = None if answer.is_success else f"answered {answer.status_code}"
        except httpx2.HTTPError as error:
            problem = repr(error)
        self._in_flight.discard(seq)
        self._wake.set()
        if problem is None:
            sql = "UPDATE webhooks SET delivered_at = ?, attempts = ? WHERE seq = ?"
            self._ledger.run(sql, time.time(), attempt, seq)
            self._awaited.pop(seq, asyncio.Event()).set()
            return
        retry_s = min(FIRST_RETRY_S * 2 ** min(attempt - 1, 10), LAST_RETRY_S)
        sql = "UPDATE webhooks SET due_at = ?, attempts = ? WHERE seq = ?"
        self._ledger.run(sql, time.time() + retry_s, attempt, seq)
        level = logging.WARNING if attempt == 1 else logging.DEBUG
        log.log(
            level,
            "webhook %d to %s is not taken: %s; it is posted again in %g s",
            seq,
            self._url,
            problem,
            retry_s,
        )


@router.post("/flush")
async def flush(request: Request) -> Response:
    callbacks: Callbacks = request.app.state.callbacks
    return json_response(callbacks.flush())


@router.post("/resend")
async def resend(request: Request, asked: SagaNamed) -> Response:
    callbacks: Callbacks = request.app.state.callbacks
    callbacks.resend(asked.saga)
    return json_response({"saga": asked.saga})
