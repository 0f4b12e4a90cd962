"""Keeps who has logged in at a browser, and the links by which somebody logs in once."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from sagakit.web.identity.scopes import Principal, known_scopes
from sagakit.web.identity.tokens import token_hash

SESSION_LASTS, LINK_LASTS = "12 hours", "10 minutes"
DELETE_EXPIRED = tuple(
    text(f"DELETE FROM {table} WHERE expires_at < now()") for table in ("session", "login_link")
)
ADD_LINK = text(f"""
    INSERT INTO login_link (code_hash, subject, scopes, expires_at)
    VALUES (:hash, :subject, :scopes, now() + interval '{LINK_LASTS}') RETURNING expires_at
""")
FIND_LINK = text(
    "SELECT subject, scopes FROM login_link WHERE code_hash = :hash AND expires_at > now()"
)
TAKE_LINK = text("""
    DELETE FROM login_link WHERE code_hash = :hash AND expires_at > now()
    RETURNING subject, scopes
""")
ADD_SESSION = text(f"""
    INSERT INTO session (token_hash, subject, scopes, address, expires_at)
    VALUES (:hash, :subject, :scopes, :address, now() + interval '{SESSION_LASTS}')
""")
FIND_SESSION = text(
    "SELECT subject, scopes FROM session WHERE token_hash = :hash AND expires_at > now()"
)
END_SESSION = text("DELETE FROM session WHERE token_hash = :hash")
END_ONE = text("DELETE FROM session WHERE id = :id AND subject = :subject")
SESSIONS = text("""
    SELECT id, address, created_at, expires_at, token_hash = :hash AS present FROM session
    WHERE subject = :subject AND expires_at > now() ORDER BY created_at DESC LIMIT 100
""")


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session of somebody. present: the one in which they ask."""

    id: UUID
    address: str
    created_at: datetime
    expires_at: datetime
    present: bool


def add_link(connection: Connection, principal: Principal) -> tuple[str, datetime]:
    """Add a link by which somebody logs in once; return its code and when it expires."""
    for statement in DELETE_EXPIRED:
        connection.execute(statement)
    code = secrets.token_urlsafe(32)
    expires_at: datetime = connection.execute(ADD_LINK, _row(code, principal)).scalar_one()
    return code, expires_at


def find_link(connection: Connection, code: str) -> Principal | None:
    """Return whom a link logs in; None if there is none, or it has expired."""
    return _principal(connection.execute(FIND_LINK, {"hash": token_hash(code)}).all())


def take_link(connection: Connection, code: str) -> Principal | None:
    """Return the same, and delete the link."""
    return _principal(connection.execute(TAKE_LINK, {"hash": token_hash(code)}).all())


def add_session(connection: Connection, principal: Principal, address: str) -> str:
    """Add a session; return what the browser sends from now on."""
    token = secrets.token_urlsafe(32)
    connection.execute(ADD_SESSION, {**_row(token, principal), "address": address})
    return token


def find_session(connection: Connection, token: str) -> Principal | None:
    """Return who is logged in by what a browser sends; None if nobody is."""
    return _principal(connection.execute(FIND_SESSION, {"hash": token_hash(token)}).all())


def end_session(connection: Connection, token: str) -> None:
    """End the session of what a browser sends."""
    connection.execute(END_SESSION, {"hash": token_hash(token)})


def end_one(connection: Connection, subject: str, number: UUID) -> bool:
    """End a session of somebody; return False if they have none with this id."""
    return bool(connection.execute(END_ONE, {"id": number, "subject": subject}).rowcount)


def sessions_of(connection: Connection, subject: str, token: str) -> list[OpenSession]:
    """Return the sessions of somebody, the newest first. token: what their browser sends."""
    rows = connection.execute(SESSIONS, {"subject": subject, "hash": token_hash(token)})
    return [OpenSession(*row) for row in rows]


def _row(secret: str, principal: Principal) -> dict[str, object]:
    scopes = sorted(str(scope) for scope in principal.scopes)
    return {"hash": token_hash(secret), "subject": principal.subject, "scopes": scopes}


def _principal(rows: Sequence[Row[Any]]) -> Principal | None:
    return next((Principal(row.subject, known_scopes(row.scopes)) for row in rows), None)
