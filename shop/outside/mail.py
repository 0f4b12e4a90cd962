"""Runs a fake mail server with its own ledger: `python -m shop.outside.mail`.

It serves SMTP on `SANDBOX_SMTP_PORT` and the ledger over HTTP on `SANDBOX_PORT`. The recipient's
local part chooses the behaviour; `<n>` is a number of attempts:

| recipient | what happens |
|---|---|
| `bounce+...@` | refused permanently: 550 |
| `greylist<n>+...@` | the first n attempts with a Message-ID answer 451, then accepted |
| any other | accepted: stored durably before 250 is answered |

A mail whose Message-ID is already stored is merged into that record (`deliveries` + 1), as mailbox
providers do; a mail without a Message-ID is refused with 550. Kind and reference are read from the
headers `X-Saga-Kind` and `X-Saga-Reference`.

Rehearsal: POST `/control/outage` {"seconds"} (SMTP answers 451 for that long).
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default as policy

from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import APIRouter, Request, Response

from saga_lab.fakes import base
from saga_lab.fakes.base import Ledger, Refusal, Row
from saga_lab.fakes.trouble import OUTAGE, Trouble
from shop.outside.reference_page import ReferencePage, ReferencePageAsked

SCHEMA = """
CREATE TABLE IF NOT EXISTS mails (
    seq INTEGER PRIMARY KEY, message_id TEXT NOT NULL UNIQUE, reference TEXT, kind TEXT,
    "to" TEXT NOT NULL, subject TEXT, received_at REAL NOT NULL, deliveries INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS mails_reference ON mails (reference, seq);
"""

IN_OUTAGE = "451 4.3.2 rehearsed outage; try again later"


class MailSettings(base.SandboxSettings):
    """Adds the SMTP port."""

    smtp_port: int


class Mailbox:
    """Handles aiosmtpd callbacks: checks recipients and stores mails."""

    def __init__(self, ledger: Ledger, trouble: Trouble) -> None:
        self._ledger, self._trouble = ledger, trouble

    async def handle_MAIL(
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        if self._trouble.on(OUTAGE):
            return IN_OUTAGE
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 sender ok"

    async def handle_RCPT(
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        if address.lower().startswith("bounce+"):
            return f"550 5.1.1 <{address}> does not exist here; correct the address"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 recipient ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self._trouble.on(OUTAGE):
            return IN_OUTAGE
        content = envelope.content
        mail = message_from_bytes(content if isinstance(content, bytes) else b"", policy=policy)
        header = {name.lower(): str(value) for name, value in mail.items()}
        message_id = header.get("message-id", "").strip()
        if not message_id:
            return "550 5.6.0 the mail has no Message-ID header; send one, repeats fold by it"
        patience = max(_greylisted(address) for address in envelope.rcpt_tos)
        try:
            self._ledger.fail_first(f"greylist:{message_id}", patience)
        except Refusal as refusal:
            return f"451 4.7.1 greylisted: {refusal.message}"
        self._ledger.run(
            'INSERT INTO mails (message_id, reference, kind, "to", subject, received_at,'
            " deliveries) VALUES (?, ?, ?, ?, ?, ?, 1)"
            " ON CONFLICT (message_id) DO UPDATE SET deliveries = deliveries + 1",
            message_id,
            header.get("x-saga-reference"),
            header.get("x-saga-kind"),
            ", ".join(envelope.rcpt_tos),
            header.get("subject"),
            time.time(),
        )
        return "250 2.0.0 stored"

    def mails(self, asked: ReferencePage) -> Row:
        """Return a page of the mails and their total number."""
        rows, total = asked.of(self._ledger, "mails")
        data = [{name: row[name] for name in row if name != "seq"} for row in rows]
        return {"data": data, "total": total}


def _greylisted(address: str) -> int:
    """Return how many attempts to this address are greylisted."""
    found = re.match(r"greylist(\d{1,9})\+", address.lower())
    return int(found[1]) if found else 0


@asynccontextmanager
async def smtp_running(mailbox: Mailbox, settings: MailSettings) -> AsyncIterator[None]:
    """Listen for SMTP while inside the context."""
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(mailbox, hostname="mail.sandbox", enable_SMTPUTF8=True),
        settings.host,
        settings.smtp_port,
    )
    try:
        yield
    finally:
        server.close()  # open SMTP sessions are cut when the process ends


router = APIRouter(prefix="/v1")


@router.get("/mails")
async def list_mails(request: Request, asked: ReferencePageAsked) -> Response:
    mailbox: Mailbox = request.app.state.mailbox
    return base.json_response(mailbox.mails(asked))


def main() -> None:
    settings = base.read_settings(MailSettings)
    ledger = Ledger(settings.db, SCHEMA)
    app = base.create_app(ledger, router)
    app.state.mailbox = Mailbox(ledger, app.state.trouble)
    base.serve(app, settings, smtp_running(app.state.mailbox, settings))


if __name__ == "__main__":
    main()
