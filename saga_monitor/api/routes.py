"""Collect the routers of the monitor's API."""

from fastapi import APIRouter

from saga_monitor.api.backtests import backtest_routes
from saga_monitor.api.commands import command_routes
from saga_monitor.api.flows import flow_routes
from saga_monitor.api.interventions import intervention_routes
from saga_monitor.api.operations import operation_routes
from saga_monitor.api.sagas import saga_routes
from saga_monitor.api.searches import search_routes
from saga_monitor.operations.backtest import Backtester
from saga_monitor.operations.commands import CommandHandler
from saga_monitor.operations.reads import SagaReader
from saga_monitor.operations.searches import SagaSearch


def routers(
    reader: SagaReader, commands: CommandHandler, backtester: Backtester
) -> list[APIRouter]:
    """Return the monitor's own routers."""
    return [
        saga_routes(reader),
        search_routes(SagaSearch(reader)),
        intervention_routes(reader, commands),
        flow_routes(reader),
        command_routes(commands),
        operation_routes(reader),
        backtest_routes(backtester),
    ]
