"""The overview: how many sagas are where, what is stuck and why, and what is held."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from saga_monitor.saga.interventions import OPEN_STATUSES
from saga_monitor.saga.view import ENDED
from saga_monitor.storage import queries
from saga_monitor.web.live import ANY
from saga_monitor.web.pages.saga import path_of
from saga_monitor.web.site import Website
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope

STUCK = 200
"""So many stuck sagas are asked about; of more, the most overdue."""
MANY = 1000


def overview_pages(site: Website) -> APIRouter:
    """Return the route of the overview."""
    router = APIRouter(include_in_schema=False, dependencies=requires(Scope.READ))
    reader = site.operations.reader

    @router.get("/ui/overview")
    def overview(request: Request) -> Response:
        """Show the overview."""
        with reader.engine.connect() as connection:
            rows = queries.summary(connection)
            cases = queries.interventions(connection, OPEN_STATUSES, MANY)
            unreadable = queries.count_unreadable(connection)
        stuck = reader.blocked_sagas(True, STUCK)
        return site.page(
            request,
            "overview.html",
            here="overview",
            live=ANY,
            by_status=_by_status(rows),
            flows=_by_flow(rows),
            held=_held(rows),
            stuck=stuck[:20],
            stuck_count=len(stuck),
            stuck_most=STUCK,
            causes=Counter(_kind(row) for row in stuck).most_common(),
            cases=Counter(row["code"] for row in cases).most_common(),
            case_count=len(cases),
            unreadable=unreadable,
            path_of=path_of,
        )

    return router


def _kind(row: Mapping[str, Any]) -> str:
    cause = row["blocked_by"]
    return cause.kind.value if cause else "none"


def _by_status(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    found = Counter[str]()
    for row in rows:
        found[row["status"]] += row["sagas"]
    return found.most_common()


def _by_flow(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a flow version: sagas in flight and ended, and the oldest in flight."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        label = f"{row['flow']}/{row['version']}" if row["version"] is not None else row["flow"]
        one = found.setdefault(label or "unknown", {"in_flight": 0, "ended": 0, "oldest": None})
        if row["status"] in ENDED:
            one["ended"] += row["sagas"]
        else:
            one["in_flight"] += row["sagas"]
            one["oldest"] = _earlier(one["oldest"], row["oldest"])
    return [{"flow": label, **one} for label, one in sorted(found.items())]


def _held(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """Return what sagas that have not completed hold: balance, kind and amount."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        if row["status"] in ENDED:
            continue
        for one in row["balances"]:
            found[one["name"], one["kind"]] += one["held"]
    return [(*key, held) for key, held in sorted(found.items()) if held]


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at), default=None)
