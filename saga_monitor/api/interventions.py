"""Routes for interventions: the list, and the commands of the people who work on them."""

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from saga_monitor.api.answers import Limit, command_answer
from saga_monitor.operations.commands import AcceptedCommand, CommandHandler
from saga_monitor.operations.reads import SagaReader
from saga_monitor.saga.commands import INTERVENTION_COMMANDS, InterventionCommand
from saga_monitor.saga.interventions import OPEN_STATUSES, InterventionStatus
from saga_monitor.storage import queries
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope
from sagakit.web.login import LoggedIn


def intervention_routes(reader: SagaReader, commands: CommandHandler) -> APIRouter:
    """Return the router of the interventions."""
    router = APIRouter(tags=["interventions"])

    @router.get("/interventions", dependencies=requires(Scope.READ))
    def interventions(
        status: InterventionStatus | None = None, limit: Limit = 100
    ) -> list[dict[str, Any]]:
        """List interventions, the oldest first; without `status` the open and claimed ones."""
        statuses = OPEN_STATUSES if status is None else (status,)
        with reader.engine.connect() as connection:
            return queries.interventions(connection, statuses, limit)

    @router.post(
        "/interventions/{command}",
        status_code=202,
        response_model=None,
        dependencies=requires(Scope.DECIDE),
    )
    def work(
        command: Literal["open", "claim", "note", "resolve", "reopen"],
        body: InterventionCommand,
        user: LoggedIn,
    ) -> AcceptedCommand | JSONResponse:
        """Open, claim, add a note to, resolve or reopen an intervention."""
        return command_answer(commands, body, INTERVENTION_COMMANDS[command], user)

    return router
