"""The audit: who did what, when, from where, and why, at the monitor and every participant."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from saga_monitor.saga.facts import SOURCE
from saga_monitor.web.site import Website
from sagakit.web.admin import AUDIT
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope

ROWS = 200
NEWEST = 2**63 - 1
Word = Annotated[str, Query(max_length=200)]


def audit_pages(site: Website) -> APIRouter:
    """Return the route of the audit."""
    router = APIRouter(include_in_schema=False, dependencies=requires(Scope.READ))

    @router.get("/ui/audit")
    def audit(request: Request, actor: Word = "", action: Word = "") -> Response:
        """Show the newest rows of all audits that fit."""
        rows, silent = _rows(site)
        actions = sorted({row["action"] for row in rows})
        shown = [
            row
            for row in rows
            if (not actor or actor.casefold() in row["actor"].casefold())
            and (not action or row["action"] == action)
        ]
        return site.page(
            request,
            "audit.html",
            here="audit",
            rows=shown[:ROWS],
            most=ROWS,
            silent=silent,
            actions=actions,
            chosen={"actor": actor, "action": action},
        )

    return router


def _rows(site: Website) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the newest rows of every audit, and who did not answer, each with the reason."""
    found: list[dict[str, Any]] = []
    silent: dict[str, str] = {}
    with site.operations.reader.engine.connect() as connection:
        own = connection.execute(AUDIT, {"before": NEWEST, "limit": ROWS}).mappings()
        found += [{**row, "where": SOURCE} for row in own]
    for name, answer in site.operations.participants.audits(ROWS).items():
        if answer.value is None:
            silent[name] = answer.silent or ""
        else:
            found += [{**row.model_dump(), "where": name} for row in answer.value]
    return sorted(found, key=lambda row: row["at"], reverse=True), silent
