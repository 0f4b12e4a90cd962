"""Configures structured logs: JSON lines in production, readable lines at a terminal."""

import logging
import sys
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.types import EventDict, Processor

from sagakit.foreign_text import printable, printable_line
from sagakit.urls import redacted

_WHERE = ExceptionDictTransformer(show_locals=False, max_frames=20)
"""Renders tracebacks without local variables, which hold personal data and megabytes."""


def configure(*, json: bool, participant: str, level: str = "INFO") -> None:
    """Set up structlog and route the standard library's loggers through it.

    No line holds the password of a URL, whichever library wrote it, nor what a terminal obeys.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _named(participant),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[Processor] = (
        [structlog.processors.ExceptionRenderer(_WHERE), structlog.processors.JSONRenderer()]
        if json
        else [structlog.processors.format_exc_info, _printable, structlog.dev.ConsoleRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *final,
            lambda logger, method, line: redacted(str(line)),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("httpx2", "httpcore2", "uvicorn.access", "alembic.runtime"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _printable(logger: Any, method: str, line: EventDict) -> EventDict:
    """Write out what a terminal obeys in the texts of a line; a traceback keeps its line feeds."""
    traceback = line.pop("exception", None)
    shown: EventDict = {
        name: printable_line(value if isinstance(value, str) else repr(value))
        for name, value in line.items()
    }
    return shown if traceback is None else {**shown, "exception": printable(str(traceback))}


def _named(participant: str) -> Processor:
    """Add the participant's name to every line, whichever thread wrote it."""

    def add(logger: Any, method: str, line: EventDict) -> EventDict:
        line.setdefault("participant", participant)
        return line

    return add
