"""Routes for commands that people give on sagas.

A command becomes an event on `saga.events`, through the outbox, so the log is the audit trail.
"""

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from saga_monitor.api.answers import command_answer
from saga_monitor.operations.commands import AcceptedCommand, CommandHandler
from saga_monitor.saga.commands import (
    PIN_COMMANDS,
    CancelCommand,
    PauseCommand,
    PinCommand,
    VerdictCommand,
    cancel_saga,
    give_verdict,
    pause_saga,
    resume_saga,
)
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope
from sagakit.web.login import LoggedIn


def command_routes(commands: CommandHandler) -> APIRouter:
    """Return the router of the commands on sagas."""
    router = APIRouter(tags=["commands"], dependencies=requires(Scope.DECIDE))

    @router.post("/verdicts", status_code=202, response_model=None)
    def verdicts(body: VerdictCommand, user: LoggedIn) -> AcceptedCommand | JSONResponse:
        """Record a person's decision on a step that waits for one."""
        return command_answer(commands, body, give_verdict, user)

    @router.post("/cancellations", status_code=202, response_model=None)
    def cancellations(body: CancelCommand, user: LoggedIn) -> AcceptedCommand | JSONResponse:
        """Request that a saga be undone, as an operator."""
        return command_answer(commands, body, cancel_saga, user)

    @router.post("/pauses", status_code=202, response_model=None)
    def pauses(body: PauseCommand, user: LoggedIn) -> AcceptedCommand | JSONResponse:
        """Pause a saga: it starts no new work until it is resumed."""
        return command_answer(commands, body, pause_saga, user)

    @router.post("/resumptions", status_code=202, response_model=None)
    def resumptions(body: PauseCommand, user: LoggedIn) -> AcceptedCommand | JSONResponse:
        """Resume a paused saga."""
        return command_answer(commands, body, resume_saga, user)

    @router.post("/pins/{command}", status_code=202, response_model=None)
    def pins(
        command: Literal["pin", "unpin"], body: PinCommand, user: LoggedIn
    ) -> AcceptedCommand | JSONResponse:
        """Pin a saga, which keeps it out of the history tables, or unpin it."""
        return command_answer(commands, body, PIN_COMMANDS[command], user)

    return router
