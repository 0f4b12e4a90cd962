"""A monitor that reads nothing new is alive; one that hangs in a transaction is not."""

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

from sqlalchemy import Engine

from saga_monitor.ingest.faust_stream import StreamReader
from saga_monitor.ingest.projection import BatchCounts, Projection
from sagakit.kafka.inspector import LogEnds
from sagakit.service.settings import ServiceSettings
from sagakit.stop_signal import StopSignal


class Stream:
    """A stream of one bundle."""

    def __init__(self) -> None:
        self.channel = SimpleNamespace(queue=asyncio.Queue[Any]())
        self.acknowledged = 0

    async def events(self) -> AsyncIterator[Any]:
        bundle = SimpleNamespace(topic="t", partition=0, records=[], position=1)
        yield SimpleNamespace(message=bundle)

    async def ack(self, bundle: Any) -> None:
        self.acknowledged += 1


def test_only_a_batch_in_hand_keeps_the_reader_from_making_turns() -> None:
    now_s, writing, go_on = [0.0], threading.Event(), threading.Event()

    def write(records: Any, positions: Any) -> BatchCounts:
        writing.set()
        go_on.wait(10)
        return BatchCounts(0, 0)

    async def scenario() -> None:
        projection, stop = create_autospec(Projection, instance=True), StopSignal(lambda: now_s[0])
        projection.apply = write
        reader = StreamReader(
            ServiceSettings(
                bootstrap_servers="127.0.0.1:1", database_url="postgresql://h/d", contract="schemas"
            ),
            ["t"],
            create_autospec(Engine, instance=True),
            projection,
            create_autospec(LogEnds, instance=True),
            stop,
        )
        reader.started_partitions.add(("t", 0))

        async def age_after_a_look_s() -> float:
            over = asyncio.get_running_loop().create_future()
            over.set_result(None)
            await reader._turns({over})
            return stop.age_s()

        stream = Stream()
        reading = asyncio.create_task(reader._read_batches(stream))
        await asyncio.to_thread(writing.wait)
        now_s[0] += 200
        assert await age_after_a_look_s() == 200, "the batch hangs"
        go_on.set()
        await reading
        assert stream.acknowledged == 1
        now_s[0] += 200
        assert await age_after_a_look_s() == 0, "nothing new to read"

    asyncio.run(scenario())
