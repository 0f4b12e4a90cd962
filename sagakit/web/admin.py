"""Builds the admin routes: what blocks sagas here, and the redrive or discard of parked records."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from uuid import uuid4

import structlog
from fastapi import APIRouter, HTTPException, Path, Query, Request
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import Connection, Engine, TextClause, text

from sagakit.actors import personal_actor
from sagakit.errors import EffectSetAside, OutcomeUntold
from sagakit.handling.handler import Disposition, HandlingResult
from sagakit.identity import MAX_SAGA_KEY_CHARS, split_key
from sagakit.store.packed_headers import OUTBOX_SAGA
from sagakit.web.identity.audit import note_action
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope
from sagakit.web.login import LoggedIn, actor_of, address_of

log = structlog.get_logger(__name__)
READ, OPERATE = requires(Scope.READ), requires(Scope.OPERATE)
UNNAMED = "not named"
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL stores no NUL in text."""
Limit = Annotated[int, Query(ge=1, le=10_000)]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
RowId = Annotated[int, Query(ge=1, le=2**63 - 1)]
Word = Annotated[str, Query(max_length=500, pattern=NO_NUL)]
Actor = Annotated[Word, AfterValidator(personal_actor)]
ParkedKey = Annotated[str, Path(max_length=MAX_SAGA_KEY_CHARS, pattern=NO_NUL)]

PARKED = text(
    'SELECT id, key, code, error, source, seq, topic, partition, "offset", parked_at '
    "FROM parked WHERE CAST(:saga AS text) IS NULL OR key = :saga ORDER BY id LIMIT :limit"
)
DISCARD = text(
    "WITH gone AS (DELETE FROM parked WHERE id = :id RETURNING *) "
    "INSERT INTO audit (action, actor, address, reason, subjects, detail) "
    "SELECT 'discard', :actor, :address, :reason, ARRAY[key], jsonb_build_object('code', code, "
    "'error', error, 'topic', topic, 'partition', partition, 'offset', \"offset\", "
    "'parked_at', parked_at) FROM gone RETURNING subjects[1]"
)
AUDIT = text(
    "SELECT id, at, action, actor, address, reason, subjects, detail FROM audit "
    "WHERE id < :before ORDER BY id DESC LIMIT :limit"
)
EFFECTS = text(
    "SELECT saga, key, kind, attempts, last_error, due_at, created_at FROM effects "
    "WHERE CAST(:saga AS text) IS NULL OR saga = :saga ORDER BY created_at LIMIT :limit"
)
OUTBOX = text(
    f"SELECT * FROM (SELECT id, {OUTBOX_SAGA} AS saga, topic, created_at FROM outbox) AS found "
    "WHERE CAST(:saga AS text) IS NULL OR saga = :saga ORDER BY id LIMIT :limit"
)
ROWS_A_SAGA = 20
FAILING_FOR = "1 hour"
"""How long a call fails without a break until it is a case; it is asked again all the same."""
CASES = text(f"""
    SELECT * FROM (
        SELECT CAST(id AS text) AS id, saga, 'outcome_untold' AS code,
               format('the outcome of %s cannot be told: %s', key, last_error) AS reason
        FROM effects WHERE last_error LIKE '{OutcomeUntold.__name__}:%'
        UNION ALL
        SELECT CAST(id AS text), saga, 'effect_set_aside',
               format('%s is called once an hour: %s', key, last_error)
        FROM effects WHERE last_error LIKE '{EffectSetAside.__name__}:%'
        UNION ALL
        SELECT CAST(id AS text), saga, 'effect_failing',
               format('%s has failed for more than {FAILING_FOR}: %s', key, last_error)
        FROM effects WHERE failing_since < now() - interval '{FAILING_FOR}'
        AND NOT starts_with(last_error, '{OutcomeUntold.__name__}:')
        AND NOT starts_with(last_error, '{EffectSetAside.__name__}:')
        UNION ALL
        SELECT CAST(id AS text), {OUTBOX_SAGA}, 'event_refused',
               format('an event for %s can never be published: %s', topic, error)
        FROM outbox_refused
        UNION ALL
        SELECT format('%s/%s@%s', topic, partition, "offset"), saga, 'record_skipped',
               format('%s had %s/%s@%s skipped: %s', actor, topic, partition, "offset", reason)
        FROM skipped_record
    ) AS found
    WHERE id > :after ORDER BY id LIMIT :limit
""")
"""The query for the cases of this participant; the monitor opens an intervention for each."""
REFUSED = text(
    f"SELECT id, {OUTBOX_SAGA} AS saga, topic, error, refused_at FROM outbox_refused "
    "ORDER BY id LIMIT :limit"
)
PUBLISH_REFUSED = text(f"""
    WITH gone AS (DELETE FROM outbox_refused WHERE id = :id RETURNING *),
    back AS (
        INSERT INTO outbox (id, topic, key, headers, value) OVERRIDING SYSTEM VALUE
        SELECT id, topic, key, headers, value FROM gone
    )
    INSERT INTO audit (action, actor, address, reason, subjects, detail)
    SELECT 'publish_refused', :actor, :address, :reason, ARRAY[{OUTBOX_SAGA}],
           jsonb_build_object('id', id, 'topic', topic, 'error', error) FROM gone
""")


