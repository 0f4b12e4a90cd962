"""Route that judges the stored sagas by an edited flow file."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from saga_monitor.api.answers import refusal_problem
from saga_monitor.operations.backtest import Backtester, BacktestPage, BacktestRequest
from saga_monitor.saga.commands import CommandRefused
from sagakit.errors import FlowError
from sagakit.web.app import problem
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope


def backtest_routes(backtester: Backtester) -> APIRouter:
    """Return the router of the back-test."""
    router = APIRouter(tags=["flows"], dependencies=requires(Scope.READ))

    @router.post("/backtests", response_model=None)
    def backtests(body: BacktestRequest) -> BacktestPage | JSONResponse:
        """Tell what the monitor would have done under an edited flow; nothing is emitted.

        A page of sagas at a time, by their starts: send `until` and `next` of an answer as `until`
        and `after` of the next request.
        """
        try:
            return backtester.page(body)
        except FlowError as error:
            return problem(422, "not a flow", str(error))
        except CommandRefused as refused:
            return refusal_problem(refused)

    return router
