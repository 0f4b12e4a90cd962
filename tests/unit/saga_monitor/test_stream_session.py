"""A monitor that died is waited for no longer than a service."""

import asyncio
from unittest.mock import create_autospec

from sqlalchemy import Engine

from saga_monitor.ingest.faust_stream import StreamReader
from saga_monitor.ingest.projection import Projection
from sagakit.kafka.inspector import LogEnds
from sagakit.service.settings import ServiceSettings

SESSION_OF_SERVICES_S = 10.0


def test_the_session_of_a_monitor_is_as_long_as_that_of_a_service() -> None:
    async def session_s() -> float:
        settings = ServiceSettings(
            bootstrap_servers="127.0.0.1:1", database_url="postgresql://h/d", contract="schemas"
        )
        reader = StreamReader(
            settings,
            ["order.events"],
            create_autospec(Engine, instance=True),
            create_autospec(Projection, instance=True),
            create_autospec(LogEnds, instance=True),
        )
        return float(reader._app(None).conf.broker_session_timeout)

    assert asyncio.run(session_s()) == SESSION_OF_SERVICES_S
