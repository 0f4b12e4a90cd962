"""Define what the route modules share: the limit of a list, and the answer to a command."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Query
from fastapi.responses import JSONResponse

from saga_monitor.operations.commands import AcceptedCommand, CommandHandler
from saga_monitor.saga.commands import CommandRefused, SagaCommand
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.view import SagaView
from sagakit.web.app import problem
from sagakit.web.login import actor_of

C = TypeVar("C", bound=SagaCommand)
Limit = Annotated[int, Query(ge=1, le=10_000)]


def command_answer(
    commands: CommandHandler,
    body: C,
    decide: Callable[[C, Saga, SagaView], Emission],
    user: str | None,
) -> AcceptedCommand | JSONResponse:
    """Give a command; return the event that it became, or the reason why it was refused.

    user: who is logged in and so is the actor, None where nobody logs in.
    """
    given = body.model_copy(update={"actor": actor_of(body.actor, user)})
    try:
        return commands.accept(body.saga, lambda saga, view: decide(given, saga, view))
    except CommandRefused as refused:
        return refusal_problem(refused)


def refusal_problem(refused: CommandRefused) -> JSONResponse:
    """Return the refusal of a request as a problem document."""
    return problem(refused.status, refused.title, refused.detail)
