"""Shares settings, the durable ledger, answers and serving between the fake servers."""

import asyncio
import logging
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, AnyHttpUrl, BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from saga_lab.fakes.machine import AccountStep, ErrorAnswer, planned_failure
from saga_lab.fakes.trouble import OUTAGE, SERVER_WAYS, Trouble, TroubledRoute
from sagakit.shared_secret import shared_secret
from sagakit.web.access import Access, TrustedHosts
from sagakit.web.server import BoundedHttp, server_config

Row = dict[str, Any]
MAX_BODY_BYTES = 4 * 1024 * 1024
S = TypeVar("S", bound="SandboxSettings")


class SandboxSettings(BaseSettings):
    """Reads settings from `SANDBOX_*` variables; `db` is the path of the SQLite ledger."""

    model_config = SettingsConfigDict(env_prefix="SANDBOX_")

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    db: Path


class CallbackSettings(SandboxSettings):
    """Adds the URL that webhooks are posted to and the secret that signs them."""

    webhook_url: AnyHttpUrl
    webhook_secret: Annotated[str, AfterValidator(shared_secret)]


def read_settings(kind: type[S]) -> S:
    """Read the settings, or exit with a message that names each invalid variable."""
    given: Row = {}  # pydantic reads every field from the environment
    try:
        return kind(**given)
    except ValidationError as error:
        wrong = "\n".join(
            f"  SANDBOX_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()
        )
        sys.exit(f"cannot start, set these environment variables:\n{wrong}")