def _of_sagas(rows: str, columns: str, by: str) -> TextClause:
    """Build the statement for the first ROWS_A_SAGA of the `rows` of each of many sagas."""
    return text(
        f"SELECT saga, {columns} FROM (SELECT *, row_number() OVER "
        f"(PARTITION BY saga ORDER BY {by}) AS place FROM ({rows}) AS all_rows "
        f"WHERE saga = ANY(:sagas)) AS found WHERE place <= {ROWS_A_SAGA} ORDER BY {by}"
    )


BLOCKERS = {
    "effects": _of_sagas(
        "SELECT * FROM effects",
        "key, kind, attempts, last_error, due_at, created_at",
        "created_at",
    ),
    "outbox": _of_sagas(
        f"SELECT id, {OUTBOX_SAGA} AS saga, topic, created_at FROM outbox WHERE key = ANY(:ids)",
        "topic, created_at",
        "id",
    ),
    "parked": _of_sagas(
        "SELECT key AS saga, parked.* FROM parked",
        'code, error, topic, partition, "offset", parked_at',
        "id",
    ),
}
BlockerRows = dict[str, dict[str, list[dict[str, Any]]]]
"""Saga key -> `effects`, `outbox` and `parked` -> its rows, oldest first."""


SagaKey = Annotated[str, Field(pattern=r"^[^/\x00]*/[^\x00]*$")]


class Sagas(BaseModel):
    """Lists the keys of the sagas that a request asks about."""

    sagas: list[SagaKey] = Field(max_length=10_000)


def blockers_of(connection: Connection, sagas: Sequence[str]) -> BlockerRows:
    """Return the pending effects, outbox rows and parked records of many sagas.

    Each kind is cut to the first ROWS_A_SAGA rows per saga. A saga without rows is left out.
    """
    found: BlockerRows = {}
    asked = {"sagas": list(sagas), "ids": [split_key(saga)[1] for saga in sagas]}
    for kind, query in BLOCKERS.items():
        for row in connection.execute(query, asked).mappings():
            blockers = found.setdefault(row["saga"], {name: [] for name in BLOCKERS})
            blockers[kind].append({name: row[name] for name in row if name != "saga"})
    return found


def _add_refused_routes(router: APIRouter, engine: Engine) -> None:
    @router.get("/refused", dependencies=READ)
    def refused(limit: Limit = 100) -> list[dict[str, Any]]:
        """Return the events that can never be published."""
        with engine.connect() as connection:
            return [dict(r._mapping) for r in connection.execute(REFUSED, {"limit": limit})]

    @router.post("/refused/{number}/publish", dependencies=OPERATE)
    def publish_refused(
        number: Number, actor: Actor, reason: Word, user: LoggedIn, request: Request
    ) -> dict[str, Any]:
        """Publish an event again, once its topic takes it. Who did it stays in the audit."""
        who = {"actor": actor_of(actor, user), "reason": reason, "address": address_of(request)}
        with engine.begin() as connection:
            if not connection.execute(PUBLISH_REFUSED, {"id": number, **who}).rowcount:
                raise HTTPException(
                    404, f"no refused event {number}; GET /admin/refused lists them"
                )
        log.warning("refused event published again", id=number, **who)
        return {"published": number}


