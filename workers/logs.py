"""Structured logs on standard error: an event and its fields, as JSON for machines or for people to read.

Modules log through `structlog.get_logger()`; nothing needs to be handed around.
"""

from __future__ import annotations

import logging
import sys

import structlog

from workers.settings import LogSettings


def configure(settings: LogSettings, worker: str) -> None:
    """Set up logging for this process; every line names the worker."""
    level = getattr(logging, settings.level.upper())
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(ensure_ascii=False)]
        if settings.format == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # The client libraries retry by themselves and say so at length; what matters reaches us as errors.
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s")
    structlog.contextvars.bind_contextvars(worker=worker)
