"""Logs on standard error: one line per event, as JSON for machines or for people to read.

Our modules log through `structlog.get_logger()`. Adapters and libraries log through the standard library.
Both end in one handler here, so that every line has the chosen format (log_lines.py says how it is made):

    structlog  ─▶ first_steps ─┐
                               ├─▶ Tamed (libraries' lines only, bounded) ─▶ last_steps ─▶ standard error
    logging    ─▶ first_steps ─┘
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from types import TracebackType

import structlog
from structlog.stdlib import ProcessorFormatter
from typing_extensions import override

from hurnet_stream.runtime.log_lines import OURS, first_steps, last_steps
from hurnet_stream.runtime.tamed import Tamed
from hurnet_stream.settings.settings import LogSettings
from hurnet_stream.visible import visible, visible_json

_chosen = {"format": "console"}


def configure(settings: LogSettings, worker: str | None = None, discreet: bool = False) -> None:
    """Set up logging for this process. Every line names the worker, if this process is one. `discreet`: no
    exception is shown with its message, which may quote a text."""
    _chosen["format"] = settings.format
    level: int = getattr(logging, settings.level.upper())
    structlog.configure(
        processors=[*first_steps(worker), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: logging.getLogger(OURS[0]),
    )
    handler = _Handler()
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=first_steps(worker),
            processors=[ProcessorFormatter.remove_processors_meta, *last_steps(settings.format, discreet)],
        )
    )
    handler.addFilter(Tamed(OURS))
    # Libraries tell of every connection at INFO: only their warnings are shown, whatever level is chosen.
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)


def last_words(event: str) -> bytes:
    """A line in the chosen format, made without any lock: for the thread that ends the process while another
    one may be logging."""
    if _chosen["format"] == "json":
        return f"{visible_json({'event': event, 'level': 'critical'})}\n".encode()
    return f"{visible(event)}\n".encode()


def log_what_nobody_catches() -> None:
    """Log exceptions that end the process or a thread, and those that Python can't raise, as from
    `__del__`."""
    log = structlog.get_logger(__name__)

    def in_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            log.critical("an exception that nobody caught", exc_info=(kind, error, trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            name = args.thread.name if args.thread else None
            info = (args.exc_type, args.exc_value, args.exc_traceback)
            log.critical("an exception ended a thread", thread=name, exc_info=info)

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        if args.exc_value is not None:
            info = (args.exc_type, args.exc_value, args.exc_traceback)
            log.error(args.err_msg or "an exception that nothing could raise", exc_info=info)

    sys.excepthook, threading.excepthook, sys.unraisablehook = in_process, in_thread, unraisable


class _Handler(logging.Handler):
    """Writes to whatever standard error is at that time. If a line can't be made, a line says that."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:
            failed = {"event": "a log line could not be written", "level": "error", "logger": record.name}
            line = visible_json(failed | {"error": type(error).__name__})
        with contextlib.suppress(OSError, ValueError):  # standard error is gone: there is nowhere to say it
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
