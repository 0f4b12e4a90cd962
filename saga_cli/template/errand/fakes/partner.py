"""Runs a fake partner: `python -m fakes.partner`. A tag in the note chooses what it does.

| note contains | what happens |
|---|---|
| `[refuse]` | refused |
| `[lost]` | done, but the first answer is a 500 |
| no tag | done |

A known Idempotency-Key is answered with the job it made before. `saga chaos` also rehearses
outages, slow answers and garbage: `saga_lab.fakes` has these.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel
from saga_lab.fakes import base

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, idempotency_key TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL, note TEXT NOT NULL, minutes INTEGER NOT NULL,
    status TEXT NOT NULL, reason TEXT
);
"""

router = base.v1_router()


class JobAsked(BaseModel):
    """Carries the body of a request for a job."""

    reference: base.Id
    note: str
    minutes: int


@router.post("/jobs")
async def ask(request: Request, key: base.IdempotencyKey, asked: JobAsked) -> Response:
    ledger: base.Ledger = request.app.state.ledger
    known = ledger.row("SELECT * FROM jobs WHERE idempotency_key = ?", key)
    if known is not None:
        if JobAsked(**known) != asked:
            message = f"Idempotency-Key {key!r} was first used for another job; use a new key"
            raise base.Refusal(409, "idempotency_key_reuse", message)
        return base.json_response(known)
    refused = "[refuse]" in asked.note
    job = {
        "id": f"job_{uuid4().hex}",
        "idempotency_key": key,
        **asked.model_dump(),
        "status": "refused" if refused else "done",
        "reason": "nobody goes there" if refused else None,
    }
    ledger.add("jobs", job)
    if "[lost]" in asked.note:
        raise base.Refusal(500, "answer_lost", "the job is done, but this answer does not say so")
    return base.json_response(job)


@router.get("/jobs")
async def jobs(request: Request, page: Annotated[base.Page, Query()]) -> Response:
    rows, total = request.app.state.ledger.page("jobs", page)
    return base.json_response({"data": rows, "total": total})


def create_app(db: Path) -> FastAPI:
    """Build the partner's API on a ledger in the file `db`."""
    ledger = base.Ledger(db, SCHEMA)
    app = base.create_app(ledger, router)
    app.state.ledger = ledger
    return app


def main() -> None:
    settings = base.read_settings(base.SandboxSettings)
    base.serve(create_app(settings.db), settings, nullcontext())


if __name__ == "__main__":
    main()
