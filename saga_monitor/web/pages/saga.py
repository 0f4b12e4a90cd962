"""The page of one saga, and the forms that give commands on it."""

import shlex
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from pydantic import ValidationError

from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.offered_commands import (
    COMMANDS,
    OfferedCommand,
    offered_commands,
    offered_on,
)
from saga_monitor.saga.time_travel import Basis
from saga_monitor.saga.view import SagaView
from saga_monitor.web.flow_drawing import DrawingLabels, draw_flow, saga_labels
from saga_monitor.web.site import Website, see
from saga_monitor.web.text import duration
from saga_monitor.web.timeline_drawing import draw_timeline
from sagakit.identity import MAX_SAGA_KEY_CHARS
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope
from sagakit.web.login import Subject, actor_of

EVENTS_A_PAGE = 100
REMEDIES = {
    "person": ("approve", "claim_intervention"),
    "paused": ("resume",),
    "overdue": ("cancel", "open_intervention"),
}
"""Kind of a blocking cause -> names of the commands that may end it."""
_OWN_FIELDS = ("actor", "reason")


def saga_pages(site: Website) -> APIRouter:
    """Return the routes of a saga's page."""
    router = APIRouter(include_in_schema=False)
    reader = site.operations.reader

    _add_commands(router, site)

    @router.get("/ui/saga", dependencies=requires(Scope.READ))
    def saga_page(
        request: Request,
        key: Annotated[str, Query(max_length=MAX_SAGA_KEY_CHARS)],
        at: str | None = None,
        basis: Basis = Basis.LOG,
        page: Annotated[int | None, Query(ge=1, le=10**6)] = None,
        given: Annotated[str, Query(max_length=200)] = "",
    ) -> Response:
        """Show one saga, also as it was."""
        try:
            found = reader.describe_at(key, at, basis) if at else reader.describe(key)
        except CommandRefused as refused:
            return _refused(site, request, key, refused)
        saga, view, body = found.saga, found.view, found.body
        offered = [] if at else offered_commands(saga, view)
        on_case = {
            one.code: [] if at else list(offered_on(one, saga, view)) for one in view.interventions
        }
        events = body["timeline"]
        pages = max(1, -(-len(events) // EVENTS_A_PAGE))
        number = min(page or pages, pages)
        first = (number - 1) * EVENTS_A_PAGE
        now = max(site.operations.now(), events[-1]["at"]) if events else site.operations.now()
        ended = body["ended_at"] is not None or bool(at)
        every = [*offered, *(one for found in on_case.values() for one in found)]
        return site.page(
            request,
            "saga.html",
            here="sagas",
            saga=body,
            path_of=path_of,
            drawing=draw_flow(reader.projection.plan_of(view), _labels(body, view)),
            chart=draw_timeline(events, body["awaited"], now, ended=ended, text_of=duration),
            events=list(enumerate(events))[first : first + EVENTS_A_PAGE],
            event_count=len(events),
            page_number=number,
            pages=pages,
            offered=offered,
            on_case=on_case,
            every_command=every,
            remedies=_remedies(body, every),
            copied=copied,
            given=given,
            at=at,
            basis=basis.value,
            moments=_moments(events),
            live=f"saga:{key}",
        )

    return router


def _add_commands(router: APIRouter, site: Website) -> None:
    """Add the route of the forms that give commands."""

    @router.post("/ui/commands/{command}", dependencies=requires(Scope.DECIDE))
    def give(
        request: Request,
        command: str,
        user: Subject,
        saga: Annotated[str, Form()],
        reason: Annotated[str, Form()] = "",
        actor: Annotated[str, Form()] = "",
        step: Annotated[str | None, Form()] = None,
        code: Annotated[str | None, Form()] = None,
        taken_from: Annotated[str | None, Form()] = None,
    ) -> Response:
        """Give a command, then show the saga again."""
        kind = COMMANDS.get(command)
        if kind is None:
            return site.problem(request, 404, "No such command", f"{command} is not known.")
        fields = {"step": step, "code": code or None, "taken_from": taken_from or None}
        own = {"actor": actor_of(actor, user), "reason": reason}
        given = {name: value for name, value in {**fields, **own}.items() if value is not None}
        try:
            body = kind.filled(saga, given)
            accepted = site.operations.commands.accept(
                saga, lambda known, view: kind.decide(body, known, view)
            )
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(str(part) for part in wrong["loc"])
            detail = f"{where}: {wrong['msg']}. Go back and correct it; nothing has happened."
            return site.problem(request, 422, "Not valid", detail)
        except CommandRefused as refused:
            detail = f"{refused.detail}. Nothing has happened."
            return site.problem(request, refused.status, refused.title.capitalize(), detail)
        return see(f"{path_of(saga)}&{urlencode({'given': f'{kind.title}: {accepted.event}'})}")


def path_of(saga: str) -> str:
    """Return the path of a saga's page."""
    return f"/ui/saga?key={quote(saga, safe='/')}"


def copied(offered: OfferedCommand, saga: str) -> str:
    """Return the command as a person would type it."""
    words = ["saga", *offered.kind.words.split(), saga]
    for name, value in offered.fields.items():
        words += [f"--{name.replace('_', '-')}", value]
    return shlex.join(words) + " --reason '…'"


def _refused(site: Website, request: Request, key: str, refused: CommandRefused) -> Response:
    detail = refused.detail
    if refused.status == 404:
        flows = ", ".join(sorted(flow.name for flow in site.operations.reader.projection.flows))
        detail = f"{detail}. The flows here are {flows}; the id may belong to another one."
    return site.problem(request, refused.status, refused.title.capitalize(), detail)


def _labels(body: Mapping[str, Any], view: SagaView) -> DrawingLabels:
    """Return what is said of the steps. A saga of the past is overdue by the time of then."""
    now = body["point"].at if "point" in body else body["read_through"]
    return saga_labels(body, overdue=bool(now and view.due and view.due < now))


def _remedies(body: Mapping[str, Any], offered: list[OfferedCommand]) -> list[OfferedCommand]:
    """Return the commands that may end what blocks the saga."""
    cause = body["blocked_by"]
    names = REMEDIES.get(cause.kind.value, ()) if cause else ()
    return [one for one in offered if one.kind.name in names and not one.refused]


def _moments(events: list[dict[str, Any]]) -> list[str]:
    """Return the times of the slider: that of each event, of many events some."""
    times = sorted({event["at"] for event in events})
    step = max(1, len(times) // 200)
    return [at.isoformat() for at in times[::step]]