class Refusal(Exception):
    """Makes the server answer with `status` and `{"error": {"code", "message"}}`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


# -- the ledger ------------------------------------------------------------------------------------


class Ledger:
    """Wraps one SQLite connection used from one event loop.

    No handler awaits inside a transaction. WAL with synchronous=NORMAL: committed rows survive
    `kill -9` of the process.
    """

    def __init__(self, path: Path, schema: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(
            "CREATE TABLE IF NOT EXISTS calls (name TEXT PRIMARY KEY, failed INTEGER NOT NULL);"
            + schema
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all statements inside together, or none of them."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def run(self, sql: str, *values: object) -> sqlite3.Cursor:
        return self._db.execute(sql, values)

    def rows(self, sql: str, *values: object) -> list[Row]:
        cursor = self._db.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def row(self, sql: str, *values: object) -> Row | None:
        return next(iter(self.rows(sql, *values)), None)

    def add(self, table: str, row: Row) -> int:
        """Insert a row and return its `seq`."""
        marks = ", ".join("?" * len(row))
        sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"
        return self._db.execute(sql, tuple(row.values())).lastrowid or 0

    def page(self, table: str, asked: "Page", **equal: object) -> tuple[list[Row], int]:
        """Return one page of a table in insertion order, and the total number of rows.

        `equal`: column -> the value that rows have to have; None selects any.
        """
        wanted = {column: value for column, value in equal.items() if value is not None}
        where = "WHERE " + " AND ".join(f"{column} = ?" for column in wanted) if wanted else ""
        values = tuple(wanted.values())
        total = self.rows(f"SELECT count(*) AS n FROM {table} {where}", *values)[0]["n"]
        sql = f"SELECT * FROM {table} {where} ORDER BY seq LIMIT ? OFFSET ?"
        return self.rows(sql, *values, asked.limit, asked.offset), total

    def fail_first(self, name: str, times: float) -> None:
        """Raise a 500 Refusal for the first `times` calls under `name`.

        The ledger keeps only the count of a refused call.
        """
        failed = self.failed_calls(name)
        if failure := planned_failure(failed, times):
            self.set_failed_calls(name, failed + 1)
            raise Refusal(failure.status, failure.code, failure.message)

    def failed_calls(self, name: str) -> int:
        """Return how many calls under `name` were answered with 500."""
        found = self.row("SELECT failed FROM calls WHERE name = ?", name)
        return found["failed"] if found else 0

    def set_failed_calls(self, name: str, failed: int) -> None:
        """Store how many calls under `name` were answered with 500."""
        sql = "INSERT INTO calls VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET failed = ?"
        self.run(sql, name, failed, failed)


# -- requests and answers --------------------------------------------------------------------------


class Page(BaseModel):
    """Selects a part of a ledger."""

    limit: int = Field(1000, ge=1, le=100_000)
    offset: int = Field(0, ge=0, lt=2**63)


Id = Annotated[str, Field(min_length=1, max_length=1000)]


class SagaNamed(BaseModel):
    """Carries the body of a control call about one saga."""

    saga: Id


class Seconds(BaseModel):
    """Carries the body of a control call that takes a duration."""

    seconds: float = Field(ge=0, allow_inf_nan=False)


def json_response(body: object, status: int = 200) -> Response:
    """Return a response with `body` as compact JSON."""

    return Response(orjson.dumps(body), status, media_type="application/json")


async def reply(request: Request, step: AccountStep[Any]) -> Response:
    """Send a step's answer; a lost one aborts the connection before any byte is sent.

    Raises Refusal for an ErrorAnswer.
    """
    if step.answer_after_s:
        await asyncio.sleep(step.answer_after_s)
    if step.answer_lost:
        request.state.transport.abort()
        await asyncio.sleep(0)  # lets uvicorn see the disconnect, so that it discards the response
    match step.answer:
        case ErrorAnswer(status, code, message):
            raise Refusal(status, code, message)
        case None:
            raise AssertionError("a timer's step has no answer to send")
        case record:
            return json_response(record.view())


async def _key(
    idempotency_key: Annotated[str | None, Header(max_length=1000)] = None,
) -> str:
    if not idempotency_key:
        message = "the header Idempotency-Key is missing; send one key for each intent"
        raise Refusal(400, "idempotency_key_missing", message)
    return idempotency_key


IdempotencyKey = Annotated[str, Depends(_key)]


# -- the app ---------------------------------------------------------------------------------------


async def _refuse_post_in_outage(request: Request) -> None:
    if request.method == "POST" and request.app.state.trouble.on(OUTAGE):
        raise Refusal(503, "outage", "rehearsed outage; ask again later")


def v1_router() -> APIRouter:
    """Return the router of the public API, whose POSTs answer 503 during an outage."""
    return APIRouter(
        prefix="/v1", dependencies=[Depends(_refuse_post_in_outage)], route_class=TroubledRoute
    )


def control_trouble(app: FastAPI, way: str, after: Callable[[], None] = lambda: None) -> None:
    """Add POST /control/<way>, which begins or ends this trouble and then calls `after`."""

    @app.post(f"/control/{way}")
    async def begin(asked: Seconds) -> Response:
        app.state.trouble.begin(way, asked.seconds)
        after()
        return json_response({"seconds": asked.seconds})


def create_app(ledger: Ledger, *routers: APIRouter) -> FastAPI:
    """Build an app with health, trouble control, `{"error": {...}}` answers and these routers."""
    app = FastAPI(openapi_url=None, max_body_size=MAX_BODY_BYTES)
    app.add_middleware(TrustedHosts, access=Access(local=True))
    app.state.trouble = Trouble()

    @app.get("/health/ready")
    async def ready() -> Response:
        ledger.run("SELECT 1")
        return json_response({"status": "ready"})

    for way in SERVER_WAYS:
        control_trouble(app, way)

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> Response:
        error = {"code": refusal.code, "message": refusal.message}
        return json_response({"error": error}, refusal.status)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, invalid: RequestValidationError) -> Response:
        wrong = (
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}, got {ascii(e['input'])[:100]}"
            for e in invalid.errors()
        )
        return json_response(
            {"error": {"code": "invalid_request", "message": "; ".join(wrong)}}, 400
        )

    for router in routers:
        app.include_router(router)
    return app


class _Protocol(BoundedHttp):
    """Hands each request its transport, so that a handler can drop the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def serve(
    app: FastAPI, settings: SandboxSettings, running: AbstractAsyncContextManager[None]
) -> None:
    """Serve inside the context `running` until SIGTERM or SIGINT; its failure ends the process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    config = server_config(
        app,
        settings.host,
        settings.port,
        http=_Protocol,
        access_log=False,
        timeout_graceful_shutdown=2,
    )

    async def run() -> None:
        async with running:
            # uvicorn re-raises the signal after its shutdown; ignored, so that the exit code is 0
            for asked in (signal.SIGTERM, signal.SIGINT):
                signal.signal(asked, lambda *_: None)
            await uvicorn.Server(config).serve()

    asyncio.run(run())