Redrive = Callable[[str], list[HandlingResult[Any]]]
"""Handles a saga's parked records again."""


def _add_parked_routes(router: APIRouter, engine: Engine, redrive: Redrive) -> None:
    def rows(**parameters: Any) -> list[dict[str, Any]]:
        with engine.connect() as connection:
            return [dict(r._mapping) for r in connection.execute(PARKED, parameters)]

    @router.get("/parked", dependencies=READ)
    def parked(saga: Word | None = None, limit: Limit = 100) -> list[dict[str, Any]]:
        return rows(saga=saga, limit=limit)

    @router.post("/parked/{key:path}/redrive", dependencies=OPERATE)
    def redrive_key(
        key: ParkedKey,
        user: LoggedIn,
        request: Request,
        actor: Actor = UNNAMED,
        reason: Word = "",
    ) -> dict[str, Any]:
        """Handle a saga's parked records again. Who did it stays in the audit."""
        who = {"actor": actor_of(actor, user), "reason": reason, "address": address_of(request)}
        with engine.begin() as connection:
            note_action(connection, "redrive", who, [key])
        fates = redrive(key)
        left = rows(saga=key, limit=10_000)
        handled = sum(f.disposition is not Disposition.PARKED for f in fates)
        return {"key": key, "handled": handled, "still_parked": left}

    @router.delete("/parked/{number}", dependencies=OPERATE)
    def discard(
        number: Number, actor: Actor, reason: Word, user: LoggedIn, request: Request
    ) -> dict[str, Any]:
        """Drop a parked record for good. Who did it and why stays in the audit."""
        who = {"actor": actor_of(actor, user), "reason": reason, "address": address_of(request)}
        with engine.begin() as connection:
            key = connection.execute(DISCARD, {"id": number, **who}).scalar()
            if key is None:
                raise HTTPException(404, f"no parked record {number}; GET /admin/parked lists them")
        redrive(key)
        log.warning("parked record discarded", id=number, key=key, **who)
        return {"discarded": number, "key": key, "receipt": str(uuid4())}


def admin(engine: Engine, redrive: Redrive) -> APIRouter:
    """Build the routes; `redrive` handles a saga's parked records again."""
    router = APIRouter(prefix="/admin", tags=["admin"])

    def rows(query: Any, **parameters: Any) -> list[dict[str, Any]]:
        with engine.connect() as connection:
            return [dict(r._mapping) for r in connection.execute(query, parameters)]

    @router.get("/audit", dependencies=READ)
    def audit(before: RowId = 2**63 - 1, limit: Limit = 100) -> list[dict[str, Any]]:
        """List what was done that no event tells, the newest first; `before`: an id of a row."""
        return rows(AUDIT, before=before, limit=limit)

    @router.get("/effects", dependencies=READ)
    def effects(saga: Word | None = None, limit: Limit = 100) -> list[dict[str, Any]]:
        return rows(EFFECTS, saga=saga, limit=limit)

    @router.get("/outbox", dependencies=READ)
    def outbox(saga: Word | None = None, limit: Limit = 100) -> list[dict[str, Any]]:
        return rows(OUTBOX, saga=saga, limit=limit)

    @router.get("/cases", dependencies=READ)
    def cases(limit: Limit = 100, after: Word | None = None) -> list[dict[str, Any]]:
        """Return what only a person can settle here. `after`: the last id of the page before."""
        return rows(CASES, limit=limit, after=after or "")

    @router.post("/blockers", dependencies=READ)
    def blockers(asked: Sagas) -> BlockerRows:
        """Return everything that may block these sagas here; changes nothing."""
        with engine.connect() as connection:
            return blockers_of(connection, asked.sagas)

    _add_parked_routes(router, engine, redrive)
    _add_refused_routes(router, engine)
    return router
