"""Runs blocking calls of one purpose in threads of their own, so that no other purpose waits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class OwnThreads:
    """Runs calls in at most `most` threads, which are started when they are needed."""

    def __init__(self, purpose: str, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=purpose)

    async def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what the call returns, as `asyncio.to_thread` does."""
        bound = partial(copy_context().run, call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, bound)

    def wait(self) -> None:
        """Wait for the calls that run, and take no more. For tests: a process just ends."""
        self._pool.shutdown()
