"""Tells open pages what has changed, over one stream a browser.

A page names a topic: `saga:` and a saga key, or `sagas` for anything. While streams are open, one
statement a second looks at all the sagas that they name; without a stream nothing is asked.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated

import orjson
import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Engine, exc

from saga_monitor.storage import queries
from saga_monitor.web.site import HEADERS
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope

log = structlog.get_logger(__name__)
ANY, ONE = "sagas", "saga:"
LOOK_EVERY_S = 1.0
ANY_AT_MOST_EVERY = 2
"""A page about all sagas is told of changes at most every so many looks."""
ALIVE_EVERY = 15
"""A comment is sent every so many looks, so that a proxy keeps the stream open."""
MAX_TOPICS = 50
Marks = Mapping[str, object]
"""Topic -> a value that is another one when something has changed."""


class LiveFeed:
    """Looks at what open pages show, and wakes their streams. Belongs to one event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._streams: dict[asyncio.Queue[list[str]], frozenset[str]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._marks: Marks = {}

    @contextlib.asynccontextmanager
    async def stream(self, topics: Sequence[str]) -> AsyncIterator[asyncio.Queue[list[str]]]:
        """Yield a queue of the topics that have changed; all of them first.

        A page was made before its stream began, so it may have missed a change.
        """
        queue: asyncio.Queue[list[str]] = asyncio.Queue()
        marks = await asyncio.to_thread(self._read, frozenset(topics))
        self._marks = {**marks, **self._marks}
        self._streams[queue] = frozenset(topics)
        queue.put_nowait(sorted(topics))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            yield queue
        finally:
            del self._streams[queue]

    async def _look(self) -> None:
        """Look until no stream is open."""
        turn, due = 0, False
        while self._streams:
            await asyncio.sleep(LOOK_EVERY_S)
            turn += 1
            try:
                changed = await self._changed()
            except exc.SQLAlchemyError as error:
                log.info("open pages are not told of changes", error=str(error))
                continue
            due = due or ANY in changed
            changed.discard(ANY)
            if due and turn % ANY_AT_MOST_EVERY == 0:
                changed.add(ANY)
                due = False
            for queue, asked in self._streams.items():
                if news := sorted(changed & asked):
                    queue.put_nowait(news)
                elif turn % ALIVE_EVERY == 0:
                    queue.put_nowait([])
        self._marks = {}

    async def _changed(self) -> set[str]:
        """Return the topics that have changed since the last look."""
        topics = frozenset[str]().union(*self._streams.values())
        before = self._marks
        self._marks = await asyncio.to_thread(self._read, topics)
        return {name for name in topics & before.keys() if self._marks.get(name) != before[name]}

    def _read(self, topics: frozenset[str]) -> Marks:
        sagas = [topic.removeprefix(ONE) for topic in topics if topic.startswith(ONE)]
        with self._engine.connect() as connection:
            found = queries.update_marks(connection, sagas)
            marks: dict[str, object] = {f"{ONE}{key}": found.get(key) for key in sagas}
            if ANY in topics:
                marks[ANY] = queries.read_position(connection)
        return marks


def live_routes(feed: LiveFeed) -> APIRouter:
    """Return the route of the stream: https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    router = APIRouter(include_in_schema=False, dependencies=requires(Scope.READ))

    @router.get("/ui/live")
    async def live(
        request: Request, topic: Annotated[list[str], Query(max_length=MAX_TOPICS)]
    ) -> StreamingResponse:
        """Send an event `changed` with the topics that have changed, as a JSON list."""

        async def lines() -> AsyncIterator[bytes]:
            async with feed.stream(topic) as queue:
                yield b"retry: 2000\n\n"
                while not await request.is_disconnected():
                    changed = await queue.get()
                    if changed:
                        yield b"event: changed\ndata: " + orjson.dumps(changed) + b"\n\n"
                    else:
                        yield b": alive\n\n"

        headers = {**HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(lines(), media_type="text/event-stream", headers=headers)

    return router
