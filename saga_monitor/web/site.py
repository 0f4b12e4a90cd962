"""Renders pages, with the headers that keep them safe, and what every page shows.

A page may run the scripts of this package and no others, show no foreign content, and stand in no
frame: https://www.w3.org/TR/CSP3/.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from saga_monitor.operations.blocker_probe import Positions
from saga_monitor.operations.commands import CommandHandler
from saga_monitor.operations.participants import ParticipantReader
from saga_monitor.operations.reads import SagaReader
from saga_monitor.web.assets import Assets
from saga_monitor.web.text import FILTERS, moment, visible
from sagakit.web.identity.requires import known_principal

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
    "Vary": "Cookie",
}
BEHIND = timedelta(seconds=10)
"""A monitor that has not read this far is said to be behind."""
NAVIGATION = (
    ("overview", "Overview", "/ui/overview"),
    ("sagas", "Sagas", "/ui/sagas"),
    ("interventions", "Interventions", "/ui/interventions"),
    ("unreadable", "Unreadable", "/ui/unreadable"),
    ("flows", "Flows", "/ui/flows"),
    ("services", "Services", "/ui/services"),
    ("audit", "Audit", "/ui/audit"),
)
"""Name, title and path of each page in the navigation."""


@dataclass(frozen=True, slots=True)
class SiteOperations:
    """Holds what pages use: sagas and commands, participants and how far each has read."""

    reader: SagaReader
    commands: CommandHandler
    participants: ParticipantReader
    positions: Callable[[str], Positions]
    now: Callable[[], datetime]


class Website:
    """Renders the templates of this package."""

    def __init__(self, operations: SiteOperations) -> None:
        self.operations, self.assets = operations, Assets()
        self._environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=visible,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(
            asset=self.assets.path, navigation=NAVIGATION, plural=_plural
        )

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page; 304 without it where the browser has the same one.

        The log time that it is as of says nothing about whether it is the same one.
        """
        shared = self._shared(request)
        body = self.render(template, **shared, **values)
        changing = body.replace(moment(shared["read_through"]), "")
        tag = f'"{hashlib.sha256(changing.encode()).hexdigest()[:20]}"'
        headers = {**HEADERS, "ETag": tag}
        if status == 200 and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return HTMLResponse(body, status, headers)

    def problem(self, request: Request, status: int, title: str, detail: str) -> Response:
        """Return a page that says what is wrong, and what to do."""
        return self.page(request, "problem.html", status, here="", title=title, detail=detail)

    def render(self, template: str, **values: Any) -> str:
        """Return the text of a template."""
        return self._environment.get_template(template).render(values)

    def _shared(self, request: Request) -> Mapping[str, Any]:
        """Return what every page shows."""
        read_through = self.operations.reader.log_time()
        principal = known_principal(request)
        behind = read_through is None or self.operations.now() - read_through > BEHIND
        return {
            "user": principal.subject if principal else None,
            "read_through": read_through,
            "behind": behind,
            "path": request.url.path,
        }


def see(path: str) -> Response:
    """Answer a form with the page to look at next: https://www.rfc-editor.org/rfc/rfc9110#name-303-see-other."""
    return RedirectResponse(path, 303, HEADERS)


def _plural(count: int, noun: str, several: str | None = None) -> str:
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"
