"""Routes for those who run the system: counts, blocked sagas, unreadable records."""

from typing import Any

from fastapi import APIRouter

from saga_monitor.api.answers import Limit
from saga_monitor.operations.reads import SagaReader
from saga_monitor.storage import queries
from sagakit.web.admin import AUDIT, RowId
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope


def operation_routes(reader: SagaReader) -> APIRouter:
    """Return the router of the overviews."""
    router = APIRouter(tags=["operations"], dependencies=requires(Scope.READ))

    @router.get("/summary")
    def summary() -> dict[str, Any]:
        """Count the sagas outside the history tables by flow version and status."""
        with reader.engine.connect() as connection:
            return {
                "read_through": reader.log_time(),
                "unreadable": queries.count_unreadable(connection),
                "sagas": queries.summary(connection),
            }

    @router.get("/blocked")
    def blocked(stuck: bool = False, limit: Limit = 100) -> list[dict[str, Any]]:
        """List sagas in flight or with an open intervention, each with what blocks it.

        The most overdue are first. `stuck`: see /sagas.
        """
        return reader.blocked_sagas(stuck, limit)

    @router.get("/unreadable")
    def unreadable(limit: Limit = 100) -> list[dict[str, Any]]:
        """List the records that are no event of the contract, with the reason."""
        with reader.engine.connect() as connection:
            return queries.unreadable(connection, limit)

    @router.get("/audit")
    def audit(before: RowId = 2**63 - 1, limit: Limit = 100) -> list[dict[str, Any]]:
        """List the requests that were refused here, the newest first; `before`: id of a row."""
        with reader.engine.connect() as connection:
            found = connection.execute(AUDIT, {"before": before, "limit": limit})
            return [dict(row._mapping) for row in found]

    return router
